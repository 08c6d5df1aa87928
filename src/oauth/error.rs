//! Every way a request can fail: the OAuth error codes (RFC 6749 §5.2, RFC 6750 §3.1, RFC 8707 §2, RFC 9449 §5 and §8).
//!
//! What the caller may read is `description`; what only the log may read is kept apart and has no way into a response.
//! Each transport translates the enum in one exhaustive match of its own.

use std::{borrow::Cow, fmt, time::Duration};

use super::{client::assertion::refusal::AssertionRefusal, federation::refusal::FederationRefusal};
use crate::{
    certificates::Untrusted,
    refusal::{BUSY, RefusalReason, TOO_MANY},
};

/// Why a request was refused or could not be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The request is malformed (RFC 6749 §5.2).
    InvalidRequest(Description),
    /// Client authentication failed (RFC 6749 §5.2). The answer is the same whatever the cause; the cause is for the log.
    InvalidClient(ClientRefusal),
    /// The assertion that is the grant is not acceptable (RFC 7521 §4.1.1). The cause is for the log.
    InvalidGrant(FederationRefusal),
    /// The client may not use this grant (RFC 6749 §5.2).
    UnauthorizedClient(Description),
    /// The server has no such grant (RFC 6749 §5.2).
    UnsupportedGrantType(Description),
    /// The scope is malformed or more than the client may have (RFC 6749 §5.2).
    InvalidScope(Description),
    /// The audience or resource is malformed or not one of the client's (RFC 8707 §2).
    InvalidTarget(Description),
    /// A protected resource was asked for without a token (RFC 6750 §3: a challenge without error code).
    MissingToken,
    /// The presented access token is malformed, expired, or not acceptable for another reason (RFC 6750 §3.1).
    InvalidToken(TokenRefusal),
    /// A DPoP proof is missing, malformed, for something else, or was used before (RFC 9449 §5, §7.1).
    InvalidDpopProof(Description),
    /// The DPoP proof must carry this nonce, which is new (RFC 9449 §8).
    UseDpopNonce {
        /// For the next proof.
        nonce: String,
    },
    /// The access token lacks the scope that is named (RFC 6750 §3.1).
    InsufficientScope(&'static str),
    /// Too many requests, failed attempts, or signatures that wait; the caller may try again later (RFC 6585 §4).
    RateLimited {
        /// Of what there was too much.
        reason: RefusalReason,
        /// When to try again.
        retry_after: Duration,
    },
    /// The server is too busy to serve this request in time (RFC 6749 §4.1.2.1 has the name).
    Busy {
        /// Of what there was too much.
        reason: RefusalReason,
        /// When to try again.
        retry_after: Duration,
    },
    /// What the server needs to answer truthfully cannot be had now: the store, or news from it that is recent enough.
    TemporarilyUnavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// Something broke inside (RFC 6749 §4.1.2.1 has the name). The cause is for the log.
    ServerError(String),
}

/// Why a client was not authenticated. For the log alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRefusal {
    /// The request carries no client authentication.
    NoCredentials,
    /// The credentials cannot be read.
    MalformedCredentials,
    /// The server does not offer this method of authentication.
    UnsupportedMethod,
    /// No enabled client has this identifier, method and secret.
    WrongCredentials,
    /// The assertion does not pass a check.
    Assertion(AssertionRefusal),
    /// It does not, and would if the client's profile were "compat".
    NeedsCompat(AssertionRefusal),
    /// The token of a trusted issuer or of a workload does not pass a check.
    Federation(FederationRefusal),
    /// The certificate of the connection is not the client's.
    Certificate(CertificateRefusal),
}

impl fmt::Display for ClientRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Assertion(refusal) => refusal.fmt(f),
            Self::Federation(refusal) => refusal.fmt(f),
            Self::Certificate(refusal) => refusal.fmt(f),
            Self::NeedsCompat(refusal) => write!(f, "{refusal}; profile \"compat\" would accept it"),
            named => write!(f, "{named:?}"),
        }
    }
}

/// Why a certificate does not authenticate a client. For the log alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefusal {
    /// It cannot be read.
    #[error("the certificate cannot be read")]
    Malformed,
    /// No authority that counts for the client's method stands behind it.
    #[error("the certificate is not trusted: {0}")]
    Untrusted(Untrusted),
    /// No authorities are configured for the client's method or trust domain.
    #[error("no authorities are configured for the client's method or trust domain")]
    NoAuthorities,
    /// There is no such client with a method of certificates.
    #[error("no enabled client with this client_id authenticates by certificate")]
    Client,
    /// Its subject or alternative name is not the registered one.
    #[error("the certificate is not of the subject that is registered")]
    OtherSubject,
    /// Neither it nor its key is registered.
    #[error("neither the certificate nor its key is registered")]
    NotRegistered,
    /// The keys of the client cannot be had.
    #[error("the keys of the client cannot be had")]
    KeysUnavailable,
    /// It is registered, but is expired, not yet valid, or not for the authentication of clients.
    #[error("the certificate is expired, not yet valid, or not for clients")]
    NotUsable,
    /// It breaks a rule of X.509-SVIDs.
    #[error("the certificate is no X.509-SVID of a workload")]
    NotAnSvid,
}

