//! `oauth::Error` -> HTTP: status, headers and body (RFC 6749 §5.2, RFC 6750 §3, RFC 7662 §2.3).

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{oauth::Error, telemetry::RequestRecord};

/// Why this adapter refuses a request.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The core, or a check on its behalf, says so.
    OAuth(Error),
    /// The body is of another type than the endpoint reads (RFC 9110 §15.5.16).
    UnsupportedMediaType,
    /// The body is longer than the limit (RFC 9110 §15.5.14).
    PayloadTooLarge,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::OAuth(error)
    }
}

/// Which challenge an endpoint answers failed authentication with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Challenge {
    /// The token endpoint: 401 when an `Authorization` header was used, else 400 (RFC 6749 §5.2).
    TokenEndpoint {
        /// Whether there was such a header.
        authorization: bool,
    },
    /// An endpoint that clients call about tokens: always 401 (RFC 7662 §2.3).
    Client,
    /// A protected resource (RFC 6750 §3).
    Bearer,
}

impl Challenge {
    /// That of the token endpoint for a request with these headers.
    pub(super) fn token_endpoint(headers: &HeaderMap) -> Self {
        Self::TokenEndpoint { authorization: headers.contains_key(header::AUTHORIZATION) }
    }
}

/// An error body: exactly the members of RFC 6749 §5.2.
#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    error_description: &'a str,
}

const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"mintage\", charset=\"UTF-8\"");
const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"mintage\"");

impl Refusal {
    /// The response, with the error noted in the record.
    pub(super) fn respond(&self, challenge: Challenge, record: &RequestRecord) -> Response {
        match self {
            Self::OAuth(error) => {
                record.refuse(error.code(), error.log_detail().as_deref());
                oauth(error, challenge)
            }
            Self::UnsupportedMediaType => {
                record.set_error("invalid_request");
                let text =
                    "the body must be application/x-www-form-urlencoded in UTF-8, without content coding";
                body(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request", text)
            }
            Self::PayloadTooLarge => {
                record.set_error("invalid_request");
                body(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", "the body is too large")
            }
        }
    }
}

fn oauth(error: &Error, challenge: Challenge) -> Response {
    let mut response = body(status(error, challenge), error.code(), error.description());
    let headers = response.headers_mut();
    if let Some(retry_after) = error.retry_after() {
        // Whole seconds, rounded up: a client that waits as long as told succeeds (RFC 9110 §10.2.3).
        let seconds = retry_after.as_millis().div_ceil(1000).max(1);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
    }
    if let Some(value) = www_authenticate(error, challenge) {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
    response
}

fn status(error: &Error, challenge: Challenge) -> StatusCode {
    match error {
        Error::InvalidRequest(_)
        | Error::UnauthorizedClient(_)
        | Error::UnsupportedGrantType(_)
        | Error::InvalidScope(_)
        | Error::InvalidTarget(_) => StatusCode::BAD_REQUEST,
        Error::InvalidClient(_) => match challenge {
            Challenge::TokenEndpoint { authorization: false } => StatusCode::BAD_REQUEST,
            Challenge::TokenEndpoint { authorization: true } | Challenge::Client | Challenge::Bearer => {
                StatusCode::UNAUTHORIZED
            }
        },
        Error::MissingToken | Error::InvalidToken(_) => StatusCode::UNAUTHORIZED,
        Error::InsufficientScope(_) => StatusCode::FORBIDDEN,
        Error::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Busy { .. } | Error::TemporarilyUnavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Error::ServerError(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// RFC 6750 §3: each attribute once; no error code when the request carried no token at all.
fn www_authenticate(error: &Error, challenge: Challenge) -> Option<HeaderValue> {
    match (challenge, error) {
        (Challenge::Bearer, Error::MissingToken) => Some(BEARER),
        (Challenge::Bearer, Error::InsufficientScope(scope)) => {
            let (code, description) = (error.code(), error.description());
            let value = format!(
                "Bearer realm=\"mintage\", error=\"{code}\", error_description=\"{description}\", scope=\"{scope}\""
            );
            Some(HeaderValue::from_str(&value).unwrap_or(BEARER))
        }
        (Challenge::Bearer, Error::InvalidToken(_) | Error::InvalidRequest(_)) => {
            let (code, description) = (error.code(), error.description());
            let value =
                format!("Bearer realm=\"mintage\", error=\"{code}\", error_description=\"{description}\"");
            // A description holds no character that a quoted string could not (V-42).
            Some(HeaderValue::from_str(&value).unwrap_or(BEARER))
        }
        (Challenge::Client | Challenge::TokenEndpoint { authorization: true }, Error::InvalidClient(_)) => {
            Some(BASIC)
        }
        _ => None,
    }
}

/// An error response that no cache may keep.
pub(super) fn body(status: StatusCode, error: &str, error_description: &str) -> Response {
    no_store((status, Json(Body { error, error_description })).into_response())
}

/// RFC 6749 §5.1: responses with tokens, credentials or anything about them are not kept.
pub(super) fn no_store(mut response: Response) -> Response {
    const PRAGMA: HeaderName = header::PRAGMA;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// RFC 9110 §15.5.6; axum adds the `Allow` header.
pub(super) async fn method_not_allowed() -> Response {
    body(
        StatusCode::METHOD_NOT_ALLOWED,
        "invalid_request",
        "the method is not allowed here; see the Allow header",
    )
}

/// The authorization endpoint that metadata must name and machines do not use.
pub(super) fn no_authorization_endpoint() -> Response {
    body(
        StatusCode::BAD_REQUEST,
        "unsupported_response_type",
        "this server issues tokens to machines only; use grant_type=client_credentials at the token endpoint",
    )
}
