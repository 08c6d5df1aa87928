//! Where the public keys of a client come from, when they are not registered with it: a URL it publishes them at
//! (`jwks_uri`, RFC 7591 §2).

use std::{fmt, sync::Arc, time::Duration};

use crate::jose::JwkSet;

/// Knows the keys that somebody publishes. It decides what may be fetched, how often, and for how long an answer holds.
#[async_trait::async_trait]
pub trait KeySource: fmt::Debug + Send + Sync {
    /// The keys at a registered URL. `kid` is that of the message at hand: when the known set has no such key, it may be
    /// time to look again.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn keys(&self, uri: &str, kid: Option<&str>) -> Result<Arc<JwkSet>, KeyError>;
}

/// There are no keys to verify with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// They could not be had, now or lately. The reason is for the log: it holds no key, and the URL is the client's own.
    #[error("the keys cannot be had: {0}")]
    Unavailable(String),
    /// Too many fetches go on.
    #[error("too many key sets are being fetched")]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
}
