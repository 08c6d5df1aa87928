//! Clients in the store: register, read, change, delete (RFC 7591 names).
//!
//! Clients of the configuration file are read-only here. A change is a new revision of the whole document, made only if
//! nobody else changed it meanwhile; a caller that passes an etag is told so, any other change is repeated on what there is
//! then.

use std::{sync::Arc, time::Duration};

use super::{
    error::{AdminError, Violation},
    mask::Mask,
    page::PageTokens,
    secrets::{self, NewSecret, form_for},
    tokens::SKEW,
};
use crate::{
    clock::{Clock, Timestamp},
    jose::{SigningAlgorithm, base64url},
    oauth::{
        Issuer, Revocations,
        client::{
            Client, ClientDirectory, ClientId, ClientRegistration, IntrospectPermission,
            document::{ClientDocument, InvalidDocument},
            registration::{InvalidMember, RegistrationDefaults},
            secret::SecretVerifier,
        },
        store::{ClientRecord, ClientStore, RevocationStore, StoreError},
    },
    random::{self, Random},
    secret::Secret,
};

/// How often a change is repeated on a client that others change at the same time.
const ATTEMPTS: usize = 5;

/// What the administration of clients takes from outside.
pub struct Dependencies {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
    /// Where clients are kept.
    pub clients: Arc<dyn ClientStore>,
    /// Where revocations are kept.
    pub revocations: Arc<dyn RevocationStore>,
    /// What this process knows of them.
    pub revoked: Arc<Revocations>,
    /// How long a replica that has lost touch may go on issuing tokens to a client that was deleted meanwhile.
    pub max_staleness: Duration,
    /// Hashes secrets, under the key that all replicas share.
    pub secrets: Arc<SecretVerifier>,
    /// Clients of the configuration file, and the copies of others that a change makes stale.
    pub directory: Arc<ClientDirectory>,
    /// What registrations that leave members out get.
    pub defaults: RegistrationDefaults,
    /// The issuer identifier.
    pub issuer: Issuer,
    /// Whether there is a key for HS256, which is configured and never made.
    pub has_hs256_key: bool,
}

/// Manages clients.
pub struct ClientAdmin(pub(super) Dependencies, pub(super) PageTokens);

impl std::fmt::Debug for ClientAdmin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientAdmin").field("issuer", &self.0.issuer).finish_non_exhaustive()
    }
}

/// A client as it is registered. It holds neither secrets nor their hashes (V-73).
#[derive(Clone, Debug)]
pub struct RegisteredClient {
    /// The members.
    pub registration: ClientRegistration,
    /// What the store knows beside them; `None` for a client of the configuration file.
    pub stored: Option<Stored>,
}

/// What the store knows of a client beside its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Names this state of it.
    pub etag: String,
}

/// A client to register.
#[derive(Debug, Default)]
pub struct NewClient {
    /// Its members; without `client_id` one is made. `secret` is not looked at.
    pub registration: ClientRegistration,
    /// Its first secret.
    pub secret: NewSecret,
    /// Makes the request repeatable (AIP-155).
    pub request_id: Option<String>,
    /// Only tells whether it would be done (AIP-163).
    pub validate_only: bool,
}

/// A client that was registered.
#[derive(Debug)]
pub struct CreatedClient {
    /// As it is registered now.
    pub client: RegisteredClient,
    /// Its secret, if one was made: this is the only time that it is told.
    pub secret: Option<Secret<String>>,
    /// Names its secret.
    pub secret_id: Option<String>,
    /// Whether an earlier request registered it.
    pub repeated: bool,
}

/// A change to a client.
#[derive(Debug)]
pub struct ClientUpdate {
    /// The new members, and whose they are.
    pub registration: ClientRegistration,
    /// Which members; `None` for those that are set.
    pub mask: Option<Mask>,
    /// When given, only if the client is in this state.
    pub etag: Option<String>,
    /// Only tells whether it would be done.
    pub validate_only: bool,
}

impl ClientAdmin {
    /// Puts it together.
    pub fn new(dependencies: Dependencies) -> Self {
        let pages = PageTokens::new(&dependencies.secrets.derive_key("page tokens"));
        Self(dependencies, pages)
    }

    /// A client, wherever it is defined.
    ///
    /// # Errors
    /// [`AdminError::NotFound`].
    pub async fn get(&self, client_id: &str) -> Result<RegisteredClient, AdminError> {
        if let Some(client) = self.configured(client_id) {
            return Ok(RegisteredClient { registration: registration_of(&client), stored: None });
        }
        let (record, document) = self.read(&known(client_id)?).await?;
        Ok(RegisteredClient::new(&record, document))
    }