/// Why an access token was not accepted. For the log alone, except for being a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRefusal {
    /// Not a well-formed signed token of this server.
    Malformed,
    /// No key of this server has its `kid`, or its signature is wrong.
    Signature,
    /// A claim is missing or wrong.
    Claims,
    /// It is expired or not yet valid.
    Time,
    /// Its client is unknown or disabled.
    Client,
    /// It, all tokens of its client, or its key was revoked.
    Revoked,
    /// It is bound to a key or certificate that the sender did not prove to possess, or was presented with another scheme
    /// than its own.
    Possession,
}

impl Error {
    /// What there is too much of, if that is why.
    pub const fn too_many(&self) -> Option<RefusalReason> {
        match self {
            Self::RateLimited { reason, .. } | Self::Busy { reason, .. } => Some(*reason),
            _ => None,
        }
    }

    /// A malformed request, and what to do about it.
    pub fn invalid_request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::InvalidRequest(Description::new(description))
    }

    /// The OAuth error code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidClient(_) => "invalid_client",
            Self::InvalidGrant(_) => "invalid_grant",
            Self::UnauthorizedClient(_) => "unauthorized_client",
            Self::UnsupportedGrantType(_) => "unsupported_grant_type",
            Self::InvalidScope(_) => "invalid_scope",
            Self::InvalidTarget(_) => "invalid_target",
            Self::MissingToken | Self::InvalidToken(_) => "invalid_token",
            Self::InvalidDpopProof(_) => "invalid_dpop_proof",
            Self::UseDpopNonce { .. } => "use_dpop_nonce",
            Self::InsufficientScope(_) => "insufficient_scope",
            Self::RateLimited { .. } | Self::Busy { .. } | Self::TemporarilyUnavailable { .. } => {
                "temporarily_unavailable"
            }
            Self::ServerError(_) => "server_error",
        }
    }

    /// What the caller may read: visible ASCII without `"` and `\` (RFC 6749 §5.2).
    pub fn description(&self) -> &str {
        match self {
            Self::InvalidRequest(text)
            | Self::UnauthorizedClient(text)
            | Self::UnsupportedGrantType(text)
            | Self::InvalidScope(text)
            | Self::InvalidTarget(text)
            | Self::InvalidDpopProof(text) => text.as_str(),
            Self::InvalidClient(_) => "client authentication failed",
            Self::InvalidGrant(_) => "the assertion is not acceptable for this client",
            Self::MissingToken => "an access token is required",
            Self::InvalidToken(_) => {
                "the access token is malformed, expired, or was not issued by this server"
            }
            Self::UseDpopNonce { .. } => "the DPoP proof needs the nonce of this response",
            Self::InsufficientScope(_) => "the access token lacks a scope that this operation needs",
            Self::RateLimited { .. } => TOO_MANY,
            Self::Busy { .. } => BUSY,
            Self::TemporarilyUnavailable { .. } => "the server cannot reach its store; try again later",
            Self::ServerError(_) => "the server could not complete the request",
        }
    }

    /// When the caller may try again, if a retry makes sense.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. }
            | Self::Busy { retry_after, .. }
            | Self::TemporarilyUnavailable { retry_after } => Some(*retry_after),
            _ => None,
        }
    }

    /// What only the log may read.
    pub fn log_detail(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::InvalidClient(reason) => Some(reason.to_string().into()),
            Self::InvalidGrant(reason) => Some(reason.to_string().into()),
            Self::InvalidToken(reason) => Some(format!("{reason:?}").into()),
            Self::ServerError(cause) => Some(cause.as_str().into()),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.description())
    }
}

impl std::error::Error for Error {}

impl From<crate::random::RandomError> for Error {
    fn from(error: crate::random::RandomError) -> Self {
        Self::ServerError(error.to_string())
    }
}

/// An `error_description` (RFC 6749 §5.2): `%x20-21 / %x23-5B / %x5D-7E`, so that it fits a JSON string and a quoted
/// header value without escapes (V-42).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description(Cow<'static, str>);

impl Description {
    /// Keeps the characters that are allowed and replaces every other one by a question mark.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        let allowed = |c: char| matches!(c, '\x20'..='\x21' | '\x23'..='\x5B' | '\x5D'..='\x7E');
        if text.chars().all(allowed) {
            return Self(text);
        }
        Self(text.chars().map(|c| if allowed(c) { c } else { '?' }).collect::<String>().into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // V-42, CHK-27
    #[test]
    fn a_description_needs_no_escapes() {
        let description = Description::new("a\r\nb\"c\\d\x1b[0m\u{e9}".to_owned());
        assert_eq!(description.as_str(), "a??b?c?d?[0m?");
    }
}
