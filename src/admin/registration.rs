//! Clients that register themselves (RFC 7591) and manage their registration (RFC 7592).
//!
//! The initial access token says who lets them in, and the policy is that nobody passes on more than he has: a new client may
//! have scopes of the client that token was issued to, without those for this server's own operations, and has its
//! audiences. It uses client_credentials with a secret or with its own keys or certificate, introspects its own tokens, and
//! has no claims of its own. Its profile is strict, and no other issuer speaks for it: both are the operator's decision. It
//! may give up scopes later and never gain any; whether it is enabled is the operator's decision alone (V-25).

mod policy;

use std::time::Duration;

use serde::Serialize;

pub use self::policy::ClientMetadata;
use self::policy::{DEFAULT_METHOD, judge};
use super::{
    clients::{ClientAdmin, NewClient, RegisteredClient},
    error::AdminError,
    mask::Mask,
    secrets::{self, NewSecret},
};
use crate::{
    oauth::{
        client::{ClientId, ClientRegistration, SecretForm, SecretHash, document::ClientDocument},
        metadata::Metadata,
        scope::Scope,
    },
    secret::Secret,
};

/// What an update replaces (RFC 7592 §2.2): members that the metadata leaves out are taken away.
const REPLACED: [&str; 14] = [
    "client_name",
    "token_endpoint_auth_method",
    "grant_types",
    "scope",
    "token_endpoint_auth_signing_alg",
    "jwks",
    "jwks_uri",
    "tls_client_auth_subject_dn",
    "tls_client_auth_san_dns",
    "tls_client_auth_san_uri",
    "tls_client_auth_san_ip",
    "tls_client_auth_san_email",
    "tls_client_certificate_bound_access_tokens",
    "dpop_bound_access_tokens",
];

/// The client information response (RFC 7591 §3.2.1, RFC 7592 §3): all that is registered, and what goes with it.
#[derive(Debug, Serialize)]
pub struct ClientInformation {
    #[serde(flatten)]
    registered: ClientRegistration,
    client_id_issued_at: u64,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "expose")]
    client_secret: Option<Secret<String>>,
    /// 0: it does not end. Present whenever `client_secret` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<u64>,
    #[serde(serialize_with = "expose")]
    registration_access_token: Option<Secret<String>>,
    registration_client_uri: String,
}

impl ClientInformation {
    /// `client_id`
    pub fn client_id(&self) -> &str {
        &self.registered.client_id
    }
}

/// Why a registration was refused (RFC 7591 §3.2.2, RFC 7592 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrationError {
    /// `invalid_redirect_uri`
    InvalidRedirectUri,
    /// `invalid_client_metadata`, and what to send instead.
    InvalidClientMetadata(String),
    /// `unapproved_software_statement`
    UnapprovedSoftwareStatement,
    /// The registration access token is not that of an enabled client (RFC 6750 §3.1).
    InvalidToken,
    /// The store cannot be reached.
    Unavailable {
        /// For the log.
        cause: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// Something broke inside. The cause is for the log.
    Internal(String),
}

impl ClientAdmin {
    /// Registers a client for the holder of an initial access token, which was issued to `registrar`. `offered` says how clients
    /// can prove who they are at this server.
    ///
    /// # Errors
    /// [`RegistrationError`].
    pub async fn register_itself(
        &self,
        registrar: &ClientId,
        metadata: &ClientMetadata,
        offered: &Metadata,
    ) -> Result<ClientInformation, RegistrationError> {
        if metadata.client_id.is_some() || metadata.client_secret.is_some() {
            return Err(invalid("client_id and client_secret are made by the server; leave them out"));
        }
        let registrar = self.find(registrar.as_str()).await.map_err(|error| match error {
            AdminError::NotFound(_) => RegistrationError::InvalidToken,
            error => error.into(),
        })?;
        let mut registration = judge(metadata, &registrar.scope, offered)?;
        registration.audiences = (!registrar.audiences.is_empty())
            .then(|| registrar.audiences.iter().map(ToString::to_string).collect());

        let token = secrets::generate(&*self.0.random).map_err(AdminError::from)?;
        let hash = self.keep(token.clone(), SecretForm::Hashed).await?;
        let created = self.register(NewClient { registration, ..Default::default() }, Some(hash)).await?;
        Ok(self.information(created.client, token).with_secret(created.secret))
    }

    /// The registration of the client whose registration access token this is (RFC 7592 §2.1).
    ///
    /// # Errors
    /// [`RegistrationError::InvalidToken`].
    pub async fn read_itself(
        &self,
        client_id: &str,
        token: Secret<String>,
    ) -> Result<ClientInformation, RegistrationError> {
        self.admit(client_id, &token).await?;
        Ok(self.information(self.get(client_id).await?, token))
    }