    /// The checked client, as tokens are issued for it.
    ///
    /// # Errors
    /// [`AdminError::NotFound`].
    pub async fn find(&self, client_id: &str) -> Result<Arc<Client>, AdminError> {
        if let Some(client) = self.configured(client_id) {
            return Ok(client);
        }
        let (_, document) = self.read(&known(client_id)?).await?;
        let client = document.to_client(&self.0.defaults);
        client.map(Arc::new).map_err(|error| AdminError::Internal(error.to_string()))
    }

    /// Registers a client.
    ///
    /// # Errors
    /// [`AdminError::InvalidArgument`] with every problem, [`AdminError::AlreadyExists`].
    pub async fn create(&self, new: NewClient) -> Result<CreatedClient, AdminError> {
        self.register(new, None).await
    }

    /// Registers a client, with the hash of the token that manages it if somebody else than an operator asked.
    pub(super) async fn register(
        &self,
        new: NewClient,
        registration_access_token_hash: Option<String>,
    ) -> Result<CreatedClient, AdminError> {
        let NewClient { mut registration, secret, request_id, validate_only } = new;
        check_request_id(request_id.as_deref())?;
        let asked_for = registration.client_id.clone();
        if let Some(created) = self.created_by(request_id.as_deref(), &asked_for).await? {
            return Ok(created);
        }
        registration.secret = None;
        if registration.client_id.is_empty() {
            registration.client_id = format!("c_{}", base64url(random::bytes::<16>(&*self.0.random)?));
        }
        let mut violations = self.violations(&registration);
        violations.extend(self.secret_violations(&secret, "secret_expire_time"));
        if secret.is_asked_for() && !secrets::may_have_secret(&registration) {
            let problem = secrets::useless(&registration);
            violations.push(Violation { member: "client_secret", problem });
        }
        if !violations.is_empty() {
            return Err(AdminError::InvalidArgument(violations));
        }
        let client_id = known(&registration.client_id)?;
        let taken = || {
            AdminError::AlreadyExists(format!(
                "{:?} is registered already; choose another client_id",
                client_id.as_str()
            ))
        };
        if self.configured(client_id.as_str()).is_some() {
            return Err(AdminError::AlreadyExists(format!(
                "{:?} is defined in the configuration file; choose another client_id",
                client_id.as_str()
            )));
        }

        self.check_not_just_deleted(&client_id).await?;

        let made = if secrets::gets_secret(&registration, &secret) {
            Some(self.make_secret(&secret, form_for(&registration)).await?)
        } else {
            None
        };
        let (record_of_secret, secret) = made.unzip();
        let document = ClientDocument {
            registration,
            secrets: record_of_secret.into_iter().collect(),
            registration_access_token_hash,
        };
        self.check(&document)?;
        let now = self.now();
        let record = ClientRecord {
            client_id: client_id.clone(),
            enabled: is_enabled(&document),
            document: text_of(&document)?,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        let secret_id = document.secrets.first().map(|secret| secret.secret_id.clone());
        let client = RegisteredClient::new(&record, document);
        if validate_only {
            return match self.0.clients.get(&client_id).await? {
                Some(_) => Err(taken()),
                None => Ok(CreatedClient { client, secret: None, secret_id: None, repeated: false }),
            };
        }
        let added = self.0.clients.create(&record, request_id.as_deref()).await;
        self.0.directory.invalidate(client_id.as_str());
        match added {
            Ok(_) => Ok(CreatedClient { client, secret: secret.flatten(), secret_id, repeated: false }),
            // The same request may have arrived at another replica in between.
            Err(StoreError::Conflict) => {
                self.created_by(request_id.as_deref(), &asked_for).await?.ok_or_else(taken)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The client that an earlier request with this identifier created.
    async fn created_by(
        &self,
        request_id: Option<&str>,
        asked_for: &str,
    ) -> Result<Option<CreatedClient>, AdminError> {
        let Some(request_id) = request_id else { return Ok(None) };
        let Some(created) = self.0.clients.created_by(request_id).await? else { return Ok(None) };
        if !asked_for.is_empty() && asked_for != created.as_str() {
            return Err(AdminError::invalid(
                "request_id",
                "it was used to create another client; use a new one",
            ));
        }
        match self.read(&created).await {
            Ok((record, document)) => Ok(Some(CreatedClient {
                client: RegisteredClient::new(&record, document),
                secret: None,
                secret_id: None,
                repeated: true,
            })),
            Err(AdminError::NotFound(_)) => Err(AdminError::FailedPrecondition(
                "the client that this request created was deleted since; use a new request_id".to_owned(),
            )),
            Err(error) => Err(error),
        }
    }

    /// Changes members of a client. Secrets that its method no longer uses end with the change.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], [`AdminError::Aborted`], [`AdminError::InvalidArgument`],
    /// [`AdminError::FailedPrecondition`] for a client of the configuration file.
    pub async fn update(&self, update: &ClientUpdate) -> Result<RegisteredClient, AdminError> {
        let client_id = self.changeable(&update.registration.client_id)?;
        let mask = update.mask.clone().unwrap_or_else(|| Mask::of(&update.registration));
        if mask.is_empty() {
            return Err(AdminError::invalid("update_mask", "nothing is to be changed; name or set a member"));
        }
        let now = self.now();
        let apply = |document: &mut ClientDocument| {
            mask.apply(&update.registration, &mut document.registration);
            secrets::end_useless(document, now);
            Ok(())
        };
        if update.validate_only {
            let (record, mut document) = self.read(&client_id).await?;
            check_etag(&record, update.etag.as_deref())?;
            apply(&mut document)?;
            self.check(&document)?;
            return Ok(RegisteredClient::new(&record, document));
        }
        let (record, document, ()) = self.change(&client_id, update.etag.as_deref(), apply).await?;
        Ok(RegisteredClient::new(&record, document))
    }

    /// Deletes a client and revokes its tokens.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], [`AdminError::Aborted`], [`AdminError::FailedPrecondition`] for a client of the
    /// configuration file.
    pub async fn delete(
        &self,
        client_id: &str,
        etag: Option<&str>,
        validate_only: bool,
    ) -> Result<(), AdminError> {
        let client_id = self.changeable(client_id)?;
        let (record, _) = self.read(&client_id).await?;
        check_etag(&record, etag)?;
        if validate_only {
            return Ok(());
        }
        // The revocation comes first: between the two steps tokens may be refused too early, never accepted too long. It
        // reaches ahead, to what a replica that has not heard of the deletion may still issue.
        self.revoke_until(&client_id, self.now() + self.0.max_staleness + SKEW).await?;
        let revision = etag.map(|_| record.revision);
        let deleted = self.0.clients.delete(&client_id, revision).await;
        self.0.directory.invalidate(client_id.as_str());
        deleted?;
        Ok(())
    }

    /// Nobody inherits the tokens of a client that was deleted (CHK-94): while some may still be issued, by a replica that has
    /// not heard of it, its identifier is not given away.
    async fn check_not_just_deleted(&self, client_id: &ClientId) -> Result<(), AdminError> {
        let now = self.now();
        let refused_until = self.0.revocations.client_refused_until(client_id).await?;
        match refused_until.filter(|until| *until > now) {
            None => Ok(()),
            Some(until) => Err(AdminError::FailedPrecondition(format!(
                "{client_id:?} was deleted, and a replica that has not heard of it may still issue tokens to it; choose \
                 another client_id, or register this one in {} s",
                until.since(now).as_secs() + 1,
                client_id = client_id.as_str(),
            ))),
        }
    }

    /// Reads, changes and writes a client, again when somebody else was faster and the caller gave no etag.
    pub(super) async fn change<T>(
        &self,
        client_id: &ClientId,
        etag: Option<&str>,
        change: impl Fn(&mut ClientDocument) -> Result<T, AdminError>,
    ) -> Result<(ClientRecord, ClientDocument, T), AdminError> {
        for _ in 0..ATTEMPTS {
            let (mut record, mut document) = self.read(client_id).await?;
            check_etag(&record, etag)?;
            let result = change(&mut document)?;
            self.check(&document)?;
            record.enabled = is_enabled(&document);
            record.document = text_of(&document)?;
            record.revision += 1;
            record.updated_at = self.now();
            let updated = self.0.clients.update(&record).await;
            // This replica need not wait for the feed. Even a failed write may have been made.
            self.0.directory.invalidate(client_id.as_str());
            match updated {
                Ok(_) => return Ok((record, document, result)),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// A client of the store.
    pub(super) async fn read(
        &self,
        client_id: &ClientId,
    ) -> Result<(ClientRecord, ClientDocument), AdminError> {
        let record = self.0.clients.get(client_id).await?.ok_or_else(|| not_found(client_id.as_str()))?;
        let document = document_of(&record)?;
        Ok((record, document))
    }

    /// The identifier of a client that can be changed here.
    pub(super) fn changeable(&self, client_id: &str) -> Result<ClientId, AdminError> {
        if self.configured(client_id).is_some() {
            return Err(AdminError::FailedPrecondition(format!(
                "{client_id:?} is defined in the configuration file; change it there and reload the server"
            )));
        }
        known(client_id)
    }

    fn configured(&self, client_id: &str) -> Option<Arc<Client>> {
        self.0.directory.configured().get(client_id).cloned()
    }

    /// Whole seconds, as stores keep them.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.clock.now().seconds())
    }

    /// Refuses a document that would not be a client.
    fn check(&self, document: &ClientDocument) -> Result<(), AdminError> {
        let mut violations = self.violations(&document.registration);
        if violations.is_empty() {
            violations.extend(document.to_client(&self.0.defaults).err().map(|error| match error {
                InvalidDocument::Member(invalid) => invalid.into(),
                other => Violation { member: "client_secret", problem: other.to_string() },
            }));
        }
        if violations.is_empty() { Ok(()) } else { Err(AdminError::InvalidArgument(violations)) }
    }

    /// Everything that is wrong with the members of a registration.
    fn violations(&self, registration: &ClientRegistration) -> Vec<Violation> {
        let checked = registration.clone().check_with_secrets(&self.0.defaults, Vec::new());
        let alg = checked.as_ref().ok().map(|client| client.access_token_signing_alg);
        let problems: Vec<InvalidMember> = checked.err().unwrap_or_default();
        let mut violations: Vec<Violation> = problems.into_iter().map(Into::into).collect();
        // CHK-94: a token whose client_id reads like its issuer would speak for the server.
        if registration.client_id == self.0.issuer.as_str() {
            let problem = "it must not be the issuer identifier; choose another".to_owned();
            violations.push(Violation { member: "client_id", problem });
        }
        if alg == Some(SigningAlgorithm::HS256) && !self.0.has_hs256_key {
            let problem =
                "HS256 needs a key; set JWT_SECRET to at least 32 random bytes, or choose another algorithm";
            violations.push(Violation { member: "access_token_signing_alg", problem: problem.to_owned() });
        }
        violations
    }
}

impl RegisteredClient {
    pub(super) fn new(record: &ClientRecord, document: ClientDocument) -> Self {
        let stored =
            Stored { created_at: record.created_at, updated_at: record.updated_at, etag: etag_of(record) };
        Self { registration: document.registration, stored: Some(stored) }
    }
}

/// A deleted client and a new one of its name begin with the same revision; their times of registration differ.
fn etag_of(record: &ClientRecord) -> String {
    format!("{}-{}", record.created_at.seconds(), record.revision)
}

fn check_etag(record: &ClientRecord, etag: Option<&str>) -> Result<(), AdminError> {
    match etag {
        Some(etag) if etag != etag_of(record) => Err(StoreError::Conflict.into()),
        _ => Ok(()),
    }
}

fn check_request_id(request_id: Option<&str>) -> Result<(), AdminError> {
    match request_id {
        Some(text)
            if !(1..=64).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Err(AdminError::invalid("request_id", "it must be 1 to 64 visible characters, such as a UUID"))
        }
        _ => Ok(()),
    }
}

/// What cannot be an identifier names no client.
fn known(client_id: &str) -> Result<ClientId, AdminError> {
    ClientId::parse(client_id).map_err(|_| not_found(client_id))
}

fn not_found(client_id: &str) -> AdminError {
    AdminError::NotFound(format!("no client is registered as {client_id:?}"))
}

fn is_enabled(document: &ClientDocument) -> bool {
    document.registration.enabled.unwrap_or(true)
}

pub(super) fn document_of(record: &ClientRecord) -> Result<ClientDocument, AdminError> {
    ClientDocument::from_json(&record.document).map_err(|error| AdminError::Internal(error.to_string()))
}

fn text_of(document: &ClientDocument) -> Result<String, AdminError> {
    document.to_json().map_err(|error| AdminError::Internal(error.to_string()))
}

/// The members of a client of the configuration file, those that were left out included.
fn registration_of(client: &Client) -> ClientRegistration {
    let mut registration = ClientRegistration {
        client_id: client.client_id.as_str().to_owned(),
        client_name: client.client_name.clone(),
        secret: None,
        token_endpoint_auth_method: client
            .token_endpoint_auth_method
            .map(|method| method.as_str().to_owned()),
        grant_types: Some(client.grant_types.iter().map(|grant| grant.as_str().to_owned()).collect()),
        scope: Some(client.scope.as_str().to_owned()).filter(|scope| !scope.is_empty()),
        audiences: Some(client.audiences.iter().map(ToString::to_string).collect()),
        access_token_signing_alg: Some(client.access_token_signing_alg.as_str().to_owned()),
        access_token_lifetime: Some(Duration::from_secs(client.access_token_lifetime.as_secs())),
        introspect: Some(
            match client.introspect {
                IntrospectPermission::Own => "own",
                IntrospectPermission::Any => "any",
            }
            .to_owned(),
        ),
        enabled: Some(client.enabled),
        claims: client.claims.clone(),
        ..ClientRegistration::default()
    };
    client.proof.write(&mut registration);
    registration
}
