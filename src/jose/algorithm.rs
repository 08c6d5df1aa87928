//! The algorithms this server signs with, and those it can verify (RFC 7518 §3.1, RFC 8037 §3.1): closed lists, so that
//! every choice by algorithm is an exhaustive match and `none` cannot be written down.

use std::{fmt, str::FromStr};

/// A JWS algorithm this server signs its tokens with.
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

    /// Whether a signature takes so long that it must not be made on a thread that serves others meanwhile: with 2048 bits RSA
    /// takes some 400 us, an elliptic curve a tenth of that and less, while handing it over costs some 25 us
    /// (docs/decisions/009).
    pub const fn is_expensive(self) -> bool {
        matches!(self, Self::RS256 | Self::PS256)
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

/// A JWS algorithm this server can verify: what clients, trusted issuers and DPoP proofs sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JwsAlgorithm {
    /// RSASSA-PKCS1-v1_5 using SHA-256 (RFC 7518 §3.3).
    RS256,
    /// RSASSA-PKCS1-v1_5 using SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 using SHA-512.
    RS512,
    /// RSASSA-PSS using SHA-256, a salt of 32 bytes (RFC 7518 §3.5).
    PS256,
    /// RSASSA-PSS using SHA-384, a salt of 48 bytes.
    PS384,
    /// RSASSA-PSS using SHA-512, a salt of 64 bytes.
    PS512,
    /// ECDSA using P-256 and SHA-256 (RFC 7518 §3.4).
    ES256,
    /// ECDSA using P-384 and SHA-384.
    ES384,
    /// Ed25519 (RFC 8037 §3.1), which RFC 9864 §2.2 calls "Ed25519"; both names are read, the older one is written.
    EdDSA,
    /// HMAC using SHA-256 (RFC 7518 §3.2). Symmetric: the key is a secret that both sides know.
    HS256,
    /// HMAC using SHA-384. Symmetric.
    HS384,
    /// HMAC using SHA-512. Symmetric.
    HS512,
}

impl JwsAlgorithm {
    /// Every algorithm, in the order they are documented.
    pub const ALL: [Self; 12] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
        Self::HS256,
        Self::HS384,
        Self::HS512,
    ];

    /// The `alg` value (RFC 7515 §4.1.1).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
        }
    }

    /// Whether the verification key is secret.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

impl fmt::Display for JwsAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names none of [`JwsAlgorithm::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, HS256, HS384, HS512"
)]
pub struct UnknownJwsAlgorithm;

impl FromStr for JwsAlgorithm {
    type Err = UnknownJwsAlgorithm;

    /// Exact and case-sensitive (RFC 7515 §4.1.1); "Ed25519" is another name of EdDSA (RFC 9864 §2.2).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|alg| alg.as_str() == text);
        named.or_else(|| (text == "Ed25519").then_some(Self::EdDSA)).ok_or(UnknownJwsAlgorithm)
    }
}

impl From<SigningAlgorithm> for JwsAlgorithm {
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

impl From<JwsAlgorithm> for jsonwebtoken::Algorithm {
    fn from(alg: JwsAlgorithm) -> Self {
        match alg {
            JwsAlgorithm::RS256 => Self::RS256,
            JwsAlgorithm::RS384 => Self::RS384,
            JwsAlgorithm::RS512 => Self::RS512,
            JwsAlgorithm::PS256 => Self::PS256,
            JwsAlgorithm::PS384 => Self::PS384,
            JwsAlgorithm::PS512 => Self::PS512,
            JwsAlgorithm::ES256 => Self::ES256,
            JwsAlgorithm::ES384 => Self::ES384,
            JwsAlgorithm::EdDSA => Self::EdDSA,
            JwsAlgorithm::HS256 => Self::HS256,
            JwsAlgorithm::HS384 => Self::HS384,
            JwsAlgorithm::HS512 => Self::HS512,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // V-8
    #[test]
    fn names_are_exact() {
        for alg in JwsAlgorithm::ALL {
            assert_eq!(alg.as_str().parse(), Ok(alg));
            assert_eq!(alg.as_str().to_lowercase().parse::<JwsAlgorithm>(), Err(UnknownJwsAlgorithm));
        }
        assert_eq!("Ed25519".parse(), Ok(JwsAlgorithm::EdDSA));
        for text in ["none", "None", "", "ES256K", "RS1", "Ed448", "ed25519", "HS256 "] {
            assert_eq!(text.parse::<JwsAlgorithm>(), Err(UnknownJwsAlgorithm), "{text}");
        }
    }

    #[test]
    fn what_is_signed_with_can_be_verified() {
        for alg in SigningAlgorithm::ALL {
            let verified = JwsAlgorithm::from(alg);
            assert_eq!(verified.as_str(), alg.as_str());
            assert_eq!(verified.is_symmetric(), alg.is_symmetric());
        }
    }
}
