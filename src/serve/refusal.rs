//! Answers given before any handler is reached, in the form the caller understands: JSON with the members of
//! RFC 6749 §5.2, or a gRPC status without a body (gRPC over HTTP/2, Trailers-Only).

use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tonic::Code;

use crate::{
    grpc,
    refusal::{BUSY, NOTHING_HERE, RefusalReason, TOO_MANY},
    rest,
};

/// What the caller speaks, told by the request's content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// REST, and whatever is not gRPC.
    Json,
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web, binary or text; the content type of its answers.
    GrpcWeb(&'static str),
    /// Some other content type that starts like gRPC's.
    Unsupported,
}

impl Form {
    /// Media types are compared without case and parameters (RFC 9110 §8.3.1).
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Self::Json };
        let essence = value.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        let is = |name: &str| essence.eq_ignore_ascii_case(name.as_bytes());
        let prefix = b"application/grpc";
        if essence.len() < prefix.len() || !essence[..prefix.len()].eq_ignore_ascii_case(prefix) {
            Self::Json
        } else if is("application/grpc") || is("application/grpc+proto") {
            Self::Grpc
        } else if is("application/grpc-web") || is("application/grpc-web+proto") {
            Self::GrpcWeb("application/grpc-web+proto")
        } else if is("application/grpc-web-text") || is("application/grpc-web-text+proto") {
            Self::GrpcWeb("application/grpc-web-text+proto")
        } else {
            Self::Unsupported
        }
    }
}

/// One way to be refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: Code,
    /// The `error` member; no OAuth registry entry but for `server_error` and `temporarily_unavailable`, as no OAuth endpoint was
    /// reached.
    pub(super) error: &'static str,
    description: &'static str,
    /// When to come back, if that makes sense.
    pub(super) retry_after: Option<Duration>,
    /// What there is too much of, if that is why.
    pub(super) too_many: Option<RefusalReason>,
}

impl Refusal {
    const fn new(status: StatusCode, code: Code, error: &'static str, description: &'static str) -> Self {
        Self { status, code, error, description, retry_after: None, too_many: None }
    }

    /// The same, because there are too many.
    const fn for_too_many(self, reason: RefusalReason) -> Self {
        Self { too_many: Some(reason), ..self }
    }

    /// The same, for who should come back after a while.
    pub(super) const fn after(self, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..self }
    }
}

/// No route has this path.
pub(super) const NOT_FOUND: Refusal =
    Refusal::new(StatusCode::NOT_FOUND, Code::Unimplemented, "not_found", NOTHING_HERE);

/// A gRPC route was called by other means.
pub(super) const NOT_GRPC: Refusal = Refusal::new(
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    Code::Unimplemented,
    "unsupported_media_type",
    "this path serves gRPC: application/grpc or application/grpc-web",
);

/// A REST route was called with a gRPC message (V-63).
pub(super) const NOT_REST: Refusal = Refusal::new(
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    Code::Unimplemented,
    "unsupported_media_type",
    "this path serves REST, not gRPC",
);

/// gRPC needs HTTP/2.
pub(super) const GRPC_OVER_HTTP1: Refusal = Refusal::new(
    StatusCode::HTTP_VERSION_NOT_SUPPORTED,
    Code::Internal,
    "http_version_not_supported",
    "gRPC needs HTTP/2; gRPC-Web and REST are served over HTTP/1.1",
);

/// gRPC has one method.
pub(super) const GRPC_NOT_POST: Refusal = Refusal::new(
    StatusCode::METHOD_NOT_ALLOWED,
    Code::Internal,
    "method_not_allowed",
    "a gRPC call is a POST",
);

/// Not exactly one Host (RFC 9112 §3.2).
pub(super) const NO_HOST: Refusal = Refusal::new(
    StatusCode::BAD_REQUEST,
    Code::Internal,
    "invalid_request",
    "an HTTP/1.1 request has exactly one Host header",
);

/// A body's end is told twice (RFC 9112 §6.1).
pub(super) const FRAMED_TWICE: Refusal = Refusal::new(
    StatusCode::BAD_REQUEST,
    Code::Internal,
    "invalid_request",
    "a request has one Content-Length or one Transfer-Encoding, never both",
);

