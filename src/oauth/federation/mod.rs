//! Tokens of others as proof of who asks: those of trusted issuers, such as the projected tokens of a cluster or the
//! identity tokens of a CI run (RFC 7521 §4, RFC 7523 §3), and JWT-SVIDs of SPIFFE trust domains.
//!
//! Such a token says who its subject is, and nothing of this server's clients. Which client may be meant is registered
//! with the client (`federated`, `spiffe_id`) and chosen by the request's `client_id`; one subject may serve several.
//!
//! The checks are numbered in the order they are made. The last, that a token with a `jti` was not used before, comes when
//! the client is known: nobody can use up what is not theirs (V-46).
//!
//! - [`claim`]: what is asked of claims: paths and patterns
//! - [`svid`]: what JWT-SVIDs must say
//! - [`refusal`]: why a token is not accepted

pub mod claim;
pub mod refusal;
pub mod svid;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use self::{
    claim::{Condition, Pattern},
    refusal::FederationRefusal,
};
use super::{
    client::{
        Client, TokenEndpointAuthMethod,
        keys::{KeyError, KeySource},
        spiffe::SpiffeId,
    },
    error::Error,
    issuer::Issuer,
    replay::{Namespace, ReplayError, ReplayGuard},
};
use crate::{
    clock::Timestamp,
    jose::{
        JwkSet, JwsAlgorithm,
        json::{InvalidJson, Members, OneOrMany},
        jwk_set::Selection,
        jws::UnverifiedJws,
    },
    refusal::RefusalReason,
};

/// How far the clocks of an issuer and this server may be apart.
const SKEW: Duration = Duration::from_secs(10);

/// How far ahead the end of a token that is used once may be: for so long its `jti` has to be remembered (V-17).
const LONGEST_SINGLE_USE: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest `jti`, in bytes.
const MAX_JTI: usize = 256;

/// Knows the keys of issuers by their metadata.
#[async_trait::async_trait]
pub trait IssuerKeySource: fmt::Debug + Send + Sync {
    /// The keys at the `jwks_uri` that the metadata of an issuer names. `kid` as in [`KeySource::keys`].
    ///
    /// # Errors
    /// [`KeyError`].
    async fn issuer_keys(&self, issuer: &str, kid: Option<&str>) -> Result<Arc<JwkSet>, KeyError>;
}

/// Where the keys of somebody else are.
#[derive(Debug)]
pub enum PublishedKeys {
    /// In a file, which was read; it may be read again.
    Read(Arc<ArcSwap<JwkSet>>),
    /// At a URL.
    At(Box<str>),
    /// Where the issuer's metadata says.
    Discovered,
}

/// An issuer whose tokens prove who asks.
#[derive(Debug)]
pub struct TrustedIssuer {
    /// `iss` of its tokens.
    pub issuer: String,
    /// Its keys.
    pub keys: PublishedKeys,
    /// What `aud` of its tokens must hold.
    pub audience: String,
    /// What its tokens may be signed with.
    pub algorithms: Vec<JwsAlgorithm>,
    /// Whether its tokens have a `jti` and are used once.
    pub uses_jti: bool,
    /// What its tokens must say.
    pub conditions: Vec<Condition>,
}

/// Where keys that are not in files come from.
#[derive(Clone, Debug)]
pub struct KeySources {
    /// By URL.
    pub urls: Arc<dyn KeySource>,
    /// By the metadata of an issuer.
    pub metadata: Arc<dyn IssuerKeySource>,
}

/// Those who are trusted to say who somebody is.
#[derive(Debug)]
pub struct Federation {
    own_issuer: Issuer,
    issuers: Vec<TrustedIssuer>,
    trust_domains: BTreeMap<String, PublishedKeys>,
    sources: KeySources,
    replays: Arc<ReplayGuard>,
}

