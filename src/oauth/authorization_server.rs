//! The authorization server (RFC 6749 §1.1): what it is made of. Each operation has a file of its own.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    Issuer,
    access_token::AccessToken,
    client::{
        AuthenticatedClient, Client, ClientAuthentication, ClientDirectory, ClientId,
        TokenEndpointAuthMethod,
        authenticate::{self, Authenticator},
        keys::KeySource,
        mtls::CertificateTrust,
        secret::SecretVerifier,
        uses::SecretUses,
    },
    dpop::{Dpop, DpopPolicy},
    error::{Error, TokenRefusal},
    federation::Federation,
    freshness::Freshness,
    grant::GrantType,
    keys::Keys,
    metadata::Metadata,
    replay::ReplayGuard,
    revocations::Revocations,
    sender::Sender,
    signing::SigningPool,
    store::RevocationStore,
    throttle::FailureThrottle,
};
use crate::{
    clock::{Clock, Timestamp},
    jose::{SigningAlgorithm, jwk::PublishedJwkSet, verification_key::InvalidKey},
    random::Random,
    rate::{Rate, RateLimiter},
    refusal::RefusalReason,
};

/// When a caller should come back to a replica that has lost touch with its store.
const STALE_RETRY: Duration = Duration::from_secs(1);

/// What an operator decides.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The issuer identifier; every endpoint URL starts with it.
    pub issuer: Issuer,
    /// The longest lifetime of any token.
    pub max_lifetime: Duration,
    /// How old what is known of revocations may be when a token is called active.
    pub max_revocation_age: Duration,
    /// How many authentication failures are too many; `None` does not limit them.
    pub failed_auth_rate: Option<Rate>,
    /// How many requests of one client are too many; `None` does not limit them.
    pub client_rate: Option<Rate>,
    /// Whether clients may register themselves (RFC 7591).
    pub registration: bool,
    /// The methods of client authentication that can succeed, as the metadata lists them.
    pub methods: Vec<TokenEndpointAuthMethod>,
    /// Whether client certificates can reach this server.
    pub certificates: bool,
    /// What is asked of DPoP proofs.
    pub dpop: DpopPolicy,
    /// What tokens are signed with by default, and introspection responses if it has a public key.
    pub signing_alg: SigningAlgorithm,
}

/// What the core takes from outside.
pub struct Dependencies {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
    /// The registered clients.
    pub clients: Arc<ClientDirectory>,
    /// Checks their secrets.
    pub secrets: Arc<SecretVerifier>,
    /// Signs and verifies.
    pub keys: Arc<Keys>,
    /// What was revoked.
    pub revocations: Arc<Revocations>,
    /// How old `clients` and `revocations` are.
    pub freshness: Arc<Freshness>,
    /// Keeps revocations; without it nothing can be revoked.
    pub revocation_store: Option<Arc<dyn RevocationStore>>,
    /// Sees to it that what may be used once is used once.
    pub replays: Arc<ReplayGuard>,
    /// Takes note of the secrets that are used.
    pub uses: Arc<SecretUses>,
    /// Knows the keys that clients publish; without it no client may have a `jwks_uri`.
    pub published_keys: Option<Arc<dyn KeySource>>,
    /// Whose client certificates count.
    pub trust: Arc<CertificateTrust>,
    /// Verifies the tokens of others; without it nobody else is trusted.
    pub federation: Option<Arc<Federation>>,
    /// Signs what takes long.
    pub signing_pool: Arc<SigningPool>,
}

/// The service that every transport calls.
pub struct AuthorizationServer {
    pub(super) policy: Policy,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) clients: Arc<ClientDirectory>,
    pub(super) authenticator: Authenticator,
    client_limiter: Option<RateLimiter<ClientId>>,
    pub(super) keys: Arc<Keys>,
    pub(super) revocations: Arc<Revocations>,
    pub(super) revocation_store: Option<Arc<dyn RevocationStore>>,
    pub(super) replays: Arc<ReplayGuard>,
    pub(super) dpop: Dpop,
    /// The grants that can be had.
    pub(super) grants: Vec<GrantType>,
    pub(super) freshness: Arc<Freshness>,
    pub(super) signing_pool: Arc<SigningPool>,
    metadata: Metadata,
}

