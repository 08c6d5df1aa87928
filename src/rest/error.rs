//! `oauth::Error` -> HTTP: status, headers and body (RFC 6749 §5.2, RFC 6750 §3, RFC 7662 §2.3, RFC 9449
//! §7.1).

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    oauth::{Error, confirmation::Scheme, dpop},
    telemetry::RequestRecord,
};

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
    /// A protected resource (RFC 6750 §3, RFC 9449 §7.1), asked for with a token of this scheme.
    Resource(Scheme),
    /// The same where only bearer tokens are accepted.
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

const BASIC: &str = "Basic realm=\"mintage\", charset=\"UTF-8\"";
const BEARER: &str = "Bearer realm=\"mintage\"";

impl Refusal {
    /// The response, with the error noted in the record.
    pub(super) fn respond(&self, challenge: Challenge, record: &RequestRecord) -> Response {
        match self {
            Self::OAuth(error) => {
                record.refuse(error.code(), error.log_detail());
                if let Some(reason) = error.too_many() {
                    record.set_too_many(reason);
                }
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

/// The value of `Retry-After`: whole seconds, rounded up, so that a client that waits as long as told succeeds (RFC 9110
/// §10.2.3).
pub(crate) fn retry_after(wait: Duration) -> HeaderValue {
    u64::try_from(wait.as_millis().div_ceil(1000).max(1)).unwrap_or(u64::MAX).into()
}

fn oauth(error: &Error, challenge: Challenge) -> Response {
    let mut response = body(status(error, challenge), error.code(), error.description());
    let headers = response.headers_mut();
    if let Some(wait) = error.retry_after() {
        headers.insert(header::RETRY_AFTER, retry_after(wait));
    }
    for value in www_authenticate(error, challenge) {
        // No character of it would have to be escaped (V-42).
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.append(header::WWW_AUTHENTICATE, value);
        }
    }
    if let Error::UseDpopNonce { nonce } = error {
        add_dpop_nonce(&mut response, Some(nonce));
    }
    response
}

fn status(error: &Error, challenge: Challenge) -> StatusCode {
    match error {
        Error::InvalidRequest(_)
        | Error::InvalidGrant(_)
        | Error::UnauthorizedClient(_)
        | Error::UnsupportedGrantType(_)
        | Error::InvalidScope(_)
        | Error::InvalidTarget(_) => StatusCode::BAD_REQUEST,
        Error::InvalidClient(_) => match challenge {
            Challenge::TokenEndpoint { authorization: false } => StatusCode::BAD_REQUEST,
            Challenge::TokenEndpoint { authorization: true }
            | Challenge::Client
            | Challenge::Bearer
            | Challenge::Resource(_) => StatusCode::UNAUTHORIZED,
        },
        Error::InvalidDpopProof(_) | Error::UseDpopNonce { .. } => match challenge {
            Challenge::TokenEndpoint { .. } | Challenge::Client => StatusCode::BAD_REQUEST,
            Challenge::Bearer | Challenge::Resource(_) => StatusCode::UNAUTHORIZED,
        },
        Error::MissingToken | Error::InvalidToken(_) => StatusCode::UNAUTHORIZED,
        Error::InsufficientScope(_) => StatusCode::FORBIDDEN,
        Error::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Busy { .. } | Error::TemporarilyUnavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Error::ServerError(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// RFC 6750 §3: each attribute once; no error code when the request carried no token at all. Whoever is refused learns of
/// both schemes, the one that was used first (RFC 9449 §7.1, §7.2).
fn www_authenticate(error: &Error, challenge: Challenge) -> Vec<String> {
    use Scheme::{Bearer, Dpop};

    let (code, description) = (error.code(), error.description());
    let attributes = format!("error=\"{code}\", error_description=\"{description}\"");
    let algs = format!("algs=\"{}\"", dpop::algorithms().collect::<Vec<_>>().join(" "));
    let bearer = |attributes: &str| format!("{BEARER}, {attributes}");
    match (challenge, error) {
        (Challenge::Bearer, Error::MissingToken) => vec![BEARER.to_owned()],
        (Challenge::Bearer, Error::InvalidToken(_)) => vec![bearer(&attributes)],
        (Challenge::Resource(_), Error::MissingToken) => vec![BEARER.to_owned(), format!("DPoP {algs}")],
        (Challenge::Resource(Bearer), Error::InvalidToken(_)) => {
            vec![bearer(&attributes), format!("DPoP {algs}")]
        }
        (Challenge::Resource(Dpop), Error::InvalidToken(_)) => {
            vec![format!("DPoP {attributes}, {algs}"), BEARER.to_owned()]
        }
        (Challenge::Resource(_), Error::InvalidDpopProof(_) | Error::UseDpopNonce { .. })
        | (Challenge::Resource(Dpop), Error::InvalidRequest(_)) => {
            vec![format!("DPoP {attributes}, {algs}")]
        }
        (Challenge::Bearer | Challenge::Resource(Bearer), Error::InvalidRequest(_)) => {
            vec![bearer(&attributes)]
        }
        (Challenge::Bearer | Challenge::Resource(Bearer), Error::InsufficientScope(scope)) => {
            vec![bearer(&format!("{attributes}, scope=\"{scope}\""))]
        }
        (Challenge::Resource(Dpop), Error::InsufficientScope(scope)) => {
            vec![format!("DPoP {attributes}, scope=\"{scope}\", {algs}")]
        }
        (
            Challenge::Client | Challenge::TokenEndpoint { authorization: true } | Challenge::Resource(_),
            Error::InvalidClient(_),
        ) => {
            vec![BASIC.to_owned()]
        }
        _ => Vec::new(),
    }
}

/// RFC 9449 §8: the nonce for the next proof.
pub(super) fn add_dpop_nonce(response: &mut Response, nonce: Option<&String>) {
    const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
    if let Some(value) = nonce.and_then(|nonce| HeaderValue::from_str(nonce).ok()) {
        response.headers_mut().insert(DPOP_NONCE, value);
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