/// Who vouches by a token, as it says itself.
#[derive(Debug)]
enum Voucher<'a> {
    Issuer(&'a TrustedIssuer),
    /// A trust domain and its keys.
    TrustDomain(&'a PublishedKeys),
}

/// A verified subject.
#[derive(Debug)]
pub struct Vouched {
    subject: Subject,
    /// What is still to be claimed.
    one_use: Option<OneUse>,
}

#[derive(Debug)]
enum Subject {
    OfIssuer { issuer: String, subject: String },
    Workload(SpiffeId),
}

#[derive(Debug)]
struct OneUse {
    token_id: String,
    until: Timestamp,
}

/// Why a token proves nothing.
#[derive(Debug)]
pub enum Unproven {
    /// It is not good.
    Refused(FederationRefusal),
    /// Nobody can say now; another attempt may succeed.
    Later(Error),
}

impl From<FederationRefusal> for Unproven {
    fn from(refusal: FederationRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Federation {
    /// Trust in these issuers, and in these trust domains with the keys of their JWT-SVIDs.
    pub fn new(
        own_issuer: Issuer,
        issuers: Vec<TrustedIssuer>,
        trust_domains: impl IntoIterator<Item = (String, PublishedKeys)>,
        sources: KeySources,
        replays: Arc<ReplayGuard>,
    ) -> Self {
        Self { own_issuer, issuers, trust_domains: trust_domains.into_iter().collect(), sources, replays }
    }

    /// Whether any issuer is trusted, so that the grant of RFC 7523 §2.1 can be had.
    pub fn trusts_issuers(&self) -> bool {
        !self.issuers.is_empty()
    }

    /// Whether an assertion is to be judged here: it says that it is of a trusted issuer or of a workload. An assertion that
    /// a client made itself names the client as issuer and subject, whatever the client is called (RFC 7523 §3).
    pub fn is_foreign(&self, text: &str) -> bool {
        UnverifiedJws::parse(text).is_ok_and(|jws| self.voucher(&jws).is_ok())
    }

    fn voucher(&self, jws: &UnverifiedJws<'_>) -> Result<Voucher<'_>, FederationRefusal> {
        let payload = jws.unverified_payload().map_err(FederationRefusal::Malformed)?;
        let claims = Members::parse(&payload).map_err(FederationRefusal::Claims)?;
        let text = |name| claims.optional::<String>(name).map_err(FederationRefusal::Claims);
        let (issuer, subject) = (text("iss")?, text("sub")?);
        if let Some(issuer) = &issuer
            && let Some(trusted) = self.issuers.iter().find(|trusted| trusted.issuer == *issuer)
        {
            return Ok(Voucher::Issuer(trusted));
        }
        let subject = subject.filter(|subject| issuer.as_ref() != Some(subject));
        let id = subject.and_then(|subject| SpiffeId::parse(&subject).ok());
        let keys = id.and_then(|id| self.trust_domains.get(id.trust_domain()));
        keys.map(Voucher::TrustDomain).ok_or(FederationRefusal::NotTrusted)
    }

    /// Verifies a token as far as it does not matter which client is meant, so that it takes as long for a client that does
    /// not exist (V-22).
    ///
    /// # Errors
    /// [`Unproven`].
    pub async fn verify(&self, text: &str, now: Timestamp) -> Result<Vouched, Unproven> {
        // 1. It is a JWS of the strict form (CHK-71 to CHK-73, V-1, V-5, V-9, V-10, V-14).
        let jws = UnverifiedJws::parse(text).map_err(FederationRefusal::Malformed)?;
        // 2. It does not say that it is something else, such as an access token of its issuer (RFC 8725 §3.11; CHK-76).
        let typ = jws.header().typ.as_deref();
        // 3. Somebody who is trusted vouches.
        let voucher = self.voucher(&jws)?;
        let is_of_type = match voucher {
            Voucher::Issuer(_) => typ.is_none_or(|typ| typ.eq_ignore_ascii_case("JWT")),
            Voucher::TrustDomain(_) => typ.is_none_or(|typ| typ == "JWT" || typ == "JOSE"),
        };
        if !is_of_type {
            return Err(FederationRefusal::Type.into());
        }
        // 4. With an algorithm it may use (V-1, V-2, CHK-74).
        let alg = jws.header().algorithm().filter(|alg| match &voucher {
            Voucher::Issuer(issuer) => issuer.algorithms.contains(alg) && !alg.is_symmetric(),
            Voucher::TrustDomain(_) => svid::ALGORITHMS.contains(alg),
        });
        let alg = alg.ok_or(FederationRefusal::Algorithm)?;
        // 5. Exactly one of its keys has the `kid` and fits, and made the signature (CHK-82).
        let set = self.keys(&voucher, jws.header().kid.as_deref()).await?;
        let payload = match set.find(jws.header().kid.as_deref(), alg) {
            Selection::Found(key) => jws.verify(key).map_err(|_| FederationRefusal::Signature)?,
            Selection::NoKey => return Err(FederationRefusal::NoKey.into()),
            Selection::Ambiguous => return Err(FederationRefusal::AmbiguousKey.into()),
        };
        // 6. The claims.
        let claims = Members::parse(&payload).map_err(FederationRefusal::Claims)?;
        Ok(match voucher {
            Voucher::Issuer(issuer) => issuer.check(&claims, now)?,
            Voucher::TrustDomain(_) => {
                let id = svid::check(&claims, &self.own_issuer, now)?;
                Vouched { subject: Subject::Workload(id), one_use: None }
            }
        })
    }

    async fn keys(&self, voucher: &Voucher<'_>, kid: Option<&str>) -> Result<Arc<JwkSet>, Unproven> {
        let (keys, issuer) = match voucher {
            Voucher::Issuer(issuer) => (&issuer.keys, &*issuer.issuer),
            Voucher::TrustDomain(keys) => (*keys, ""),
        };
        let found = match keys {
            PublishedKeys::Read(set) => Ok(set.load_full()),
            PublishedKeys::At(uri) => self.sources.urls.keys(uri, kid).await,
            PublishedKeys::Discovered => self.sources.metadata.issuer_keys(issuer, kid).await,
        };
        found.map_err(|error| match error {
            KeyError::Unavailable(reason) => {
                tracing::warn!(issuer, %reason, "the keys of a trusted issuer cannot be had");
                Unproven::Refused(FederationRefusal::KeysUnavailable)
            }
            KeyError::Busy { retry_after } => {
                Unproven::Later(Error::Busy { reason: RefusalReason::Overloaded, retry_after })
            }
        })
    }

    /// Takes a verified token for the proof that a client asks, for the first and only time if it has a `jti`.
    ///
    /// # Errors
    /// [`Unproven`].
    pub async fn accept(&self, vouched: Vouched, client: &Client, now: Timestamp) -> Result<(), Unproven> {
        // 7. The subject may act as the client.
        if !vouched.may_act_as(client) {
            return Err(FederationRefusal::OtherSubject.into());
        }
        // 8. It was not used before, by whatever client (V-44).
        let (Subject::OfIssuer { issuer, .. }, Some(one_use)) = (&vouched.subject, &vouched.one_use) else {
            return Ok(());
        };
        let parts = [&**issuer, &*one_use.token_id];
        let claimed = self.replays.claim(Namespace::FederatedAssertion, &parts, one_use.until, now).await;
        claimed.map_err(|error| match error {
            ReplayError::Seen => Unproven::Refused(FederationRefusal::Replayed),
            ReplayError::Unavailable { retry_after } => {
                Unproven::Later(Error::TemporarilyUnavailable { retry_after })
            }
            ReplayError::TooLong => {
                Unproven::Later(Error::TemporarilyUnavailable { retry_after: Duration::from_secs(1) })
            }
        })
    }
}

impl Vouched {
    /// Whether the subject is a workload.
    pub fn is_of_workload(&self) -> bool {
        matches!(self.subject, Subject::Workload(_))
    }

    /// Whether it is proof enough that the client asks: the client is registered for no other method (CHK-25). As a grant it
    /// may come beside any.
    pub fn is_proof_for(&self, client: &Client) -> bool {
        match (&self.subject, client.token_endpoint_auth_method) {
            (Subject::OfIssuer { .. }, method) => {
                method.is_none_or(|method| method == TokenEndpointAuthMethod::PrivateKeyJwt)
            }
            (Subject::Workload(_), method) => method == Some(TokenEndpointAuthMethod::SpiffeJwt),
        }
    }

    fn may_act_as(&self, client: &Client) -> bool {
        match &self.subject {
            Subject::OfIssuer { issuer, subject } => client.proof.federated.iter().any(|registered| {
                registered.issuer == *issuer && Pattern::new(&registered.subject).matches(subject)
            }),
            Subject::Workload(id) => svid::may_act_as(id, client),
        }
    }
}

impl TrustedIssuer {
    /// Checks the claims of one of its tokens (RFC 7523 §3).
    fn check(&self, claims: &Members<'_>, now: Timestamp) -> Result<Vouched, FederationRefusal> {
        let invalid = FederationRefusal::Claims;
        let subject: String = claims.required("sub").map_err(invalid)?;
        // 6.1 It is meant for this server. Clusters write one token for several audiences: each of them could present it here,
        //     which is for the operator of the cluster to decide.
        let audience: OneOrMany = claims.required("aud").map_err(invalid)?;
        if !audience.into_vec().contains(&self.audience) {
            return Err(FederationRefusal::Audience);
        }
        // 6.2 It is valid now.
        let expires_at = check_time(claims, now)?;
        // 6.3 It says what the operator asks for.
        if let Some(failed) = self.conditions.iter().find(|condition| !condition.holds(claims)) {
            tracing::debug!(issuer = self.issuer, condition = %failed, "a token of a trusted issuer fails a condition");
            return Err(FederationRefusal::Condition);
        }
        // 6.4 It can be told from every other, where it is to be used once.
        let one_use = if self.uses_jti { Some(one_use(claims, expires_at, now)?) } else { None };
        Ok(Vouched { subject: Subject::OfIssuer { issuer: self.issuer.clone(), subject }, one_use })
    }
}

fn one_use(claims: &Members<'_>, expires_at: Timestamp, now: Timestamp) -> Result<OneUse, FederationRefusal> {
    let token_id: String = claims.required("jti").map_err(FederationRefusal::Claims)?;
    if !(1..=MAX_JTI).contains(&token_id.len()) {
        return Err(FederationRefusal::Identifier);
    }
    if expires_at.since(now) > LONGEST_SINGLE_USE {
        return Err(FederationRefusal::Lifetime);
    }
    Ok(OneUse { token_id, until: expires_at + SKEW })
}

/// `exp` is there and ahead, `nbf` and `iat` are not (RFC 7519 §4.1). Returns `exp`.
fn check_time(claims: &Members<'_>, now: Timestamp) -> Result<Timestamp, FederationRefusal> {
    let instant = |name| instant(claims, name).map_err(FederationRefusal::Claims);
    let expires_at = instant("exp")?.ok_or(FederationRefusal::Claims(InvalidJson::Missing("exp")))?;
    if now >= expires_at + SKEW {
        return Err(FederationRefusal::Expired);
    }
    if [instant("nbf")?, instant("iat")?].into_iter().flatten().any(|instant| instant > now + SKEW) {
        return Err(FederationRefusal::NotYet);
    }
    Ok(expires_at)
}

/// A NumericDate (RFC 7519 §2), fractions cut off.
fn instant(claims: &Members<'_>, name: &'static str) -> Result<Option<Timestamp>, InvalidJson> {
    let Some(seconds) = claims.optional::<f64>(name)? else { return Ok(None) };
    // 2^53: beyond it a double has no single seconds any more.
    if !(0.0..=9_007_199_254_740_992.0).contains(&seconds) {
        return Err(InvalidJson::Member(name));
    }
    Duration::try_from_secs_f64(seconds.trunc())
        .map(|since_epoch| Some(Timestamp::from_epoch(since_epoch)))
        .map_err(|_| InvalidJson::Member(name))
}