    /// Replaces the registration of the client whose registration access token this is (RFC 7592 §2.2).
    ///
    /// # Errors
    /// [`RegistrationError`].
    pub async fn update_itself(
        &self,
        client_id: &str,
        token: Secret<String>,
        metadata: &ClientMetadata,
        offered: &Metadata,
    ) -> Result<ClientInformation, RegistrationError> {
        let (client_id, document) = self.admit(client_id, &token).await?;
        if metadata.client_id.as_deref() != Some(client_id.as_str()) {
            return Err(invalid("client_id must be there and must be the one that is registered"));
        }
        self.compare_secret(&document, metadata.client_secret.as_ref()).await?;
        let mask = Mask::parse(REPLACED)?;
        let present = document.registration.scope.as_deref().and_then(|scope| Scope::parse(scope).ok());
        let registration = judge(metadata, &present.unwrap_or_default(), offered)?;
        let (now, new) = (self.now(), NewSecret::default());
        let made = if secrets::lacks_secret(&document, &registration, now) {
            Some(self.make_secret(&new, secrets::form_for(&registration)).await?)
        } else {
            None
        };
        let apply = |changed: &mut ClientDocument| {
            // Somebody else took a scope away, or disabled the client, since this was judged.
            if changed.registration.scope != document.registration.scope
                || changed.registration.enabled != document.registration.enabled
            {
                return Err(AdminError::Aborted(
                    "the client was changed meanwhile; read it again".to_owned(),
                ));
            }
            mask.apply(&registration, &mut changed.registration);
            secrets::end_useless(changed, now);
            changed.secrets.extend(made.iter().map(|(record, _)| record.clone()));
            Ok(())
        };
        self.change(&client_id, None, apply).await?;
        let information = self.information(self.get(client_id.as_str()).await?, token);
        Ok(information.with_secret(made.and_then(|(_, secret)| secret)))
    }

    /// Deletes the client whose registration access token this is (RFC 7592 §2.3).
    ///
    /// # Errors
    /// [`RegistrationError::InvalidToken`].
    pub async fn delete_itself(
        &self,
        client_id: &str,
        token: &Secret<String>,
    ) -> Result<(), RegistrationError> {
        self.admit(client_id, token).await?;
        Ok(self.delete(client_id, None, false).await?)
    }

    /// Checks a registration access token. A client that is unknown, disabled or registered by an operator has none.
    async fn admit(
        &self,
        client_id: &str,
        token: &Secret<String>,
    ) -> Result<(ClientId, ClientDocument), RegistrationError> {
        let client_id = ClientId::parse(client_id).map_err(|_| RegistrationError::InvalidToken)?;
        let (record, document) = self.read(&client_id).await.map_err(|error| match error {
            AdminError::NotFound(_) => RegistrationError::InvalidToken,
            error => error.into(),
        })?;
        let hash = document.registration_access_token_hash.as_deref();
        let hash = hash.and_then(|text| SecretHash::parse(text).ok()).filter(|_| record.enabled);
        let hashes: Vec<&SecretHash> = hash.iter().collect();
        self.0.secrets.verify_generated(&hashes, token).ok_or(RegistrationError::InvalidToken)?;
        Ok((client_id, document))
    }

    /// RFC 7592 §2.2: a secret that is sent must be the present one; it never becomes a new one.
    async fn compare_secret(
        &self,
        document: &ClientDocument,
        sent: Option<&Secret<String>>,
    ) -> Result<(), RegistrationError> {
        let Some(sent) = sent else { return Ok(()) };
        let client = document.to_client(&self.0.defaults);
        let client = client.map_err(|error| RegistrationError::Internal(error.to_string()))?;
        let hashes: Vec<&SecretHash> = client.usable_secrets(self.now()).map(|secret| &secret.hash).collect();
        if hashes.iter().any(|kept| self.0.secrets.is_sealed(kept, sent)) {
            return Ok(());
        }
        let wrong = || invalid("client_secret is not the present one; leave it out");
        self.0.secrets.verify_generated(&hashes, sent).map(drop).ok_or_else(wrong)
    }

    fn information(&self, client: RegisteredClient, token: Secret<String>) -> ClientInformation {
        let RegisteredClient { registration, stored } = client;
        let method = registration.token_endpoint_auth_method.unwrap_or_else(|| DEFAULT_METHOD.to_owned());
        ClientInformation {
            registration_client_uri: self.0.issuer.endpoint(&format!("/register/{}", registration.client_id)),
            client_id_issued_at: stored.map(|stored| stored.created_at.seconds()).unwrap_or_default(),
            client_secret: None,
            client_secret_expires_at: None,
            registration_access_token: Some(token),
            registered: ClientRegistration { token_endpoint_auth_method: Some(method), ..registration },
        }
    }
}

impl ClientInformation {
    fn with_secret(self, client_secret: Option<Secret<String>>) -> Self {
        Self { client_secret_expires_at: client_secret.is_some().then_some(0), client_secret, ..self }
    }
}

fn invalid(text: impl Into<String>) -> RegistrationError {
    RegistrationError::InvalidClientMetadata(text.into())
}

impl From<AdminError> for RegistrationError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Unavailable { cause, retry_after } => Self::Unavailable { cause, retry_after },
            AdminError::Internal(cause) => Self::Internal(cause),
            AdminError::NotFound(_) => Self::InvalidToken,
            AdminError::InvalidArgument(_)
            | AdminError::AlreadyExists(_)
            | AdminError::Aborted(_)
            | AdminError::FailedPrecondition(_) => Self::InvalidClientMetadata(error.to_string()),
        }
    }
}

/// A secret is exposed here and nowhere else: in the response it was made for.
fn expose<S: serde::Serializer>(secret: &Option<Secret<String>>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::expose).serialize(serializer)
}