impl AuthorizationServer {
    /// Puts the server together.
    ///
    /// # Errors
    /// [`InvalidKey`] when the generator of keys fails.
    pub fn new(policy: Policy, dependencies: Dependencies) -> Result<Self, InvalidKey> {
        let Dependencies {
            clock,
            random,
            clients,
            secrets,
            keys,
            revocations,
            freshness,
            revocation_store,
            replays,
            uses,
            published_keys,
            trust,
            federation,
            signing_pool,
        } = dependencies;
        let mut grants = vec![GrantType::ClientCredentials];
        if federation.as_ref().is_some_and(|federation| federation.trusts_issuers()) {
            grants.push(GrantType::JwtBearer);
        }
        let throttle = policy.failed_auth_rate.map(FailureThrottle::new);
        let authenticator = Authenticator::new(authenticate::Dependencies {
            issuer: policy.issuer.clone(),
            directory: Arc::clone(&clients),
            secrets,
            throttle,
            uses,
            replays: Arc::clone(&replays),
            published_keys,
            trust,
            federation,
        })?;
        Ok(Self {
            metadata: Metadata::new(&policy, &keys.current(), &grants),
            grants,
            authenticator,
            dpop: Dpop::new(&policy.dpop),
            client_limiter: policy.client_rate.map(RateLimiter::new),
            policy,
            clock,
            random,
            clients,
            keys,
            revocations,
            revocation_store,
            replays,
            freshness,
            signing_pool,
        })
    }

    /// The issuer identifier.
    pub fn issuer(&self) -> &Issuer {
        &self.policy.issuer
    }

    /// The metadata document (RFC 8414 §2, OpenID Connect Discovery 1.0 §3).
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The public keys (RFC 7517 §5).
    pub fn jwks(&self) -> PublishedJwkSet {
        self.keys.current().published().clone()
    }

    /// Whether there is a key for this algorithm.
    pub fn can_sign(&self, alg: SigningAlgorithm) -> bool {
        self.keys.is_configured(alg) || self.keys.current().signing_key(alg).is_some()
    }

    /// Verifies the claim of a sender to be a client. Only a request of the client itself counts against its rate, so that
    /// nobody can use up what is not theirs (V-26).
    pub(super) async fn authenticate(
        &self,
        claim: &ClientAuthentication,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<AuthenticatedClient, Error> {
        let client = self.authenticator.authenticate(claim, sender, now).await?;
        if let Some(limiter) = &self.client_limiter {
            limiter.charge(&client.client_id, now).map_err(|retry_after| Error::RateLimited {
                reason: RefusalReason::ClientRate,
                retry_after,
            })?;
        }
        Ok(client)
    }

    /// Verifies an access token as far as it says itself whether it is acceptable.
    pub(super) fn read_access_token(&self, text: &str, now: Timestamp) -> Result<AccessToken, TokenRefusal> {
        AccessToken::verify(text, &self.keys.current(), &self.policy.issuer, now)
    }

    /// Whether what is known of the store is recent enough to call a token good.
    pub(super) fn knows_the_news(&self, now: Timestamp) -> bool {
        self.freshness.is_fresh_for(self.policy.max_revocation_age, now)
    }

    /// Whether the store did not answer when it was last asked for news.
    pub(super) fn is_store_failing(&self) -> bool {
        self.freshness.is_failing()
    }

    /// The client of a token that was read and is still good: not revoked, its client known and enabled.
    ///
    /// What speaks against a token is said however old this replica's knowledge is: a forged or expired token stays one.
    /// Only that a token is good takes knowledge that is fresh.
    ///
    /// # Errors
    /// [`Error::InvalidToken`]; [`Error::TemporarilyUnavailable`] for a token that could have been revoked, or whose client
    /// could have been disabled, without this replica knowing.
    pub(super) async fn confirm(&self, token: &AccessToken, now: Timestamp) -> Result<Arc<Client>, Error> {
        if self.revocations.refuses(token) {
            return Err(Error::InvalidToken(TokenRefusal::Revoked));
        }
        if !self.knows_the_news(now) {
            return Err(Error::TemporarilyUnavailable { retry_after: STALE_RETRY });
        }
        let client = self.clients.find(token.client_id.as_str()).await?;
        client.filter(|client| client.enabled).ok_or(Error::InvalidToken(TokenRefusal::Client))
    }
}

impl fmt::Debug for AuthorizationServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationServer").field("policy", &self.policy).finish_non_exhaustive()
    }
}
