//! Clients that register themselves (RFC 7591) and manage their registration (RFC 7592).
//!
//! The initial access token says who lets them in, and the policy is that nobody passes on more than he has: a new client may
//! have scopes of the client that token was issued to, without those for this server's own operations, and has its
//! audiences. It uses client_credentials with a secret, introspects its own tokens, and has no claims of its own. It may
//! give up scopes later and never gain any; whether it is enabled is the operator's decision alone (V-25).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    clients::{ClientAdmin, NewClient, RegisteredClient},
    error::AdminError,
    mask::Mask,
    secrets,
};
use crate::{
    oauth::{
        bearer::RESERVED_PREFIX,
        client::{
            ClientId, ClientRegistration, SecretForm, SecretHash, document::ClientDocument, secret::Verdict,
        },
        scope::Scope,
    },
    secret::Secret,
};

/// The method of a client that names none (RFC 7591 §2).
const DEFAULT_METHOD: &str = "client_secret_basic";

/// The longest `client_name`.
const MAX_NAME: usize = 255;

/// Client metadata as it is sent (RFC 7591 §2). Members that this server does not know are ignored, as the RFC demands;
/// what they might have asked for is not granted.
#[derive(Debug, Default, Deserialize)]
pub struct ClientMetadata {
    /// `client_id`: in an update alone (RFC 7592 §2.2).
    pub client_id: Option<String>,
    /// `client_secret`: in an update alone, and then the present one.
    #[serde(default, deserialize_with = "secret")]
    pub client_secret: Option<Secret<String>>,
    /// `client_name`
    pub client_name: Option<String>,
    /// `redirect_uris`: none, since no grant here redirects.
    pub redirect_uris: Option<Vec<String>>,
    /// `response_types`: none, likewise.
    pub response_types: Option<Vec<String>>,
    /// `token_endpoint_auth_method`
    pub token_endpoint_auth_method: Option<String>,
    /// `grant_types`
    pub grant_types: Option<Vec<String>>,
    /// `scope`; left out: none
    pub scope: Option<String>,
    /// `software_statement` (§2.3), which nobody here vouches for.
    pub software_statement: Option<String>,
}

/// The client information response (RFC 7591 §3.2.1, RFC 7592 §3).
#[derive(Debug, Serialize)]
pub struct ClientInformation {
    client_id: String,
    client_id_issued_at: u64,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "expose")]
    client_secret: Option<Secret<String>>,
    /// 0: it does not end. Present whenever `client_secret` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<String>,
    token_endpoint_auth_method: String,
    grant_types: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(serialize_with = "expose")]
    registration_access_token: Option<Secret<String>>,
    registration_client_uri: String,
}

impl ClientInformation {
    /// `client_id`
    pub fn client_id(&self) -> &str {
        &self.client_id
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
    /// Registers a client for the holder of an initial access token, which was issued to `registrar`.
    ///
    /// # Errors
    /// [`RegistrationError`].
    pub async fn register_itself(
        &self,
        registrar: &ClientId,
        metadata: &ClientMetadata,
    ) -> Result<ClientInformation, RegistrationError> {
        if metadata.client_id.is_some() || metadata.client_secret.is_some() {
            return Err(invalid("client_id and client_secret are made by the server; leave them out"));
        }
        let registrar = self.find(registrar.as_str()).await.map_err(|error| match error {
            AdminError::NotFound(_) => RegistrationError::InvalidToken,
            error => error.into(),
        })?;
        let mut registration = self.judge(metadata, &registrar.scope)?;
        registration.audiences = (!registrar.audiences.is_empty())
            .then(|| registrar.audiences.iter().map(ToString::to_string).collect());

        let token = secrets::generate(&*self.0.random).map_err(AdminError::from)?;
        let hash = self.keep(token.clone(), SecretForm::Hashed).await?;
        let created = self.register(NewClient { registration, ..Default::default() }, Some(hash)).await?;
        let mut information = self.information(created.client, token);
        information.client_secret_expires_at = created.secret.is_some().then_some(0);
        information.client_secret = created.secret;
        Ok(information)
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
    ) -> Result<ClientInformation, RegistrationError> {
        let (client_id, document) = self.admit(client_id, &token).await?;
        if metadata.client_id.as_deref() != Some(client_id.as_str()) {
            return Err(invalid("client_id must be there and must be the one that is registered"));
        }
        self.compare_secret(&document, metadata.client_secret.as_ref()).await?;
        let mask = Mask::parse(["client_name", "token_endpoint_auth_method", "grant_types", "scope"])?;
        let present = document.registration.scope.as_deref().and_then(|scope| Scope::parse(scope).ok());
        let registration = self.judge(metadata, &present.unwrap_or_default())?;
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
            Ok(())
        };
        self.change(&client_id, None, apply).await?;
        Ok(self.information(self.get(client_id.as_str()).await?, token))
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
        // A text of another form is no such token; refusing the toll saves its Argon2id.
        match self.0.secrets.verify(&hashes, token, || Err(Duration::ZERO)).await {
            Verdict::Right(_) => Ok((client_id, document)),
            _ => Err(RegistrationError::InvalidToken),
        }
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
        match self.0.secrets.verify(&hashes, sent, || Err(Duration::ZERO)).await {
            Verdict::Right(_) => Ok(()),
            _ => Err(invalid("client_secret is not the present one; leave it out")),
        }
    }

