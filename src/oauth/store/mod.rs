//! What the core needs kept, as small traits: one per kind of record. Whoever implements them knows a database; the core
//! does not.
//!
//! - [`clients`]: registrations made at run time
//! - [`keys`]: signing keys and other sealed values
//! - [`revocations`]: what was revoked before it expired
//! - [`replay`]: what may be used once and was used
//! - [`transfer`]: everything that lasts at once, from an archive
//! - [`changes`]: what happened since, for replicas that keep a copy in memory
//!
//! Every write that returned `Ok` is durable and has a [`Sequence`] of its own in the change feed, unless its trait says
//! otherwise. Those writes are serialised by the store, so that sequences are committed in their order: a reader that has
//! seen `n` never finds a smaller one new.

pub mod changes;
pub mod clients;
pub mod keys;
pub mod replay;
pub mod revocations;
pub mod transfer;

use std::sync::Arc;

pub use changes::{Change, ChangeFeed, Changes, State};
pub use clients::{ClientOrder, ClientQuery, ClientRecord, ClientStore, SecretUse};
pub use keys::{KeyRecord, KeyStore, KeyWrite};
pub use replay::{ReplayKey, ReplayStore};
pub use revocations::{NewRevocation, Revocation, RevocationStore, Revoked};
pub use transfer::TransferStore;

/// The position of a write in the change feed: 1, 2, 3, ...
pub type Sequence = u64;

/// Why the store did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, did not answer in time, is full or read-only. Whether a write took place is not known.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// The record exists already, or somebody else changed it meanwhile. Nothing was written.
    #[error("the record exists already or was changed by somebody else")]
    Conflict,
    /// There is no such record. Nothing was written.
    #[error("there is no such record")]
    NotFound,
    /// What it holds cannot be read.
    #[error("the store holds what this version cannot read: {0}")]
    Corrupt(String),
}

/// Values that are kept as their text.
mod text {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Bytes as base64url.
mod base64 {
    use base64::engine::{Engine, general_purpose::URL_SAFE_NO_PAD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        URL_SAFE_NO_PAD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Every store of a server; one database behind all of them.
#[derive(Clone, Debug)]
pub struct Stores {
    /// Registrations made at run time.
    pub clients: Arc<dyn ClientStore>,
    /// Signing keys.
    pub keys: Arc<dyn KeyStore>,
    /// Revocations.
    pub revocations: Arc<dyn RevocationStore>,
    /// What may be used once.
    pub replays: Arc<dyn ReplayStore>,
    /// What changed.
    pub changes: Arc<dyn ChangeFeed>,
}
