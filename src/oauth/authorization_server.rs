//! The authorization server (RFC 6749 §1.1): what it is made of. Each operation has a file of its own.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    Issuer,
    access_token::AccessToken,
    client::{ClientDirectory, authenticate::Authenticator, secret::SecretVerifier},
    error::{Error, TokenRefusal},
    keys::Keys,
    metadata::Metadata,
    throttle::{FailureThrottle, Rate},
};
use crate::{
    clock::{Clock, Timestamp},
    jose::{SigningAlgorithm, jwk::PublishedJwkSet},
    random::Random,
};

/// What an operator decides.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The issuer identifier; every endpoint URL starts with it.
    pub issuer: Issuer,
    /// The longest lifetime of any token.
    pub max_lifetime: Duration,
    /// How many authentication failures are too many; `None` does not limit them.
    pub failed_auth_rate: Option<Rate>,
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
}

/// The service that every transport calls.
pub struct AuthorizationServer {
    pub(super) policy: Policy,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) clients: Arc<ClientDirectory>,
    pub(super) authenticator: Authenticator,
    pub(super) keys: Arc<Keys>,
    metadata: Metadata,
}

impl AuthorizationServer {
    /// Puts the server together.
    pub fn new(policy: Policy, dependencies: Dependencies) -> Self {
        let Dependencies { clock, random, clients, secrets, keys } = dependencies;
        let throttle = policy.failed_auth_rate.map(FailureThrottle::new);
        Self {
            metadata: Metadata::new(&policy.issuer, &keys.current()),
            authenticator: Authenticator::new(Arc::clone(&clients), secrets, throttle),
            policy,
            clock,
            random,
            clients,
            keys,
        }
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
        self.keys.current().signing_key(alg).is_some()
    }

    /// Verifies an access token of this server whose client is still known and enabled.
    pub(super) fn verify_access_token(&self, text: &str, now: Timestamp) -> Result<AccessToken, Error> {
        AccessToken::verify(text, &self.keys.current(), &self.policy.issuer, now)
            .and_then(|token| {
                let client = self.clients.find(token.client_id.as_str());
                if client.is_some_and(|client| client.enabled) {
                    Ok(token)
                } else {
                    Err(TokenRefusal::Client)
                }
            })
            .map_err(Error::InvalidToken)
    }
}

impl fmt::Debug for AuthorizationServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationServer").field("policy", &self.policy).finish_non_exhaustive()
    }
}
