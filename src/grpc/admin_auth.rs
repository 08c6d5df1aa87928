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
    let caller = server.authorise(token.as_ref(), &call.sender, demand).await?;
    call.record.set_client_id(caller.client_id().as_str());
    Ok(caller)
}

/// One method of an admin service: the log's name for it, what it demands, and what it does with the message. Who changed
/// something goes into the log; what exactly is in the store.
macro_rules! method {
    ($self:ident, $request:ident, $service:expr, $name:literal, $demand:ident, |$message:ident| $answer:expr) => {{
        let (call, $message) = $crate::grpc::call::Call::begin($service, $name, $request);
        let result = async {
            let demand = $crate::oauth::bearer::Demand::$demand;
            let caller = $crate::grpc::admin_auth::authorise(&$self.server, &call, demand).await?;
            let answer = $answer;
            if demand == $crate::oauth::bearer::Demand::Write {
                tracing::info!(
                    method = $name,
                    by = caller.client_id().as_str(),
                    "an administrator made a change"
                );
            }
            Ok::<_, $crate::grpc::admin_auth::Failure>(answer)
        };
        $crate::grpc::admin_auth::finish(&call, result.await)
    }};
}
pub(super) use method;

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::oauth::store::StoreError;

    #[test]
    fn a_store_that_is_away_is_unavailable_and_says_when_to_try_again() {
        let cause = "connection refused by db.internal";
        let status = status(&StoreError::Unavailable(cause.to_owned()).into());
        assert_eq!(status.code(), Code::Unavailable);
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "UNAVAILABLE");
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_secs(1)));
        assert!(!format!("{status:?}").contains("db.internal"));
    }

    #[test]
    fn what_is_for_the_log_stays_there() {
        for error in
            [AdminError::Internal("canary".to_owned()), StoreError::Corrupt("canary".to_owned()).into()]
        {
            let status = status(&error);
            assert_eq!(status.code(), Code::Internal);
            assert!(!format!("{status:?}").contains("canary"));
            assert_eq!(error.log_detail(), Some("canary"));
        }
    }
}
