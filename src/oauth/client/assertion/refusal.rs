//! Why an assertion is refused. For the log alone: the answer is `invalid_client`, whatever the reason (CHK-70).

use crate::jose::{json::InvalidJson, jws::InvalidJws};

/// The check that an assertion did not pass, in the order they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionRefusal {
    /// It is no JWS that this server reads.
    #[error("the assertion is malformed: {0}")]
    Malformed(InvalidJws),
    /// It says that it is something else than a client assertion.
    #[error("typ of the assertion is not JWT or client-authentication+jwt")]
    Type,
    /// This server verifies no assertion with this algorithm.
    #[error("alg of the assertion is none that this server accepts")]
    UnknownAlgorithm,
    /// No enabled client has the identifier and authenticates by assertion.
    #[error("no enabled client with this client_id authenticates by such an assertion")]
    Client,
    /// The client may not use this algorithm.
    #[error("alg of the assertion is not among those of the client")]
    Algorithm,
    /// `jku` is there and is not the URL that is registered (SMART App Launch 2.2).
    #[error("jku of the assertion is not the jwks_uri of the client")]
    KeySetUrl,
    /// The key set at `jwks_uri` cannot be had.
    #[error("the keys at the jwks_uri of the client cannot be had; the log says why where they were fetched")]
    KeysUnavailable,
    /// The client has no such key, or no secret that is long enough for the algorithm.
    #[error("the client has no key with this kid for this alg")]
    NoKey,
    /// Several of its keys fit.
    #[error("several keys of the client fit; its keys need a kid each, and the assertion must name one")]
    AmbiguousKey,
    /// The signature is wrong.
    #[error("the signature of the assertion is wrong")]
    Signature,
    /// A claim is missing or has another type than its definition.
    #[error("the claims of the assertion: {0}")]
    Claims(InvalidJson),
    /// `iss` and `sub` are not both the `client_id`.
    #[error("iss and sub of the assertion must both be the client_id")]
    Subject,
    /// `aud` is not what the profile of the client demands.
    #[error("aud of the assertion is not what the client's profile demands")]
    Audience,
    /// `exp` is past.
    #[error("the assertion has expired")]
    Expired,
    /// `exp` is further ahead than the profile of the client allows.
    #[error("the assertion lives longer than the client's profile allows")]
    Lifetime,
    /// `iat` or `nbf` is ahead.
    #[error("iat or nbf of the assertion is in the future")]
    NotYet,
    /// `jti` is empty or too long.
    #[error("jti of the assertion must have 1 to 256 bytes")]
    Identifier,
    /// It was used before.
    #[error("the assertion was used before")]
    Replayed,
}
