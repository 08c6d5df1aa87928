//! DPoP (RFC 9449): a proof, signed with a key of the caller's own, that goes with a request.
//!
//! A proof at the token endpoint binds the token to the key; a proof beside the token shows that whoever presents it holds
//! the key. The checks are those of §4.3 under its numbers. Check 3, of the claims, waits for the signature, because nothing
//! that was not verified is read; and the `jti` is claimed when everything else has been found good, so that no proof that
//! was refused for another reason counts as used (V-46).
//!
//! Over gRPC a proof is for `POST` and for the URI of the method at the host of the issuer, such as
//! `https://id.example/mintage.token.v1.TokenService/Issue`.

use std::time::Duration;

use aws_lc_rs::digest;

use self::{
    nonce::Nonces,
    target::{Target, same_target},
};
use super::{
    authorization_server::AuthorizationServer,
    confirmation::PresentedToken,
    error::{Description, Error},
    replay::{Namespace, ReplayError},
    sender::Sender,
};
use crate::{
    clock::Timestamp,
    jose::{
        JwsAlgorithm, base64url,
        json::Members,
        jwk::EmbeddedKey,
        jws::{InvalidJws, UnverifiedJws},
    },
    secret::Secret,
};

mod nonce;
mod target;

/// What clocks may differ by.
const CLOCK_SKEW: Duration = Duration::from_secs(10);

/// The longest `jti`, in bytes.
const MAX_JTI: usize = 256;

/// What is decided about proofs.
#[derive(Clone, Debug)]
pub struct DpopPolicy {
    /// How old a proof may be.
    pub max_age: Duration,
    /// With a secret, which all replicas share, proofs must carry a nonce that is made with it (§8).
    pub nonce_secret: Option<Secret<[u8; 32]>>,
}

/// Checks proofs.
#[derive(Debug)]
pub(super) struct Dpop {
    max_age: Duration,
    nonces: Option<Nonces>,
}

/// A proof that is good, but for whether it was used before.
#[derive(Debug, PartialEq, Eq)]
struct Proof {
    /// The RFC 7638 thumbprint of its key.
    jkt: String,
    jti: String,
    ath: Option<String>,
    /// Until then it would be accepted again.
    until: Timestamp,
}

/// The names of the algorithms a proof may be signed with, for metadata and challenges (§5.1, §7.1).
pub fn algorithms() -> impl Iterator<Item = &'static str> {
    JwsAlgorithm::ALL.into_iter().filter(|alg| !alg.is_symmetric()).map(JwsAlgorithm::as_str)
}

fn invalid(description: &'static str) -> Error {
    Error::InvalidDpopProof(Description::new(description))
}

impl Dpop {
    pub(super) fn new(policy: &DpopPolicy) -> Self {
        let nonces = policy.nonce_secret.as_ref().map(|secret| Nonces::new(secret, CLOCK_SKEW));
        Self { max_age: policy.max_age, nonces }
    }

    /// Checks 1 to 11 of §4.3, for a request to this target.
    fn check(&self, proofs: &[Secret<String>], target: &Target, now: Timestamp) -> Result<Proof, Error> {
        // 1. There is one, and not more than one.
        let [proof] = proofs else {
            return Err(invalid(match proofs {
                [] => "a DPoP proof is required",
                _ => "there is more than one DPoP proof",
            }));
        };
        // 2. It is a well-formed JWT.
        let jws = UnverifiedJws::parse(proof.expose()).map_err(|error| match error {
            InvalidJws::TooLong => invalid("the DPoP proof is too long"),
            _ => invalid("the DPoP proof is not a well-formed JWT"),
        })?;
        let header = jws.header();
        // 4. typ
        if !header.typ.as_deref().is_some_and(is_dpop_jwt) {
            return Err(invalid("the typ of the DPoP proof is not dpop+jwt"));
        }
        // 5. alg: asymmetric and known.
        let alg = header.algorithm().filter(|alg| !alg.is_symmetric()).ok_or_else(|| {
            invalid("the alg of the DPoP proof is not one of dpop_signing_alg_values_supported")
        })?;
        // 7. The key in jwk is a public one, and one that fits.
        let jwk = header.jwk.as_deref().ok_or_else(|| invalid("the DPoP proof has no jwk"))?;
        let EmbeddedKey { key, thumbprint: jkt } = EmbeddedKey::parse(jwk.get(), alg)
            .map_err(|_| invalid("the jwk of the DPoP proof is not a sound public key for its alg"))?;
        // 6. The signature is that of this key.
        let payload = jws.verify(&key).map_err(|_| invalid("the signature of the DPoP proof is wrong"))?;
        // 3. All required claims are there.
        let claims = Claims::read(&payload)?;
        // 8. htm; methods are case-sensitive (RFC 9110 §9.1).
        if claims.htm != target.method {
            return Err(invalid("the htm of the DPoP proof is not the method of the request"));
        }
        // 9. htu, without query and fragment.
        if !same_target(&claims.htu, &target.uri) {
            return Err(invalid("the htu of the DPoP proof is not the URI of the request"));
        }
        // 10. The nonce is one of ours, where we ask for one; otherwise it says nothing.
        if let Some(nonces) = &self.nonces
            && !claims.nonce.as_deref().is_some_and(|nonce| nonces.accepts(nonce, now))
        {
            return Err(Error::UseDpopNonce { nonce: nonces.current(now) });
        }
        // 11. It was made lately.
        if claims.issued_at > now + CLOCK_SKEW || now > claims.issued_at + self.max_age {
            return Err(invalid("the iat of the DPoP proof is too old or in the future"));
        }
        // What it says of its own time counts as in any JWT (RFC 7519 §4.1.4, §4.1.5).
        let (seconds, skew) = (now.since(Timestamp::from_seconds(0)).as_secs_f64(), CLOCK_SKEW.as_secs_f64());
        if claims.exp.is_some_and(|at| at + skew <= seconds)
            || claims.nbf.is_some_and(|at| at > seconds + skew)
        {
            return Err(invalid("the DPoP proof has expired or is not valid yet"));
        }
        // A replica whose clock is late by less than the skew still accepts a proof at `iat + max_age + CLOCK_SKEW` of ours.
        // Whoever remembers the jti must not forget it before: both durations are used here and in check 11, and the claim
        // lasts through the last second of `until` (V-46).
        let until = claims.issued_at + self.max_age + CLOCK_SKEW;
        Ok(Proof { jkt, jti: claims.jti, ath: claims.ath, until })
    }
}

