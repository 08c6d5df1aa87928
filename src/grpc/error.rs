//! `oauth::Error` -> `tonic::Status`: code, details and the `oauth-error` trailer.

use std::collections::HashMap;

use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};
use tonic_types::{ErrorDetails, StatusExt};

use crate::oauth::Error;

/// The status of a failed call. The trailer carries the OAuth code verbatim, so that no caller has to guess it.
pub(super) fn status(error: &Error) -> Status {
    let oauth_code = error.code();
    let metadata = HashMap::from([("oauth_error".to_owned(), oauth_code.to_owned())]);
    let mut details = ErrorDetails::with_error_info(oauth_code.to_ascii_uppercase(), "mintage", metadata);
    if let Some(retry_after) = error.retry_after() {
        details.set_retry_info(Some(retry_after));
    }
    let mut trailers = MetadataMap::new();
    if let Some(retry_after) = error.retry_after() {
        // What gRPC clients with a retry policy obey (gRPC A6, pushback).
        let milliseconds = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
        trailers.insert("grpc-retry-pushback-ms", milliseconds.into());
    }
    if let Error::UseDpopNonce { nonce } = error {
        add_dpop_nonce(&mut trailers, Some(nonce));
    }
    trailers.insert("oauth-error", MetadataValue::from_static(oauth_code));
    Status::with_error_details_and_metadata(code(error), error.description(), details, trailers)
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
