//! Authorization grants (RFC 6749 §1.3): their names, and what each contributes to a token.
//!
//! [`client_credentials`] decides what a client may have. A token of a trusted issuer as a grant ([`super::federation`]) says
//! in whose name the client asks, and gives it nothing more.

pub mod client_credentials;

/// A grant this server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantType {
    /// RFC 6749 §4.4.
    ClientCredentials,
    /// RFC 7523 §2.1.
    JwtBearer,
}

impl GrantType {
    /// Every grant this server can offer.
    pub const ALL: [Self; 2] = [Self::ClientCredentials, Self::JwtBearer];

    /// The `grant_type` value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }

    /// The grant a `grant_type` value names.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == text)
    }
}
