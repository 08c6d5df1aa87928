//! Why a token of somebody else is not accepted. For the log alone: the answer does not depend on the reason.

use crate::jose::{json::InvalidJson, jws::InvalidJws};

/// The check that a token did not pass, in the order they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FederationRefusal {
    /// It is no JWS that this server reads.
    #[error("the token is malformed: {0}")]
    Malformed(InvalidJws),
    /// Neither its issuer nor the trust domain of its subject is configured.
    #[error("iss of the token is no trusted issuer, and sub is of no known trust domain")]
    NotTrusted,
    /// It says that it is something else.
    #[error("typ of the token is not JWT")]
    Type,
    /// Its issuer may not use this algorithm.
    #[error("alg of the token is not among those of its issuer")]
    Algorithm,
    /// The keys of its issuer cannot be had.
    #[error("the keys of the issuer cannot be had")]
    KeysUnavailable,
    /// Its issuer has no such key.
    #[error("the issuer has no key with this kid for this alg")]
    NoKey,
    /// Several keys fit.
    #[error("several keys of the issuer fit")]
    AmbiguousKey,
    /// The signature is wrong.
    #[error("the signature of the token is wrong")]
    Signature,
    /// A claim is missing or has another type than its definition.
    #[error("the claims of the token: {0}")]
    Claims(InvalidJson),
    /// `sub` is no SPIFFE ID.
    #[error("sub of the JWT-SVID is no SPIFFE ID")]
    Subject,
    /// It is meant for somebody else.
    #[error("aud of the token is not what its issuer is configured with")]
    Audience,
    /// `exp` is past.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` is ahead.
    #[error("nbf or iat of the token is in the future")]
    NotYet,
    /// A condition does not hold.
    #[error("a condition of the trusted issuer does not hold")]
    Condition,
    /// `jti` is empty or too long.
    #[error("jti of the token must have 1 to 256 bytes")]
    Identifier,
    /// It is used once, and lives too long to be remembered.
    #[error("the token is used once and ends more than 24 hours from now")]
    Lifetime,
    /// The subject may not act as the client, or there is no such client.
    #[error("no enabled client with this client_id has the subject among its federated ones or workloads")]
    OtherSubject,
    /// It was used before.
    #[error("the token was used before")]
    Replayed,
}
