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
    Client, ClientAuthentication, ClientDirectory, ClientId, ClientKeys, ClientSecret, SecretHash,
    TokenEndpointAuthMethod,
    credentials::Proof,
    mtls::{self, CertificateTrust},
    secret::{SecretVerifier, Verdict, is_generated},
    uses::SecretUses,
};
use crate::{
    clock::Timestamp,
    oauth::{
        error::{ClientRefusal, Error},
        sender::Sender,
        throttle::{Attempt, FailureThrottle},
    },
    secret::Secret,
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
    trust: Arc<CertificateTrust>,
}

impl Authenticator {
    /// An authenticator over these clients. Without a throttle, guesses are limited by the cost of Argon2id alone.
    pub fn new(
        directory: Arc<ClientDirectory>,
        verifier: Arc<SecretVerifier>,
        throttle: Option<FailureThrottle>,
        uses: Arc<SecretUses>,
        trust: Arc<CertificateTrust>,
    ) -> Self {
        Self { directory, verifier, throttle, uses, trust }
    }

    /// Verifies a claim that a sender makes.
    ///
    /// An unknown client, a disabled one, one registered for another method and a wrong proof take the same path and
    /// end in the same error (V-22, V-25).
    ///
    /// # Errors
    /// [`Error::InvalidClient`]; [`Error::RateLimited`] after too many failures; [`Error::Busy`] when the secret could not
    /// be checked in time; [`Error::TemporarilyUnavailable`] when the client could not be looked up, or when the store cannot
    /// say whether an assertion was used before.
    pub async fn authenticate(
        &self,
        claim: &ClientAuthentication,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<AuthenticatedClient, Error> {
        match &claim.proof {
            Proof::Secret { secret, method } => {
                self.by_secret(&claim.client_id, secret, *method, sender.source, now).await
            }
            Proof::Assertion { .. } | Proof::Certificate => self.by_key(claim, sender, now).await,
        }
    }

    /// By what nobody can guess: an assertion or a certificate. Whoever fails only spends the budget for the store.
    async fn by_key(
        &self,
        claim: &ClientAuthentication,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<AuthenticatedClient, Error> {
        let attempt = Attempt::begin(self.throttle.as_ref(), sender.source, now);
        let client = match self.find(&claim.client_id, &attempt).await {
            Ok(client) => client,
            Err(error @ Error::RateLimited { .. }) => return Err(error),
            Err(error) => {
                attempt.forgive();
                return Err(error);
            }
        };
        let verified = match (&claim.proof, client) {
            (Proof::Secret { .. }, _) | (_, None) => {
                Err(Error::InvalidClient(ClientRefusal::WrongCredentials))
            }
            (Proof::Certificate, Some(client)) => {
                self.by_certificate(&client, sender, now).map(|()| AuthenticatedClient(client))
            }
            (Proof::Assertion { .. }, Some(_)) => Err(Error::InvalidClient(ClientRefusal::UnsupportedMethod)),
        };
        if !matches!(verified, Err(Error::InvalidClient(_))) {
            attempt.forgive();
        }
        verified
    }

    /// By the certificate of the connection, against what is registered for the client's method (RFC 8705 §2).
    fn by_certificate(&self, client: &Client, sender: &Sender, now: Timestamp) -> Result<(), Error> {
        use TokenEndpointAuthMethod as Method;
        let refuse = |refusal| Err(Error::InvalidClient(refusal));
        let Some(chain) = &sender.certificate else { return refuse(ClientRefusal::NoCredentials) };
        let verified = match (client.token_endpoint_auth_method, &client.proof.keys) {
            (Some(Method::TlsClientAuth), _) => self.trust.verify_issued(client, chain, now),
            (Some(Method::SpiffeX509), _) => self.trust.verify_svid(client, chain, now),
            (Some(Method::SelfSignedTlsClientAuth), Some(ClientKeys::Registered { keys, .. })) => {
                mtls::verify_registered(keys, chain, now)
            }
            _ => return refuse(ClientRefusal::UnsupportedMethod),
        };
        verified.map_err(|reason| Error::InvalidClient(ClientRefusal::Certificate(reason)))
    }

    /// The client of this identifier, if it is known and enabled.
    async fn find(&self, client_id: &ClientId, attempt: &Attempt<'_>) -> Result<Option<Arc<Client>>, Error> {
        if let Some(retry_after) = attempt.exhausted
            && self.directory.needs_store(client_id.as_str())
        {
            return Err(Error::RateLimited { retry_after });
        }
        let client = self.directory.find(client_id.as_str()).await?;
        Ok(client.filter(|client| client.enabled))
    }

    async fn by_secret(
        &self,
        client_id: &ClientId,
        secret: &Secret<String>,
        method: TokenEndpointAuthMethod,
        source: IpAddr,
        now: Timestamp,
    ) -> Result<AuthenticatedClient, Error> {
        // A generated secret cannot be guessed: the right one of a client in memory is never held up, and guesses of that
        // form lock nobody out of it.
        let throttle = self.throttle.as_ref().filter(|_| !is_generated(secret.expose()));
        if let Some(retry_after) = throttle.and_then(|t| t.blocked(source, client_id, now)) {
            return Err(Error::RateLimited { retry_after });
        }

        let attempt = Attempt::begin(self.throttle.as_ref(), source, now);
        let exhausted = attempt.exhausted.map(|retry_after| Error::RateLimited { retry_after });
        let client = match self.find(client_id, &attempt).await {
            Ok(client) => client.filter(|client| accepts_secret(client, method)),
            Err(error @ Error::RateLimited { .. }) => return Err(error),
            Err(error) => {
                attempt.forgive();
                return Err(error);
            }
        };
        let secrets: Vec<&ClientSecret> =
            client.iter().flat_map(|client| client.usable_secrets(now)).collect();
        let hashes: Vec<&SecretHash> = secrets.iter().map(|secret| &secret.hash).collect();
        let charged = AtomicBool::new(false);
        let toll = || {
            charged.store(true, Ordering::Relaxed);
            throttle.map_or(Ok(()), |throttle| throttle.charge(source, client_id, now))
        };
        let verdict = self.verifier.verify(&hashes, secret, toll).await;

        match (verdict, &client) {
            (Verdict::Right(place), Some(client)) => {
                if let Some(secret_id) = secrets.get(place).and_then(|secret| secret.secret_id.as_ref()) {
                    self.uses.note(&client.client_id, secret_id, now);
                }
                if let Some(throttle) = throttle.filter(|_| charged.load(Ordering::Relaxed)) {
                    throttle.refund(source, client_id);
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

/// Whether the client may present its secret in this way (CHK-25).
fn accepts_secret(client: &Client, method: TokenEndpointAuthMethod) -> bool {
    client.token_endpoint_auth_method.is_none_or(|registered| registered == method)
}
