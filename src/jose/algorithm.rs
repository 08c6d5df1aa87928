//! The algorithms this server signs with (RFC 7518 §3.1, RFC 8037 §3.1): a closed list, so that every choice by
//! algorithm is an exhaustive match and `none` cannot be written down.

use std::{fmt, str::FromStr};

/// A JWS algorithm this server can sign and verify with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 using SHA-256 (RFC 7518 §3.3).
    RS256,
    /// RSASSA-PSS using SHA-256 (RFC 7518 §3.5).
    PS256,
    /// ECDSA using P-256 and SHA-256 (RFC 7518 §3.4).
    ES256,
    /// ECDSA using P-384 and SHA-384 (RFC 7518 §3.4).
    ES384,
    /// Ed25519 (RFC 8037 §3.1).
    EdDSA,
    /// HMAC using SHA-256 (RFC 7518 §3.2). Symmetric: only this server can verify it.
    HS256,
}

impl SigningAlgorithm {
    /// Every algorithm, in the order they are documented.
    pub const ALL: [Self; 6] = [Self::RS256, Self::PS256, Self::ES256, Self::ES384, Self::EdDSA, Self::HS256];

    /// The `alg` value (RFC 7515 §4.1.1).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::PS256 => "PS256",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
            Self::HS256 => "HS256",
        }
    }

    /// Whether the verification key is secret and so can never be published.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::HS256)
    }
}

impl fmt::Display for SigningAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names none of [`SigningAlgorithm::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be one of RS256, PS256, ES256, ES384, EdDSA, HS256")]
pub struct UnknownAlgorithm;

impl FromStr for SigningAlgorithm {
    type Err = UnknownAlgorithm;

    /// Exact and case-sensitive (RFC 7515 §4.1.1).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|alg| alg.as_str() == text).ok_or(UnknownAlgorithm)
    }
}

impl From<SigningAlgorithm> for jsonwebtoken::Algorithm {
    fn from(alg: SigningAlgorithm) -> Self {
        match alg {
            SigningAlgorithm::RS256 => Self::RS256,
            SigningAlgorithm::PS256 => Self::PS256,
            SigningAlgorithm::ES256 => Self::ES256,
            SigningAlgorithm::ES384 => Self::ES384,
            SigningAlgorithm::EdDSA => Self::EdDSA,
            SigningAlgorithm::HS256 => Self::HS256,
        }
    }
}
