//! Who may call the admin services: the access token of a call, and the answers of calls that fail.

use std::collections::HashMap;

use tonic::{Code, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::call::Call;
use crate::{
    admin::AdminError,
    oauth::{
        AuthorizationServer, Error,
        bearer::{Authorised, Demand},
        userinfo::presented_token,
    },
};

/// Checks the access token of a call; its client goes into the log.
pub(super) async fn authorise(
    server: &AuthorizationServer,
    call: &Call,
    demand: Demand,
) -> Result<Authorised, Failure> {
    let token = presented_token(&call.authorization, None)?;
    let caller = server.authorise(token.as_ref(), demand).await?;
    call.record.set_client_id(caller.client_id().as_str());
    Ok(caller)
}

/// Why an admin call failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The caller may not make it.
    OAuth(Error),
    /// It could not be done.
    Admin(AdminError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::OAuth(error)
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        Self::Admin(error)
    }
}

/// Answers an admin call; an error is noted in the record.
pub(super) fn finish<T>(call: &Call, result: Result<T, Failure>) -> Result<Response<T>, Status> {
    match result {
        Ok(answer) => Ok(Response::new(answer)),
        Err(Failure::OAuth(error)) => call.finish(Err(error)),
        Err(Failure::Admin(error)) => {
            call.record.refuse(reason(&error).1, error.log_detail());
            Err(status(&error))
        }
    }
}

/// The status of an error: an ErrorInfo with the reason, every violation, and when to try again.
fn status(error: &AdminError) -> Status {
    let (code, reason) = reason(error);
    let mut details = ErrorDetails::with_error_info(reason, "mintage", HashMap::new());
    if let AdminError::InvalidArgument(violations) = error {
        for violation in violations {
            details.add_bad_request_violation(violation.member, &violation.problem);
        }
    }
    if let AdminError::Unavailable { retry_after, .. } = error {
        details.set_retry_info(Some(*retry_after));
    }
    Status::with_error_details(code, error.to_string(), details)
}

fn reason(error: &AdminError) -> (Code, &'static str) {
    match error {
        AdminError::InvalidArgument(_) => (Code::InvalidArgument, "INVALID_ARGUMENT"),
        AdminError::NotFound(_) => (Code::NotFound, "NOT_FOUND"),
        AdminError::AlreadyExists(_) => (Code::AlreadyExists, "ALREADY_EXISTS"),
        AdminError::Aborted(_) => (Code::Aborted, "ETAG_MISMATCH"),
        AdminError::FailedPrecondition(_) => (Code::FailedPrecondition, "FAILED_PRECONDITION"),
        AdminError::Unavailable { .. } => (Code::Unavailable, "UNAVAILABLE"),
        AdminError::Internal(_) => (Code::Internal, "INTERNAL"),
    }
}