/// The claims of a proof (§4.2).
#[derive(Debug)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    issued_at: Timestamp,
    exp: Option<f64>,
    nbf: Option<f64>,
    ath: Option<String>,
    nonce: Option<String>,
}

impl Claims {
    fn read(payload: &[u8]) -> Result<Self, Error> {
        let malformed =
            |_| invalid("the DPoP proof lacks jti, htm, htu or iat, or a claim has the wrong type");
        let members = Members::parse(payload).map_err(malformed)?;
        let read = || {
            Ok(Self {
                jti: members.required("jti")?,
                htm: members.required("htm")?,
                htu: members.required("htu")?,
                issued_at: numeric_date(members.required("iat")?),
                exp: members.optional("exp")?,
                nbf: members.optional("nbf")?,
                ath: members.optional("ath")?,
                nonce: members.optional("nonce")?,
            })
        };
        let claims = read().map_err(malformed)?;
        if claims.jti.is_empty() || claims.jti.len() > MAX_JTI {
            return Err(invalid("the jti of the DPoP proof is empty or too long"));
        }
        Ok(claims)
    }
}

/// A NumericDate (RFC 7519 §2), which may have a fraction. What is no instant of ours is refused for its age.
fn numeric_date(seconds: f64) -> Timestamp {
    Timestamp::from_epoch(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// Media types are compared without regard to case, and `application/` may be spelled out (RFC 7515 §4.1.9).
fn is_dpop_jwt(typ: &str) -> bool {
    let (prefix, rest) = typ.split_at_checked("application/".len()).unwrap_or(("", typ));
    let name = if prefix.eq_ignore_ascii_case("application/") { rest } else { typ };
    name.eq_ignore_ascii_case("dpop+jwt")
}

impl AuthorizationServer {
    /// The key a token is to be bound to: that of the proof of a token request (§5).
    ///
    /// # Errors
    /// [`Error::InvalidDpopProof`], [`Error::UseDpopNonce`], [`Error::TemporarilyUnavailable`] when nobody can say whether
    /// the proof was used before.
    pub(super) async fn proven_key(&self, sender: &Sender, now: Timestamp) -> Result<String, Error> {
        let proof = self.dpop.check(&sender.dpop_proofs, &self.target(sender), now)?;
        self.use_up(&proof, now).await?;
        Ok(proof.jkt)
    }

    /// Checks the proof that goes with a token which is bound to a key (§7.1).
    ///
    /// # Errors
    /// As [`AuthorizationServer::proven_key`].
    pub(super) async fn check_proof(
        &self,
        presented: &PresentedToken,
        jkt: &str,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<(), Error> {
        let proof = self.dpop.check(&sender.dpop_proofs, &self.target(sender), now)?;
        // 12. It is for this token, and by the key of this token.
        let hash = base64url(digest::digest(&digest::SHA256, presented.token.expose().as_bytes()));
        if proof.ath.as_ref() != Some(&hash) {
            return Err(invalid("the ath of the DPoP proof is not the hash of the access token"));
        }
        if proof.jkt != jkt {
            return Err(invalid("the access token is bound to another key than that of the DPoP proof"));
        }
        self.use_up(&proof, now).await
    }

    /// A nonce for the next proof of a sender that uses DPoP, when one is asked for (§8.2).
    pub fn next_dpop_nonce(&self, sender: &Sender) -> Option<String> {
        let nonces = self.dpop.nonces.as_ref().filter(|_| !sender.dpop_proofs.is_empty())?;
        Some(nonces.current(self.clock.now()))
    }

    fn target(&self, sender: &Sender) -> Target {
        Target { method: sender.http_method, uri: sender.endpoint.url(self.issuer()) }
    }

    async fn use_up(&self, proof: &Proof, now: Timestamp) -> Result<(), Error> {
        let parts = [proof.jkt.as_str(), proof.jti.as_str()];
        self.replays.claim(Namespace::DpopProof, &parts, proof.until, now).await.map_err(
            |error| match error {
                ReplayError::Seen => invalid("the DPoP proof was used before"),
                ReplayError::Unavailable { retry_after } => Error::TemporarilyUnavailable { retry_after },
                // Proofs are accepted for longer than one replica answers for alone: until the store is back there is none.
                ReplayError::TooLong => Error::TemporarilyUnavailable { retry_after: super::replay::RETRY },
            },
        )
    }
}

#[cfg(test)]
mod tests;
