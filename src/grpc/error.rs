//! `oauth::Error` -> `tonic::Status`: code, details and the `oauth-error` trailer.

use std::{collections::HashMap, time::Duration};

use http::HeaderMap;
use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{oauth::Error, refusal::NOTHING_HERE};

/// What a call that could not be read was refused as (RFC 6749 §5.2).
const NOT_READABLE: &str = "invalid_request";

/// The status of a failed call.
pub(super) fn status(error: &Error) -> Status {
    let mut status = explained(code(error), error.code(), error.description(), error.retry_after());
    if let Error::UseDpopNonce { nonce } = error {
        add_dpop_nonce(status.metadata_mut(), Some(nonce));
    }
    status
}

/// A status with what every refusal carries: an ErrorInfo and the `oauth-error` trailer with the OAuth code, so that no caller
/// has to guess it, and when to come back: as RetryInfo, and in the field that gRPC clients with a retry policy obey (gRPC A6,
/// pushback).
pub(crate) fn explained(
    code: Code,
    oauth_code: &'static str,
    message: &str,
    retry_after: Option<Duration>,
) -> Status {
    let info = HashMap::from([("oauth_error".to_owned(), oauth_code.to_owned())]);
    let mut details = ErrorDetails::with_error_info(oauth_code.to_ascii_uppercase(), "mintage", info);
    let mut trailers = MetadataMap::new();
    trailers.insert("oauth-error", MetadataValue::from_static(oauth_code));
    if let Some(wait) = retry_after {
        details.set_retry_info(Some(wait));
        let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        trailers.insert("grpc-retry-pushback-ms", milliseconds.into());
    }
    Status::with_error_details_and_metadata(code, message, details, trailers)
}

/// Explains a status that was not made here, and tells as what. tonic makes its own, without details, for a call that it cannot
/// read and for a method that is not there.
pub(crate) fn explain(headers: &mut HeaderMap) -> Option<&'static str> {
    let is_bare =
        headers.get(Status::GRPC_STATUS)? != "0" && !headers.contains_key(Status::GRPC_STATUS_DETAILS);
    let bare = is_bare.then(|| Status::from_header_map(headers)).flatten()?;
    let message = match (bare.code(), bare.message()) {
        (Code::Unimplemented, "") => NOTHING_HERE,
        (_, message) => message,
    };
    explained(bare.code(), NOT_READABLE, message, None).add_header(headers).ok()?;
    Some(NOT_READABLE)
}

/// RFC 9449 §8: the nonce for the next proof.
pub(super) fn add_dpop_nonce(metadata: &mut MetadataMap, nonce: Option<&String>) {
    if let Some(value) = nonce.and_then(|nonce| nonce.parse().ok()) {
        metadata.insert("dpop-nonce", value);
    }
}

fn code(error: &Error) -> Code {
    match error {
        Error::InvalidRequest(_)
        | Error::InvalidGrant(_)
        | Error::UnsupportedGrantType(_)
        | Error::InvalidScope(_)
        | Error::InvalidTarget(_) => Code::InvalidArgument,
        Error::UnauthorizedClient(_) | Error::InsufficientScope(_) => Code::PermissionDenied,
        Error::InvalidClient(_)
        | Error::MissingToken
        | Error::InvalidToken(_)
        | Error::InvalidDpopProof(_)
        | Error::UseDpopNonce { .. } => Code::Unauthenticated,
        Error::RateLimited { .. } => Code::ResourceExhausted,
        Error::Busy { .. } => Code::ResourceExhausted,
        Error::TemporarilyUnavailable { .. } => Code::Unavailable,
        Error::ServerError(_) => Code::Internal,
    }
}
