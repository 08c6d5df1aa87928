//! Client authentication (RFC 6749 §2.3, §3.2.1): a claim to be a client becomes the proof of it.

use std::{
    net::IpAddr,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    Client, ClientAuthentication, ClientDirectory, ClientSecret, SecretHash,
    secret::{SecretVerifier, Verdict, is_generated},
    uses::SecretUses,
};
use crate::{
    clock::Timestamp,
    oauth::{
        error::{ClientRefusal, Error},
        throttle::{Attempt, FailureThrottle},
    },
};

/// When a caller who found every turn at Argon2id taken should come back.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// A client that has proved who it is. Only [`Authenticator::authenticate`] makes one, so code that asks for it cannot
/// run without authentication.
#[derive(Clone, Debug)]
pub struct AuthenticatedClient(Arc<Client>);

impl Deref for AuthenticatedClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

/// Verifies claims to be a client.
#[derive(Debug)]
pub struct Authenticator {
    directory: Arc<ClientDirectory>,
    verifier: Arc<SecretVerifier>,
    throttle: Option<FailureThrottle>,
    uses: Arc<SecretUses>,
}

impl Authenticator {
    /// An authenticator over these clients. Without a throttle, guesses are limited by the cost of Argon2id alone.
    pub fn new(
        directory: Arc<ClientDirectory>,
        verifier: Arc<SecretVerifier>,
        throttle: Option<FailureThrottle>,
        uses: Arc<SecretUses>,
    ) -> Self {
        Self { directory, verifier, throttle, uses }
    }

    /// Verifies a claim made from `source`.
    ///
    /// An unknown client, a disabled one, one registered for another method and a wrong secret take the same path and
    /// end in the same error (V-22, V-25).
    ///
    /// # Errors
    /// [`Error::InvalidClient`]; [`Error::RateLimited`] after too many failures; [`Error::Busy`] when the secret could not
    /// be checked in time; [`Error::TemporarilyUnavailable`] when the client could not be looked up.
    pub async fn authenticate(
        &self,
        claim: &ClientAuthentication,
        source: IpAddr,
        now: Timestamp,
    ) -> Result<AuthenticatedClient, Error> {
        // A generated secret cannot be guessed: the right one of a client in memory is never held up, and guesses of that
        // form lock nobody out of it.
        let throttle = self.throttle.as_ref().filter(|_| !is_generated(claim.secret.expose()));
        if let Some(retry_after) = throttle.and_then(|t| t.blocked(source, &claim.client_id, now)) {
            return Err(Error::RateLimited { retry_after });
        }

        let attempt = Attempt::begin(self.throttle.as_ref(), source, now);
        let exhausted = attempt.exhausted.map(|retry_after| Error::RateLimited { retry_after });
        if let Some(refusal) =
            exhausted.clone().filter(|_| self.directory.needs_store(claim.client_id.as_str()))
        {
            return Err(refusal);
        }
        let client = match self.directory.find(claim.client_id.as_str()).await {
            Ok(client) => client.filter(|client| client.enabled && client.accepts_method(claim.method)),
            Err(error) => {
                attempt.forgive();
                return Err(error.into());
            }
        };
        let secrets: Vec<&ClientSecret> =
            client.iter().flat_map(|client| client.usable_secrets(now)).collect();
        let hashes: Vec<&SecretHash> = secrets.iter().map(|secret| &secret.hash).collect();
        let charged = AtomicBool::new(false);
        let toll = || {
            charged.store(true, Ordering::Relaxed);
            throttle.map_or(Ok(()), |throttle| throttle.charge(source, &claim.client_id, now))
        };
        let verdict = self.verifier.verify(&hashes, &claim.secret, toll).await;

        match (verdict, &client) {
            (Verdict::Right(place), Some(client)) => {
                if let Some(secret_id) = secrets.get(place).and_then(|secret| secret.secret_id.as_ref()) {
                    self.uses.note(&client.client_id, secret_id, now);
                }
                if let Some(throttle) = throttle.filter(|_| charged.load(Ordering::Relaxed)) {
                    throttle.refund(source, &claim.client_id);
                }
                attempt.forgive();
                Ok(AuthenticatedClient(Arc::clone(client)))
            }
            (Verdict::NoToll(retry_after), _) => Err(Error::RateLimited { retry_after }),
            (Verdict::NoTurn, _) => {
                attempt.forgive();
                Err(Error::Busy { retry_after: BUSY_RETRY })
            }
            // Where the store is not read any more, a known client must not tell itself apart (V-22).
            (Verdict::Wrong | Verdict::Right(_), _) => {
                Err(exhausted.unwrap_or(Error::InvalidClient(ClientRefusal::WrongCredentials)))
            }
        }
    }
}
