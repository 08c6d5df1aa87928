//! Client assertions: private_key_jwt and client_secret_jwt (RFC 7523 §2.2 and §3, OpenID Connect Core 1.0 §9), under the
//! rules of the client's profile.
//!
//! The checks are numbered in the order they are made: 1 to 3 here on what anybody can read, 4 and 5 here on key and
//! signature, 6 to 11 in `claims`. The twelfth, that it was not used before, is the last of
//! [`super::authenticate`]: nobody can use up an assertion that is not theirs (V-46).
//!
//! Nothing that the header points at is ever fetched (V-4, CHK-75).

use std::sync::Arc;

use self::{
    claims::{AssertionClaims, Expected, OneUse},
    decoys::Decoys,
    refusal::AssertionRefusal,
};
use super::{
    Client, ClientKeys, ClientSecret, Profile, SecretHash, TokenEndpointAuthMethod,
    keys::{KeyError, KeySource},
    secret::SecretVerifier,
};
use crate::{
    clock::Timestamp,
    jose::{
        JwkSet, JwsAlgorithm, VerificationKey, jwk_set::Selection, jws::UnverifiedJws,
        verification_key::InvalidKey,
    },
    oauth::{
        error::{ClientRefusal, Error},
        issuer::Issuer,
        sender::Endpoint,
    },
    refusal::RefusalReason,
};

mod claims;
mod decoys;
pub mod refusal;

pub use claims::SKEW;

/// The methods that are assertions of the client itself.
pub const METHODS: [TokenEndpointAuthMethod; 2] =
    [TokenEndpointAuthMethod::PrivateKeyJwt, TokenEndpointAuthMethod::ClientSecretJwt];

/// An assertion that can be read, and whose signature nobody has checked.
#[derive(Debug)]
pub(super) struct ClientAssertion<'a> {
    jws: UnverifiedJws<'a>,
    alg: JwsAlgorithm,
}

impl<'a> ClientAssertion<'a> {
    /// Reads a `client_assertion`.
    pub(super) fn read(text: &'a str) -> Result<Self, AssertionRefusal> {
        // 1. It is a JWS of the strict form (RFC 7523 §3, rule 10; CHK-71 to CHK-73, V-1, V-5, V-9, V-10, V-14).
        let jws = UnverifiedJws::parse(text).map_err(AssertionRefusal::Malformed)?;
        // 2. It does not say that it is something else (RFC 8725 §3.11, RFC 7523bis §4; CHK-64, CHK-76).
        if !jws.header().typ.as_deref().is_none_or(is_assertion_type) {
            return Err(AssertionRefusal::Type);
        }
        // 3. This server can verify the algorithm, whoever the client is (V-1, V-8, CHK-74).
        let offered = |alg: &JwsAlgorithm| METHODS.iter().any(|m| m.assertion_algorithms().contains(alg));
        let alg = jws.header().algorithm().filter(offered).ok_or(AssertionRefusal::UnknownAlgorithm)?;
        Ok(Self { jws, alg })
    }

    /// Whether it proves that somebody knows a secret, which could be guessed.
    pub(super) fn is_of_secret(&self) -> bool {
        self.alg.is_symmetric()
    }
}

/// RFC 7515 §4.1.9: media types, without regard to case, "application/" left out or not.
fn is_assertion_type(typ: &str) -> bool {
    let typ = typ.get(..12).filter(|p| p.eq_ignore_ascii_case("application/")).map_or(typ, |_| &typ[12..]);
    ["JWT", "client-authentication+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known))
}

/// What a good assertion proves.
#[derive(Debug)]
pub(super) struct Proven<'c> {
    /// The secret it was made with, of those of the client.
    pub(super) secret: Option<&'c ClientSecret>,
    /// What is still to be claimed.
    pub(super) one_use: OneUse,
}