/// A transfer coding beside `chunked` (RFC 9112 §6.1).
pub(super) const UNKNOWN_CODING: Refusal = Refusal::new(
    StatusCode::NOT_IMPLEMENTED,
    Code::Unimplemented,
    "not_implemented",
    "the only Transfer-Encoding served is chunked",
);

/// The answer was not ready in time, be it for a slow body or a slow store.
pub(super) const REQUEST_TIMED_OUT: Refusal = Refusal::new(
    StatusCode::REQUEST_TIMEOUT,
    Code::DeadlineExceeded,
    "request_timeout",
    "the request was not complete or not answered in time",
);

/// A defect of ours.
pub(super) const HANDLER_PANICKED: Refusal = Refusal::new(
    StatusCode::INTERNAL_SERVER_ERROR,
    Code::Internal,
    "server_error",
    "the server failed to answer this request",
);

/// More is to be done than can be. Nothing of the request was read.
pub(super) const OVERLOADED: Refusal =
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::ResourceExhausted, "temporarily_unavailable", BUSY)
        .for_too_many(RefusalReason::Overloaded)
        .after(Duration::from_secs(1));

/// No place is left in a queue. In the words of the one who keeps the queue.
pub(super) const QUEUE_FULL: Refusal = Refusal { too_many: Some(RefusalReason::QueueFull), ..OVERLOADED };

/// What the client may have of a queue is taken. In the words of the one who keeps the queue.
pub(super) const TOO_MUCH_OF_THE_QUEUE: Refusal =
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted, "temporarily_unavailable", TOO_MANY)
        .for_too_many(RefusalReason::OwnShare)
        .after(Duration::from_secs(1));

/// Too much came from one address. Nothing of the request was read.
pub(super) const TOO_MANY_REQUESTS: Refusal = Refusal::new(
    StatusCode::TOO_MANY_REQUESTS,
    Code::ResourceExhausted,
    "temporarily_unavailable",
    "too many requests from this address; try again later",
)
.for_too_many(RefusalReason::SourceRate);

impl Refusal {
    /// The refusal in the caller's form.
    pub(super) fn answer(self, form: Form) -> Response<Body> {
        match form {
            Form::Json | Form::Unsupported => self.json(),
            Form::Grpc => self.grpc(),
            Form::GrpcWeb(content_type) => {
                let mut response = self.grpc();
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
                response
            }
        }
    }

    /// The refusal as JSON, whatever the caller speaks: it spoke wrongly.
    pub(super) fn json(self) -> Response<Body> {
        let Self { status, error, description, retry_after, .. } = self;
        // Both texts are ours and need no escaping.
        let body = format!(r#"{{"error":"{error}","error_description":"{description}"}}"#);
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = retry_after {
            headers.insert(header::RETRY_AFTER, rest::retry_after(wait));
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }

    fn grpc(self) -> Response<Body> {
        // The codes of HTTP refusals have no place in OAuth.
        let oauth_code = match self.error {
            code @ ("server_error" | "temporarily_unavailable") => code,
            "request_timeout" => "temporarily_unavailable",
            _ => "invalid_request",
        };
        grpc::explained(self.code, oauth_code, self.description, self.retry_after).into_http()
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, HeaderMap, header};

    #[test]
    fn the_form_is_told_by_the_media_type() {
        let form = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            Form::of(&headers)
        };
        assert_eq!(Form::of(&HeaderMap::new()), Form::Json);
        for json in ["application/json", "application/x-www-form-urlencoded", "application/grp", "", ";"] {
            assert_eq!(form(json), Form::Json, "{json}");
        }
        for grpc in ["application/grpc", "Application/gRPC+proto", "application/grpc;charset=x"] {
            assert_eq!(form(grpc), Form::Grpc, "{grpc}");
        }
        assert_eq!(form("application/grpc-web"), Form::GrpcWeb("application/grpc-web+proto"));
        assert_eq!(form("application/grpc-web-text"), Form::GrpcWeb("application/grpc-web-text+proto"));
        for unsupported in ["application/grpc+json", "application/grpc-web+json", "application/grpcx"] {
            assert_eq!(form(unsupported), Form::Unsupported, "{unsupported}");
        }
    }
}
