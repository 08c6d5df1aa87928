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
    Client, ClientAuthentication, ClientDirectory, ClientId, ClientSecret, SecretHash,
    TokenEndpointAuthMethod,
    assertion::{self, AssertionVerifier, ClientAssertion, Proven, refusal::AssertionRefusal},
    credentials::{AssertionKind, Proof},
    keys::KeySource,
    mtls::{CertificateTrust, CertificateVerifier},
    secret::{SecretVerifier, Verdict, is_generated},
    uses::SecretUses,
};
use crate::{
    clock::Timestamp,
    jose::verification_key::InvalidKey,
    oauth::{
        error::{ClientRefusal, Error},
        federation::{Federation, Unproven, refusal::FederationRefusal},
        issuer::Issuer,
        replay::{Namespace, ReplayError, ReplayGuard},
        sender::Sender,
        throttle::{Attempt, FailureThrottle},
    },
    refusal::RefusalReason,
    secret::Secret,
};

/// When a caller should come back whose assertion is valid for longer than this replica may remember.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// A client that has proved who it is. Only [`Authenticator::authenticate`] makes one, so code that asks for it cannot
/// run without authentication.
#[derive(Clone, Debug)]
pub struct AuthenticatedClient {
    client: Arc<Client>,
    /// What is kept of the secret under which its assertion was made.
    secret: Option<SecretHash>,
    /// Whether the assertion that is the grant was the proof.
    by_grant: bool,
}

impl AuthenticatedClient {
    /// Whether the assertion that is the grant was the proof, so that it is verified and used up.
    pub(in crate::oauth) fn proved_by_grant(&self) -> bool {
        self.by_grant
    }
}

impl Deref for AuthenticatedClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Verifies claims to be a client.
#[derive(Debug)]
pub struct Authenticator {
    directory: Arc<ClientDirectory>,
    verifier: Arc<SecretVerifier>,
    assertions: AssertionVerifier,
    certificates: CertificateVerifier,
    throttle: Option<FailureThrottle>,
    uses: Arc<SecretUses>,
    replays: Arc<ReplayGuard>,
    federation: Option<Arc<Federation>>,
}

/// What an [`Authenticator`] takes from outside.
#[derive(Debug)]
pub struct Dependencies {
    /// The issuer identifier, which assertions name as their audience.
    pub issuer: Issuer,
    /// The clients.
    pub directory: Arc<ClientDirectory>,
    /// Checks their secrets.
    pub secrets: Arc<SecretVerifier>,
    /// Limits failures; without one, guesses are limited by the cost of Argon2id alone.
    pub throttle: Option<FailureThrottle>,
    /// Takes note of the secrets that are used.
    pub uses: Arc<SecretUses>,
    /// Sees to it that an assertion is used once.
    pub replays: Arc<ReplayGuard>,
    /// Knows the keys that clients publish.
    pub published_keys: Option<Arc<dyn KeySource>>,
    /// Whose certificates count.
    pub trust: Arc<CertificateTrust>,
    /// Verifies the tokens of others.
    pub federation: Option<Arc<Federation>>,
}

impl Authenticator {
    /// Puts it together.
    ///
    /// # Errors
    /// [`InvalidKey`] when the generator of keys fails.
    pub fn new(dependencies: Dependencies) -> Result<Self, InvalidKey> {
        let Dependencies { issuer, directory, secrets, throttle, uses, replays, .. } = dependencies;
        let (published_keys, federation) = (dependencies.published_keys, dependencies.federation);
        let certificates = CertificateVerifier::new(dependencies.trust, published_keys.clone());
        let assertions = AssertionVerifier::new(issuer, Arc::clone(&secrets), published_keys)?;
        Ok(Self {
            directory,
            verifier: secrets,
            assertions,
            certificates,
            throttle,
            uses,
            replays,
            federation,
        })
    }

