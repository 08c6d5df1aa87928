//! Key sets that others publish, fetched over https: the keys of clients (`jwks_uri`, RFC 7591 §2), of trusted issuers
//! and of SPIFFE trust domains.
//!
//! A URL of a registration is a wish of somebody else, so every fetch is guarded (V-33): see [`target`] for what may be
//! asked and [`address`] for where it may lead. What was fetched is kept for as long as its server says (CHK-137) and
//! asked for again within bounds that no caller can widen (V-34): see [`key_sets`].
//!
//! - [`address`]: which addresses are public
//! - [`resolver`]: names become addresses, all of them checked
//! - [`target`]: which URLs may be asked
//! - [`http`]: one bounded request
//! - [`lifetime`]: how long an answer holds (RFC 9111)
//! - [`key_sets`]: the sets that are known, one fetch at a time for each URL
//! - [`discovery`]: the URL that an issuer's metadata names

pub mod address;
pub mod discovery;
pub mod http;
pub mod key_sets;
pub mod lifetime;
pub mod resolver;
pub mod target;

use std::time::Duration;

pub use key_sets::KeyFetcher;

/// What may be fetched, and how long it may take (`[jwks_fetch]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Hosts, with or without port, whose names may lead to any address.
    pub allow_hosts: Vec<String>,
    /// Whether every host may.
    pub allow_private: bool,
    /// Whether `http` is allowed beside `https`.
    pub allow_http: bool,
    /// The whole time that one fetch may take: resolving, connecting, and the last byte.
    pub timeout: Duration,
    /// The most bytes of an answer.
    pub max_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow_hosts: Vec::new(),
            allow_private: false,
            allow_http: false,
            timeout: Duration::from_secs(2),
            max_bytes: 256 * 1024,
        }
    }
}

/// Why nothing was fetched, for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The URL or the address behind it is not one that may be asked.
    #[error("{0}")]
    Forbidden(String),
    /// The server could not be reached, did not answer in time, or its answer is no use.
    #[error("{0}")]
    Failed(String),
}

#[cfg(test)]
mod tests;
