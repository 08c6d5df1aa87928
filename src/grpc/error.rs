//! `oauth::Error` -> `tonic::Status`: code, details and the `oauth-error` trailer.

use std::{collections::HashMap, time::Duration};

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
    let mut trailers = MetadataMap::new();
    if let Some(wait) = error.retry_after() {
        set_retry(&mut details, &mut trailers, wait);
    }
    if let Error::UseDpopNonce { nonce } = error {
        add_dpop_nonce(&mut trailers, Some(nonce));
    }
    trailers.insert("oauth-error", MetadataValue::from_static(oauth_code));
    Status::with_error_details_and_metadata(code(error), error.description(), details, trailers)
}

/// Tells when to come back: as RetryInfo, and in the field that gRPC clients with a retry policy obey (gRPC A6, pushback).
pub(crate) fn set_retry(details: &mut ErrorDetails, metadata: &mut MetadataMap, wait: Duration) {
    details.set_retry_info(Some(wait));
    let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    metadata.insert("grpc-retry-pushback-ms", milliseconds.into());
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
