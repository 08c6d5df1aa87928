//! Every way an administrative call can fail. Each transport translates the enum in one exhaustive match of its own.

use std::{fmt, time::Duration};

use crate::oauth::{client::registration::InvalidMember, store::StoreError};

/// When a caller should try again after the store could not be reached.
const RETRY: Duration = Duration::from_secs(1);

/// Why nothing was done. Every text is a sentence without secrets that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminError {
    /// What was asked for can never be done; every reason is listed.
    InvalidArgument(Vec<Violation>),
    /// There is no such thing.
    NotFound(String),
    /// The name is taken.
    AlreadyExists(String),
    /// Somebody else changed it since the caller read it.
    Aborted(String),
    /// It cannot be done as things are.
    FailedPrecondition(String),
    /// The store cannot be reached. Whether a change took place is not known.
    Unavailable {
        /// For the log.
        cause: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// Something broke inside. The cause is for the log.
    Internal(String),
}

/// One thing that is wrong with an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The argument or member, by its name.
    pub member: &'static str,
    /// What is wrong with it and what to write instead.
    pub problem: String,
}

impl AdminError {
    /// One argument is wrong.
    pub fn invalid(member: &'static str, problem: impl Into<String>) -> Self {
        Self::InvalidArgument(vec![Violation { member, problem: problem.into() }])
    }

    /// What the log may read and the caller need not.
    pub fn log_detail(&self) -> Option<&str> {
        match self {
            Self::Unavailable { cause, .. } | Self::Internal(cause) => Some(cause),
            _ => None,
        }
    }
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidArgument(violations) => {
                for (index, violation) in violations.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "; " };
                    write!(f, "{separator}{violation}")?;
                }
                Ok(())
            }
            Self::NotFound(text)
            | Self::AlreadyExists(text)
            | Self::Aborted(text)
            | Self::FailedPrecondition(text) => f.write_str(text),
            Self::Unavailable { .. } => f.write_str(
                "the store cannot be reached and the change may or may not have been made; repeat the request",
            ),
            Self::Internal(_) => f.write_str("the request could not be completed; the log says why"),
        }
    }
}

impl std::error::Error for AdminError {}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.member, self.problem)
    }
}

impl From<InvalidMember> for Violation {
    fn from(invalid: InvalidMember) -> Self {
        Self { member: invalid.member, problem: invalid.problem }
    }
}

impl From<Vec<InvalidMember>> for AdminError {
    fn from(invalid: Vec<InvalidMember>) -> Self {
        Self::InvalidArgument(invalid.into_iter().map(Into::into).collect())
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(cause) => Self::Unavailable { cause, retry_after: RETRY },
            StoreError::Conflict => Self::Aborted(
                "it was changed by somebody else; read it again and repeat the change".to_owned(),
            ),
            StoreError::NotFound => Self::NotFound("it does not exist any more".to_owned()),
            StoreError::Corrupt(cause) => Self::Internal(cause),
        }
    }
}

impl From<crate::random::RandomError> for AdminError {
    fn from(error: crate::random::RandomError) -> Self {
        Self::Internal(error.to_string())
    }
}
