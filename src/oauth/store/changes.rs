//! What happened since: a replica follows the feed and so keeps its copy true.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{KeyRecord, Revocation, Sequence, StoreError};
use crate::{clock::Timestamp, oauth::client::ClientId};

/// Something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A client was created, updated or deleted.
    Client(ClientId),
    /// A signing key was added or changed; read them all again.
    Keys,
    /// Something was revoked.
    Revocation(Revocation),
}

/// What a reader gets that has seen everything up to a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// The changes after it, in their order; there may be more after the last.
    After {
        /// Each with its position.
        changes: Vec<(Sequence, Change)>,
        /// Up to here the reader has now seen everything.
        sequence: Sequence,
    },
    /// Some of them are no longer known, or the store is another one than before: read the [`State`] again.
    Gap,
}

/// Everything a replica keeps whole, read at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Names this history of sequences; restoring a backup begins another one.
    pub incarnation: String,
    /// The last change that is included.
    pub sequence: Sequence,
    /// Every signing key.
    pub keys: Vec<KeyRecord>,
    /// Every revocation that has not expired, by sequence.
    pub revocations: Vec<Revocation>,
}

/// Tells what changed.
#[async_trait::async_trait]
pub trait ChangeFeed: fmt::Debug + Send + Sync {
    /// The state now, without revocations that expired before `now`.
    async fn state(&self, now: Timestamp) -> Result<State, StoreError>;

    /// What changed after a sequence of this incarnation: one small statement when nothing did.
    async fn changes(&self, incarnation: &str, after: Sequence) -> Result<Changes, StoreError>;

    /// Resolves when it is worth asking again before the poll interval is over. A store that cannot tell never resolves.
    async fn hint(&self);
}