    /// Verifies a claim that a sender makes.
    ///
    /// An unknown client, a disabled one, one registered for another method and a wrong proof take the same path and
    /// end in the same error (V-22, V-25).
    ///
    /// # Errors
    /// [`Error::InvalidClient`], or [`Error::InvalidGrant`] when the grant is the proof; [`Error::RateLimited`] after too many
    /// failures; [`Error::Busy`] when the secret could not be checked in time or too many key sets are being fetched;
    /// [`Error::TemporarilyUnavailable`] when the client could not be looked up, or when the store cannot say whether an
    /// assertion was used before.
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
            Proof::Assertion { .. } | Proof::Certificate | Proof::Grant { .. } => {
                // Boxed, so that requests with a secret do not take the memory of this.
                Box::pin(self.by_key(claim, sender, now)).await
            }
        }
    }

    /// By what nobody can guess: an assertion or a certificate. Whoever fails only spends the budget for the store.
    async fn by_key(
        &self,
        claim: &ClientAuthentication,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<AuthenticatedClient, Error> {
        let (attempt, client) = self.begin(&claim.client_id, sender.source, now).await?;
        // Which of the methods of a proof it is, the registration of the client decides.
        let verified = match &claim.proof {
            Proof::Assertion { assertion, kind } if self.is_foreign(assertion, *kind) => {
                self.by_foreign_assertion(client, assertion, *kind, now).await
            }
            Proof::Grant { assertion } => self.by_grant(client, assertion, now).await,
            Proof::Assertion { assertion, kind: AssertionKind::JwtBearer } => {
                let client = client.filter(|client| uses(client, &assertion::METHODS));
                self.by_assertion(client, &claim.client_id, assertion, sender, now).await
            }
            Proof::Certificate => self.by_certificate(client, sender, now).await,
            Proof::Assertion { kind: AssertionKind::JwtSpiffe, .. } | Proof::Secret { .. } => {
                Err(Error::InvalidClient(ClientRefusal::UnsupportedMethod))
            }
        };
        match verified {
            // Where the store is not read any more, a known client must not tell itself apart (V-22).
            Err(Error::InvalidClient(_) | Error::InvalidGrant(_)) if attempt.exhausted.is_some() => {
                Err(too_many_failures(attempt.exhausted.unwrap_or_default()))
            }
            Err(Error::InvalidClient(_) | Error::InvalidGrant(_)) => verified,
            _ => {
                attempt.forgive();
                verified
            }
        }
    }

    /// By an assertion of the client itself (RFC 7523 §2.2). The claim that it was not used before comes last: nobody can use
    /// up what is not theirs (V-46).
    async fn by_assertion(
        &self,
        client: Option<Arc<Client>>,
        client_id: &ClientId,
        assertion: &Secret<String>,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<AuthenticatedClient, Error> {
        let assertion = ClientAssertion::read(assertion.expose())
            .map_err(|refusal| Error::InvalidClient(ClientRefusal::Assertion(refusal)))?;
        // Somebody chose the secret, so that somebody may guess it.
        let throttle = self.throttle.as_ref().filter(|_| assertion.is_of_secret());
        if let Some(retry_after) = throttle.and_then(|t| t.blocked(sender.source, client_id, now)) {
            return Err(too_many_failures(retry_after));
        }

        let verified = self.assertions.verify(client.as_deref(), &assertion, sender.endpoint, now).await;
        if let (Some(throttle), Err(Error::InvalidClient(_))) = (throttle, &verified) {
            throttle.charge(sender.source, client_id, now).map_err(too_many_failures)?;
        }
        let Proven { secret, one_use } = verified?;
        self.replays
            .claim(Namespace::ClientAssertion, &[client_id.as_str(), &one_use.token_id], one_use.until, now)
            .await
            .map_err(refuse_replay)?;

        if let Some(secret_id) = secret.and_then(|secret| secret.secret_id.as_ref()) {
            self.uses.note(client_id, secret_id, now);
        }
        let secret = secret.map(|secret| secret.hash.clone());
        client
            .map(|client| AuthenticatedClient { client, secret, by_grant: false })
            .ok_or(Error::InvalidClient(ClientRefusal::Assertion(AssertionRefusal::Client)))
    }

    /// By the certificate of the connection (RFC 8705 §2).
    async fn by_certificate(
        &self,
        client: Option<Arc<Client>>,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<AuthenticatedClient, Error> {
        let Some(chain) = &sender.certificate else {
            return Err(Error::InvalidClient(ClientRefusal::NoCredentials));
        };
        self.certificates.verify(client.as_deref(), chain, now).await?;
        client
            .map(|client| AuthenticatedClient { client, secret: None, by_grant: false })
            .ok_or(Error::InvalidClient(ClientRefusal::WrongCredentials))
    }

    /// Whether an assertion is one of somebody else than the client.
    fn is_foreign(&self, assertion: &Secret<String>, kind: AssertionKind) -> bool {
        kind == AssertionKind::JwtSpiffe
            || self.federation.as_ref().is_some_and(|federation| federation.is_foreign(assertion.expose()))
    }

    /// By a token of a trusted issuer, or a JWT-SVID.
    async fn by_foreign_assertion(
        &self,
        client: Option<Arc<Client>>,
        assertion: &Secret<String>,
        kind: AssertionKind,
        now: Timestamp,
    ) -> Result<AuthenticatedClient, Error> {
        let only_workloads = kind == AssertionKind::JwtSpiffe;
        let accepted = self.accept_foreign(client, assertion, only_workloads, now).await;
        let client = accepted.map_err(|unproven| match unproven {
            Unproven::Refused(refusal) => Error::InvalidClient(ClientRefusal::Federation(refusal)),
            Unproven::Later(error) => error,
        })?;
        Ok(AuthenticatedClient { client, secret: None, by_grant: false })
    }

    /// By the assertion that is the grant, and by nothing beside it.
    async fn by_grant(
        &self,
        client: Option<Arc<Client>>,
        assertion: &Secret<String>,
        now: Timestamp,
    ) -> Result<AuthenticatedClient, Error> {
        let accepted = self.accept_foreign(client, assertion, false, now).await;
        let client = accepted.map_err(invalid_grant)?;
        Ok(AuthenticatedClient { client, secret: None, by_grant: true })
    }

    /// Verifies a token of somebody else, whether there is a client or not (V-22), and accepts it for the client.
    async fn accept_foreign(
        &self,
        client: Option<Arc<Client>>,
        assertion: &Secret<String>,
        only_workloads: bool,
        now: Timestamp,
    ) -> Result<Arc<Client>, Unproven> {
        let federation = self.federation.as_ref().ok_or(FederationRefusal::NotTrusted)?;
        let vouched = federation.verify(assertion.expose(), now).await?;
        if only_workloads && !vouched.is_of_workload() {
            return Err(FederationRefusal::NotTrusted.into());
        }
        let client = client.filter(|client| vouched.is_proof_for(client));
        let client = client.ok_or(FederationRefusal::OtherSubject)?;
        federation.accept(vouched, &client, now).await?;
        Ok(client)
    }

    /// Verifies the assertion of a grant that a client presents who proved by other means who it is.
    ///
    /// # Errors
    /// [`Error::InvalidGrant`]; those of the store and of keys that cannot be had.
    pub(in crate::oauth) async fn accept_grant(
        &self,
        client: &Client,
        assertion: &Secret<String>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let accepted = async {
            let federation = self.federation.as_ref().ok_or(FederationRefusal::NotTrusted)?;
            let vouched = federation.verify(assertion.expose(), now).await?;
            federation.accept(vouched, client, now).await
        };
        accepted.await.map_err(invalid_grant)
    }

    /// Whether a client that authenticated a while ago with this claim still could in the same way. A secret is verified
    /// again. What is used once is not: the client must be enabled, nothing about how it authenticates may have changed, and
    /// the secret of its assertion must still be good. Returns it as it is registered now.
    ///
    /// # Errors
    /// [`Error::InvalidClient`] when it is not so; those of [`Authenticator::authenticate`] when nobody can say.
    pub async fn look_again(
        &self,
        claim: &ClientAuthentication,
        before: &AuthenticatedClient,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<AuthenticatedClient, Error> {
        if matches!(claim.proof, Proof::Secret { .. }) {
            return self.authenticate(claim, sender, now).await;
        }
        let client = self.directory.find(before.client_id.as_str()).await?;
        let stands = |client: &Arc<Client>| {
            client.enabled
                && client.token_endpoint_auth_method == before.token_endpoint_auth_method
                && client.proof == before.proof
                && before
                    .secret
                    .as_ref()
                    .is_none_or(|used| client.usable_secrets(now).any(|secret| secret.hash == *used))
        };
        client
            .filter(stands)
            .map(|client| AuthenticatedClient { client, ..before.clone() })
            .ok_or(Error::InvalidClient(ClientRefusal::WrongCredentials))
    }

    /// Begins an attempt at a source, with the client of this identifier if it is known and enabled.
    async fn begin(
        &self,
        client_id: &ClientId,
        source: IpAddr,
        now: Timestamp,
    ) -> Result<(Attempt<'_>, Option<Arc<Client>>), Error> {
        let attempt = Attempt::begin(self.throttle.as_ref(), source, now);
        if let Some(retry_after) = attempt.exhausted
            && self.directory.needs_store(client_id.as_str())
        {
            return Err(too_many_failures(retry_after));
        }
        match self.directory.find(client_id.as_str()).await {
            Ok(client) => Ok((attempt, client.filter(|client| client.enabled))),
            Err(error) => {
                attempt.forgive();
                Err(error.into())
            }
        }
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
            return Err(too_many_failures(retry_after));
        }

        let (attempt, client) = self.begin(client_id, source, now).await?;
        let exhausted = attempt.exhausted.map(too_many_failures);
        let client = client.filter(|client| accepts_secret(client, method));
        let secrets: Vec<&ClientSecret> =
            client.iter().flat_map(|client| client.usable_secrets(now)).collect();
        let hashes: Vec<&SecretHash> = secrets.iter().map(|secret| &secret.hash).collect();
        let charged = AtomicBool::new(false);
        let toll = || {
            charged.store(true, Ordering::Relaxed);
            throttle.map_or(Ok(()), |throttle| throttle.charge(source, client_id, now))
        };
        let verdict = self.verifier.verify(&hashes, secret, source, toll).await;

        match (verdict, &client) {
            (Verdict::Right(place), Some(client)) => {
                if let Some(secret_id) = secrets.get(place).and_then(|secret| secret.secret_id.as_ref()) {
                    self.uses.note(&client.client_id, secret_id, now);
                }
                if let Some(throttle) = throttle.filter(|_| charged.load(Ordering::Relaxed)) {
                    throttle.refund(source, client_id);
                }
                attempt.forgive();
                Ok(AuthenticatedClient { client: Arc::clone(client), secret: None, by_grant: false })
            }
            (Verdict::NoToll(retry_after), _) => Err(too_many_failures(retry_after)),
            (Verdict::NoTurn(refused), _) => {
                attempt.forgive();
                Err(refused.into())
            }
            // Where the store is not read any more, a known client must not tell itself apart (V-22).
            (Verdict::Wrong | Verdict::Right(_), _) => {
                Err(exhausted.unwrap_or(Error::InvalidClient(ClientRefusal::WrongCredentials)))
            }
        }
    }
}

/// Whether the client is registered for one of these methods.
fn uses(client: &Client, methods: &[TokenEndpointAuthMethod]) -> bool {
    client.token_endpoint_auth_method.is_some_and(|method| methods.contains(&method))
}

fn too_many_failures(retry_after: Duration) -> Error {
    Error::RateLimited { reason: RefusalReason::FailedAuthRate, retry_after }
}

fn invalid_grant(unproven: Unproven) -> Error {
    match unproven {
        Unproven::Refused(refusal) => Error::InvalidGrant(refusal),
        Unproven::Later(error) => error,
    }
}

/// Who presents an assertion again is no client; when nobody can say whether it was, the caller may come back with another.
fn refuse_replay(error: ReplayError) -> Error {
    match error {
        ReplayError::Seen => Error::InvalidClient(ClientRefusal::Assertion(AssertionRefusal::Replayed)),
        ReplayError::Unavailable { retry_after } => Error::TemporarilyUnavailable { retry_after },
        ReplayError::TooLong => Error::TemporarilyUnavailable { retry_after: BUSY_RETRY },
    }
}

/// Whether the client may present its secret in this way (CHK-25).
fn accepts_secret(client: &Client, method: TokenEndpointAuthMethod) -> bool {
    client.token_endpoint_auth_method.is_none_or(|registered| registered == method)
}
