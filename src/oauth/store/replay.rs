//! What may be used once and was used: `jti` values of assertions and proofs, as digests.

use std::fmt;

use super::StoreError;
use crate::clock::Timestamp;

/// The digest of what may be used once; see [`crate::oauth::replay`].
pub type ReplayKey = [u8; 32];

/// Keeps what was used. It is no part of the change feed: nobody keeps a copy, everybody asks.
#[async_trait::async_trait]
pub trait ReplayStore: fmt::Debug + Send + Sync {
    /// Claims a key until an instant, rounded up to whole seconds. Of all who claim a key in that time, on whatever replica,
    /// exactly one is told `true`, and the claim is durable by then.
    ///
    /// After [`StoreError::Unavailable`], and when the caller stops waiting, the key may be claimed; nobody is told `true`
    /// for it any more in that case.
    async fn claim(&self, key: &ReplayKey, expires_at: Timestamp, now: Timestamp)
    -> Result<bool, StoreError>;

    /// Forgets claims that expired before `now`. Returns how many.
    async fn purge_replays(&self, now: Timestamp) -> Result<u64, StoreError>;
}
