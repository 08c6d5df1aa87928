//! POST /register and the registration it answers with (RFC 7591 §3, RFC 7592 §2): only when the operator allows it.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use zeroize::Zeroize;

use super::{
    error::{self, Challenge, Refusal, no_store},
    facts::{Facts, authorization},
    form::refuse_query,
};
use crate::{
    admin::{
        ClientAdmin,
        registration::{ClientInformation, ClientMetadata, RegistrationError},
    },
    oauth::{
        AuthorizationServer, Error, bearer::Demand, confirmation::Scheme, error::TokenRefusal,
        userinfo::presented_token,
    },
    secret::Secret,
};

/// What the handlers of registration see.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    pub(super) server: Arc<AuthorizationServer>,
    pub(super) clients: Arc<ClientAdmin>,
    pub(super) max_body_bytes: usize,
}

/// RFC 7592 §2: registration access tokens are bearer tokens.
const MANAGEMENT: Challenge = Challenge::Bearer;

/// RFC 7591 §3.1: the initial access token lets a client in.
pub(super) async fn register(
    State(this): State<Registration>,
    facts: Facts,
    headers: HeaderMap,
    uri: Uri,
    body: Body,
) -> Response {
    facts.record.set_endpoint("register");
    let result = async {
        refuse_query(&uri)?;
        let token = presented_token(&authorization(&headers), None)?;
        let registrar = this
            .server
            .authorise(token.as_ref(), &facts.sender(&headers, "/register"), Demand::Register)
            .await?;
        let metadata: ClientMetadata = this.read(&headers, body).await?;
        let offered = this.server.metadata();
        Ok(this.clients.register_itself(registrar.client_id(), &metadata, offered).await?)
    };
    answer(&facts, facts.challenge(), StatusCode::CREATED, result.await)
}

/// RFC 7592 §2.1
pub(super) async fn read(
    State(this): State<Registration>,
    facts: Facts,
    client_id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    facts.record.set_endpoint("register");
    let result = async {
        let token = management_token(&headers, &uri)?;
        Ok(this.clients.read_itself(&named(client_id)?, token).await?)
    };
    answer(&facts, MANAGEMENT, StatusCode::OK, result.await)
}

/// RFC 7592 §2.2
pub(super) async fn update(
    State(this): State<Registration>,
    facts: Facts,
    client_id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    uri: Uri,
    body: Body,
) -> Response {
    facts.record.set_endpoint("register");
    let result = async {
        let token = management_token(&headers, &uri)?;
        let metadata: ClientMetadata = this.read(&headers, body).await?;
        let offered = this.server.metadata();
        Ok(this.clients.update_itself(&named(client_id)?, token, &metadata, offered).await?)
    };
    answer(&facts, MANAGEMENT, StatusCode::OK, result.await)
}

/// RFC 7592 §2.3
pub(super) async fn delete(
    State(this): State<Registration>,
    facts: Facts,
    client_id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    facts.record.set_endpoint("register");
    let result = async {
        let token = management_token(&headers, &uri)?;
        Ok(this.clients.delete_itself(&named(client_id)?, &token).await?)
    };
    match result.await {
        Ok(()) => no_store(StatusCode::NO_CONTENT.into_response()),
        Err(failure) => Failure::respond(failure, MANAGEMENT, &facts),
    }
}

/// Why there is no registration.
enum Failure {
    Refused(Refusal),
    Registration(RegistrationError),
    /// The body is not JSON.
    NotJson,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error.into())
    }
}

impl From<RegistrationError> for Failure {
    fn from(error: RegistrationError) -> Self {
        match error {
            RegistrationError::InvalidToken => Error::InvalidToken(TokenRefusal::Client).into(),
            RegistrationError::Unavailable { retry_after, .. } => {
                Error::TemporarilyUnavailable { retry_after }.into()
            }
            RegistrationError::Internal(cause) => Error::ServerError(cause).into(),
            error => Self::Registration(error),
        }
    }
}

impl Failure {
    fn respond(self, challenge: Challenge, facts: &Facts) -> Response {
        let (code, text) = match self {
            Self::Refused(refusal) => return refusal.respond(challenge, &facts.record),
            Self::NotJson => {
                facts.record.set_error("invalid_client_metadata");
                let text = "the body must be application/json, without content coding";
                return error::body(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_client_metadata", text);
            }
            Self::Registration(RegistrationError::InvalidRedirectUri) => {
                ("invalid_redirect_uri", "redirect_uris must be left out: no grant here redirects".to_owned())
            }
            Self::Registration(RegistrationError::UnapprovedSoftwareStatement) => (
                "unapproved_software_statement",
                "software statements are not accepted; leave it out".to_owned(),
            ),
            Self::Registration(RegistrationError::InvalidClientMetadata(text)) => {
                ("invalid_client_metadata", text)
            }
            // The conversion above has made an OAuth error of every other one.
            Self::Registration(_) => ("server_error", "the server could not complete the request".to_owned()),
        };
        facts.record.set_error(code);
        error::body(StatusCode::BAD_REQUEST, code, &text)
    }
}

impl Registration {
    /// A JSON body.
    async fn read<T: DeserializeOwned>(&self, headers: &HeaderMap, body: Body) -> Result<T, Failure> {
        let essence =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = essence.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") || headers.contains_key(header::CONTENT_ENCODING)
        {
            return Err(Failure::NotJson);
        }
        let body = Limited::new(body, self.max_body_bytes).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Refusal::PayloadTooLarge
            } else {
                Error::invalid_request("the body could not be read completely").into()
            }
        })?;
        let mut bytes = Vec::from(body.to_bytes());
        let parsed = serde_json::from_slice(&bytes);
        bytes.zeroize();
        // What serde says may repeat a part of the body, which may hold a secret.
        parsed.map_err(|_| {
            let text = "the body must be a JSON object of client metadata, each member once and of its type";
            RegistrationError::InvalidClientMetadata(text.to_owned()).into()
        })
    }
}

/// The registration access token of a request (RFC 7592 §2: a bearer token).
fn management_token(headers: &HeaderMap, uri: &Uri) -> Result<Secret<String>, Refusal> {
    refuse_query(uri)?;
    let presented = presented_token(&authorization(headers), None)?;
    let bearer = presented.filter(|presented| presented.scheme == Scheme::Bearer);
    bearer.map(|presented| presented.token).ok_or_else(|| Error::MissingToken.into())
}

/// What is no text is no client's identifier.
fn named(client_id: Result<Path<String>, PathRejection>) -> Result<String, RegistrationError> {
    client_id.map(|Path(client_id)| client_id).map_err(|_| RegistrationError::InvalidToken)
}

fn answer(
    facts: &Facts,
    challenge: Challenge,
    status: StatusCode,
    result: Result<ClientInformation, Failure>,
) -> Response {
    match result {
        Ok(information) => {
            facts.record.set_client_id(information.client_id());
            no_store((status, Json(information)).into_response())
        }
        Err(failure) => failure.respond(challenge, facts),
    }
}
