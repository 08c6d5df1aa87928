//! Authorization grants (RFC 6749 §1.3): their names, and what each contributes to a token.
//!
//! [`client_credentials`] is the only one so far; another grant is a new file and a new variant.

pub mod client_credentials;

/// A grant this server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantType {
    /// RFC 6749 §4.4.
    ClientCredentials,
}

impl GrantType {
    /// Every grant this server offers.
    pub const ALL: [Self; 1] = [Self::ClientCredentials];

    /// The `grant_type` value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
        }
    }

    /// The grant a `grant_type` value names.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == text)
    }
}
