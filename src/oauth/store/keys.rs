//! Signing keys, sealed, with the instants that decide what each is used for.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{NewRevocation, Sequence, StoreError};
use crate::{clock::Timestamp, jose::SigningAlgorithm};

/// A signing key as it is kept. Instants are whole seconds.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The RFC 7638 thumbprint, the key of the record.
    pub kid: String,
    /// What it signs with.
    #[serde(with = "super::text")]
    pub alg: SigningAlgorithm,
    /// 1 for the first key of an algorithm, and one more for each that follows; no two keys of one algorithm share it.
    pub generation: u64,
    /// The private key in PKCS#8, sealed under the master key; empty once it is destroyed.
    #[serde(with = "super::base64")]
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it is in the key set; `None` while it is only prepared.
    pub publish_at: Option<Timestamp>,
    /// From when it signs, until a later key of its algorithm does.
    pub activate_at: Option<Timestamp>,
    /// When it was retired by hand, or destroyed as compromised.
    pub retired_at: Option<Timestamp>,
    /// When it stopped being trusted: nothing it signed is accepted any more.
    pub revoked_at: Option<Timestamp>,
    /// When its private half was destroyed.
    pub destroyed_at: Option<Timestamp>,
    /// 1 for a new record; each update adds 1.
    pub revision: u64,
}

impl fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRecord")
            .field("kid", &self.kid)
            .field("alg", &self.alg)
            .field("generation", &self.generation)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// One step of a change to the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyWrite {
    /// A new key. [`StoreError::Conflict`] when its `kid`, or its generation of its algorithm, is taken.
    Add(KeyRecord),
    /// Replaces a key whose record has revision `record.revision - 1`; any other is a [`StoreError::Conflict`].
    Update(KeyRecord),
    /// Forgets a key that was destroyed.
    Remove {
        /// Which.
        kid: String,
    },
}

/// Keeps signing keys, and small values that are sealed as they are.
#[async_trait::async_trait]
pub trait KeyStore: fmt::Debug + Send + Sync {
    /// Every key, ordered by algorithm and generation.
    async fn list(&self) -> Result<Vec<KeyRecord>, StoreError>;

    /// Makes all the changes or none, together with the revocations that belong to them.
    async fn write(&self, keys: &[KeyWrite], revocations: &[NewRevocation]) -> Result<Sequence, StoreError>;

    /// A sealed value, by name.
    async fn sealed_value(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps a sealed value unless there is one by this name, and returns the one that is kept: of several replicas that
    /// start at once all end with the same.
    async fn keep_sealed_value(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, StoreError>;

    /// Every sealed value with its name.
    async fn sealed_values(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Replaces what is sealed, all or nothing: keys by `kid` (their revisions stay), values by name. For a new master key.
    async fn reseal(
        &self,
        keys: &[(String, Vec<u8>)],
        values: &[(String, Vec<u8>)],
    ) -> Result<Sequence, StoreError>;
}