    /// Makes a registration of metadata, or says which policy it breaks.
    fn judge(
        &self,
        metadata: &ClientMetadata,
        allowed: &Scope,
    ) -> Result<ClientRegistration, RegistrationError> {
        if metadata.software_statement.is_some() {
            return Err(RegistrationError::UnapprovedSoftwareStatement);
        }
        if metadata.redirect_uris.as_ref().is_some_and(|uris| !uris.is_empty()) {
            return Err(RegistrationError::InvalidRedirectUri);
        }
        if metadata.response_types.as_ref().is_some_and(|types| !types.is_empty()) {
            return Err(invalid(
                "response_types must be left out: no grant here uses the authorization endpoint",
            ));
        }
        let grants = metadata.grant_types.as_deref();
        if grants.is_some_and(|grants| {
            grants.iter().any(|grant| grant != "client_credentials") || grants.is_empty()
        }) {
            return Err(invalid("grant_types must be client_credentials"));
        }
        let method = metadata.token_endpoint_auth_method.as_deref().unwrap_or(DEFAULT_METHOD);
        if !matches!(method, "client_secret_basic" | "client_secret_post") {
            return Err(invalid(
                "token_endpoint_auth_method must be client_secret_basic or client_secret_post",
            ));
        }
        if metadata
            .client_name
            .as_ref()
            .is_some_and(|name| name.len() > MAX_NAME || name.chars().any(char::is_control))
        {
            return Err(invalid("client_name must be at most 255 bytes without control characters"));
        }
        let scope = match metadata.scope.as_deref().filter(|scope| !scope.is_empty()) {
            None => None,
            Some(text) => {
                let scope = Scope::parse(text).map_err(|error| invalid(error.to_string()))?;
                let refused = scope
                    .tokens()
                    .find(|token| token.starts_with(RESERVED_PREFIX) || !allowed.contains(token));
                if let Some(token) = refused {
                    let token = token.get(..64).unwrap_or(token);
                    return Err(invalid(format!(
                        "scope may not contain {token}: nobody passes on more than he has"
                    )));
                }
                Some(scope.as_str().to_owned())
            }
        };
        Ok(ClientRegistration {
            client_name: metadata.client_name.clone(),
            token_endpoint_auth_method: Some(method.to_owned()),
            grant_types: Some(vec!["client_credentials".to_owned()]),
            scope,
            ..Default::default()
        })
    }

    fn information(&self, client: RegisteredClient, token: Secret<String>) -> ClientInformation {
        let RegisteredClient { registration, stored } = client;
        ClientInformation {
            registration_client_uri: self.0.issuer.endpoint(&format!("/register/{}", registration.client_id)),
            client_id: registration.client_id,
            client_id_issued_at: stored.map(|stored| stored.created_at.seconds()).unwrap_or_default(),
            client_secret: None,
            client_secret_expires_at: None,
            client_name: registration.client_name,
            token_endpoint_auth_method: registration
                .token_endpoint_auth_method
                .unwrap_or_else(|| DEFAULT_METHOD.to_owned()),
            grant_types: registration.grant_types.unwrap_or_default(),
            scope: registration.scope,
            registration_access_token: Some(token),
        }
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

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Secret<String>>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}

/// A secret is exposed here and nowhere else: in the response it was made for.
fn expose<S: serde::Serializer>(secret: &Option<Secret<String>>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::expose).serialize(serializer)
}