/// Verifies assertions of clients.
#[derive(Debug)]
pub(super) struct AssertionVerifier {
    issuer: Issuer,
    secrets: Arc<SecretVerifier>,
    published: Option<Arc<dyn KeySource>>,
    decoys: Decoys,
}

/// What the signature may be of.
enum Keys<'c> {
    Set(Arc<JwkSet>),
    Secrets(Vec<(&'c ClientSecret, VerificationKey)>),
}

impl AssertionVerifier {
    /// A verifier for a server with this issuer identifier. Without `published` no client may have a `jwks_uri`.
    ///
    /// # Errors
    /// [`InvalidKey`] when the generator fails.
    pub(super) fn new(
        issuer: Issuer,
        secrets: Arc<SecretVerifier>,
        published: Option<Arc<dyn KeySource>>,
    ) -> Result<Self, InvalidKey> {
        let algorithms: Vec<_> =
            METHODS.iter().flat_map(|method| method.assertion_algorithms()).copied().collect();
        Ok(Self { issuer, secrets, published, decoys: Decoys::generate(&algorithms)? })
    }

    /// Verifies an assertion of a client, if there is one. A stranger's costs a signature too (V-22).
    ///
    /// # Errors
    /// [`Error::InvalidClient`]; [`Error::Busy`] when the keys of the client could not be fetched for all the others that
    /// are.
    pub(super) async fn verify<'c>(
        &self,
        client: Option<&'c Client>,
        assertion: &ClientAssertion<'_>,
        endpoint: Endpoint,
        now: Timestamp,
    ) -> Result<Proven<'c>, Error> {
        let keys = match client {
            Some(client) => self.keys(client, assertion, now).await,
            None => Ok(Err(AssertionRefusal::Client)),
        }?;
        let signed = self.check_signature(assertion, keys);
        let (Some(client), Ok((payload, secret))) = (client, &signed) else {
            let refusal = signed.err().unwrap_or(AssertionRefusal::Client);
            let compat_would_accept = refusal == AssertionRefusal::Algorithm
                && client.is_some_and(|client| allowed(client, Profile::Compat).contains(&assertion.alg));
            return Err(refuse(refusal, compat_would_accept));
        };
        let claims = AssertionClaims::read(payload)
            .map_err(|problem| refuse(AssertionRefusal::Claims(problem), false))?;
        let expected = Expected { client_id: client.client_id.as_str(), issuer: &self.issuer, endpoint, now };
        let one_use = claims
            .check(client.proof.profile, &expected)
            .map_err(|refusal| refuse(refusal, claims.check(Profile::Compat, &expected).is_ok()))?;
        Ok(Proven { secret: *secret, one_use })
    }

    /// The keys that an assertion of this client may have been signed with.
    async fn keys<'c>(
        &self,
        client: &'c Client,
        assertion: &ClientAssertion<'_>,
        now: Timestamp,
    ) -> Result<Result<Keys<'c>, AssertionRefusal>, Error> {
        let header = assertion.jws.header();
        // 3. The client may use the algorithm (CHK-69, CHK-142, V-2).
        if !allowed(client, client.proof.profile).contains(&assertion.alg) {
            return Ok(Err(AssertionRefusal::Algorithm));
        }
        // SMART App Launch 2.2, "Authenticating to the Token Endpoint": jku, when it is there, is what was registered (CHK-135).
        let registered = match &client.proof.keys {
            Some(ClientKeys::At(uri)) => Some(&**uri),
            Some(ClientKeys::Registered { .. }) | None => None,
        };
        if client.proof.profile == Profile::Smart
            && header.jku.is_some()
            && header.jku.as_deref() != registered
        {
            return Ok(Err(AssertionRefusal::KeySetUrl));
        }
        if assertion.is_of_secret() {
            return Ok(Ok(Keys::Secrets(self.secret_keys(client, assertion.alg, now))));
        }
        Ok(match (&client.proof.keys, &self.published) {
            (None, _) => Err(AssertionRefusal::NoKey),
            (Some(ClientKeys::Registered { keys, .. }), _) => Ok(Keys::Set(Arc::clone(keys))),
            (Some(ClientKeys::At(_)), None) => Err(AssertionRefusal::KeysUnavailable),
            (Some(ClientKeys::At(uri)), Some(source)) => {
                match source.keys(uri, header.kid.as_deref()).await {
                    Ok(set) => Ok(Keys::Set(set)),
                    Err(KeyError::Unavailable(reason)) => {
                        tracing::warn!(client_id = client.client_id.as_str(), %reason, "the keys of a client cannot be had");
                        Err(AssertionRefusal::KeysUnavailable)
                    }
                    Err(KeyError::Busy { retry_after }) => {
                        return Err(Error::Busy { reason: RefusalReason::Overloaded, retry_after });
                    }
                }
            }
        })
    }

    /// A key for each secret of the client that is usable now and long enough (RFC 7518 §3.2).
    fn secret_keys<'c>(
        &self,
        client: &'c Client,
        alg: JwsAlgorithm,
        now: Timestamp,
    ) -> Vec<(&'c ClientSecret, VerificationKey)> {
        let key = |secret: &'c ClientSecret| {
            let SecretHash::Sealed(sealed) = &secret.hash else { return None };
            let opened = self.secrets.open(sealed)?;
            Some((secret, VerificationKey::hmac(String::new(), alg, opened.expose()).ok()?))
        };
        client.usable_secrets(now).filter_map(key).collect()
    }

    /// Finds the key and checks the signature. Where there is no key the decoy is tried, and not listened to.
    fn check_signature<'c>(
        &self,
        assertion: &ClientAssertion<'_>,
        keys: Result<Keys<'c>, AssertionRefusal>,
    ) -> Result<(Vec<u8>, Option<&'c ClientSecret>), AssertionRefusal> {
        let ClientAssertion { jws, alg } = assertion;
        // 4. Exactly one key has the `kid` and fits the algorithm (CHK-82, CHK-136). 5. It made the signature (rule 9).
        let refusal = match keys {
            Ok(Keys::Set(set)) => match set.find(jws.header().kid.as_deref(), *alg) {
                Selection::Found(key) => {
                    let payload = jws.verify(key).map_err(|_| AssertionRefusal::Signature)?;
                    return Ok((payload, None));
                }
                Selection::NoKey => AssertionRefusal::NoKey,
                Selection::Ambiguous => AssertionRefusal::AmbiguousKey,
            },
            Ok(Keys::Secrets(keys)) if keys.is_empty() => AssertionRefusal::NoKey,
            Ok(Keys::Secrets(keys)) => {
                let signed =
                    |(secret, key): (_, VerificationKey)| Some((jws.verify(&key).ok()?, Some(secret)));
                return keys.into_iter().find_map(signed).ok_or(AssertionRefusal::Signature);
            }
            Err(refusal) => refusal,
        };
        if let Some(decoy) = self.decoys.get(*alg) {
            let _ = jws.verify(decoy);
        }
        Err(refusal)
    }
}

/// What an assertion of this client may be signed with: what its registration lists, of what its method and a profile allow.
pub(super) fn allowed(client: &Client, profile: Profile) -> Vec<JwsAlgorithm> {
    let method =
        client.token_endpoint_auth_method.map_or(&[][..], TokenEndpointAuthMethod::assertion_algorithms);
    let listed = &client.proof.assertion_algorithms;
    method
        .iter()
        .copied()
        .filter(|alg| profile.allows_assertion_algorithm(*alg) && (listed.is_empty() || listed.contains(alg)))
        .collect()
}

fn refuse(refusal: AssertionRefusal, compat_would_accept: bool) -> Error {
    Error::InvalidClient(if compat_would_accept {
        ClientRefusal::NeedsCompat(refusal)
    } else {
        ClientRefusal::Assertion(refusal)
    })
}

#[cfg(test)]
mod tests;
