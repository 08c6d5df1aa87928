//! How clients prove who they are (RFC 7591 §2, `token_endpoint_auth_method`), and the rules a profile adds.

use std::{str::FromStr, time::Duration};

use crate::jose::{JwsAlgorithm, SigningAlgorithm};

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenEndpointAuthMethod {
    /// HTTP Basic, or `authorization` metadata over gRPC (RFC 6749 §2.3.1).
    ClientSecretBasic,
    /// Parameters of the body, or a field of the gRPC request (RFC 6749 §2.3.1).
    ClientSecretPost,
    /// An assertion under the client's secret (OpenID Connect Core 1.0 §9).
    ClientSecretJwt,
    /// An assertion under the client's private key (RFC 7523 §2.2).
    PrivateKeyJwt,
    /// A certificate of an authority this server trusts (RFC 8705 §2.1).
    TlsClientAuth,
    /// A certificate that is registered itself (RFC 8705 §2.2).
    SelfSignedTlsClientAuth,
    /// A JWT-SVID as assertion (SPIFFE).
    SpiffeJwt,
    /// An X.509-SVID as client certificate (SPIFFE).
    SpiffeX509,
    /// A public client: it can prove nothing and therefore gets nothing.
    None,
}

/// The text names no method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it must be client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt, tls_client_auth, \
     self_signed_tls_client_auth, spiffe_jwt, spiffe_x509 or none; leave it out to accept the first two"
)]
pub struct UnknownMethod;

impl TokenEndpointAuthMethod {
    /// Every method.
    pub const ALL: [Self; 9] = [
        Self::ClientSecretBasic,
        Self::ClientSecretPost,
        Self::ClientSecretJwt,
        Self::PrivateKeyJwt,
        Self::TlsClientAuth,
        Self::SelfSignedTlsClientAuth,
        Self::SpiffeJwt,
        Self::SpiffeX509,
        Self::None,
    ];

    /// The registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::ClientSecretJwt => "client_secret_jwt",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::TlsClientAuth => "tls_client_auth",
            Self::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
            Self::SpiffeJwt => "spiffe_jwt",
            Self::SpiffeX509 => "spiffe_x509",
            Self::None => "none",
        }
    }

    /// Whether the client proves that it knows a secret.
    pub const fn uses_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost | Self::ClientSecretJwt)
    }

    /// What an assertion of this method may be signed with; nothing for a method without assertions.
    pub const fn assertion_algorithms(self) -> &'static [JwsAlgorithm] {
        match self {
            Self::ClientSecretJwt => &[JwsAlgorithm::HS256, JwsAlgorithm::HS384, JwsAlgorithm::HS512],
            Self::PrivateKeyJwt => &[
                JwsAlgorithm::RS256,
                JwsAlgorithm::RS384,
                JwsAlgorithm::RS512,
                JwsAlgorithm::PS256,
                JwsAlgorithm::PS384,
                JwsAlgorithm::PS512,
                JwsAlgorithm::ES256,
                JwsAlgorithm::ES384,
                JwsAlgorithm::EdDSA,
            ],
            _ => &[],
        }
    }

    /// Whether the client presents a certificate.
    pub const fn uses_certificate(self) -> bool {
        matches!(self, Self::TlsClientAuth | Self::SelfSignedTlsClientAuth | Self::SpiffeX509)
    }
}

impl FromStr for TokenEndpointAuthMethod {
    type Err = UnknownMethod;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|method| method.as_str() == text).ok_or(UnknownMethod)
    }
}

/// A set of rules that a client keeps to: for its assertions, the lifetime of its tokens, and their binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// RFC 7523bis: the audience is the issuer alone, an assertion lives 300 s at most and is used once.
    #[default]
    Strict,
    /// What older client libraries send.
    Compat,
    /// SMART App Launch 2.2, Backend Services.
    Smart,
    /// FAPI 2.0 Security Profile.
    Fapi2,
}

impl Profile {
    const ALL: [Self; 4] = [Self::Strict, Self::Compat, Self::Smart, Self::Fapi2];

    /// How long an assertion may live.
    pub const fn longest_assertion(self) -> Duration {
        match self {
            Self::Strict | Self::Smart | Self::Fapi2 => Duration::from_secs(300),
            Self::Compat => Duration::from_secs(3600),
        }
    }

    /// How long its tokens may live, where the profile says so (SMART App Launch 2.2, Backend Services, "Access Token").
    pub const fn longest_token(self) -> Option<Duration> {
        match self {
            Self::Smart => Some(Duration::from_secs(300)),
            Self::Strict | Self::Compat | Self::Fapi2 => None,
        }
    }

    /// Whether an assertion may be signed with this algorithm (FAPI 2.0 Security Profile §5.4.1).
    pub const fn allows_assertion_algorithm(self, alg: JwsAlgorithm) -> bool {
        match self {
            Self::Fapi2 => matches!(alg, JwsAlgorithm::PS256 | JwsAlgorithm::ES256 | JwsAlgorithm::EdDSA),
            Self::Strict | Self::Compat | Self::Smart => true,
        }
    }

    /// Whether tokens may be signed with this algorithm (the same).
    pub const fn allows_token_algorithm(self, alg: SigningAlgorithm) -> bool {
        match self {
            Self::Fapi2 => {
                matches!(alg, SigningAlgorithm::PS256 | SigningAlgorithm::ES256 | SigningAlgorithm::EdDSA)
            }
            Self::Strict | Self::Compat | Self::Smart => true,
        }
    }

    /// Whether every token is bound to a key or a certificate (FAPI 2.0 Security Profile §5.3.2.1).
    pub const fn binds_tokens(self) -> bool {
        matches!(self, Self::Fapi2)
    }

    /// The name in a registration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Compat => "compat",
            Self::Smart => "smart",
            Self::Fapi2 => "fapi2",
        }
    }
}

impl FromStr for Profile {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|profile| profile.as_str() == text);
        found.ok_or("it must be \"strict\", \"compat\", \"smart\" or \"fapi2\"")
    }
}
