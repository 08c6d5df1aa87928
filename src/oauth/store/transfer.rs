//! Moving everything from one store into another, but for what was used once ([`super::replay`]): it ends within minutes,
//! and an archive is older than that. Nobody may be served from the old store when the new one is.

use std::fmt;

use super::{ClientRecord, KeyRecord, Revocation, StoreError};

/// What a store must be able to do to be filled from an archive.
#[async_trait::async_trait]
pub trait TransferStore: fmt::Debug + Send + Sync {
    /// Adds clients exactly as they are. A record that is there already is fine, so that an import that broke off can be
    /// repeated; a different one with the same identifier is a [`StoreError::Conflict`], and nothing was written.
    async fn import_clients(&self, clients: &[ClientRecord]) -> Result<(), StoreError>;

    /// Adds the rest exactly as it is, all or nothing, and begins a new incarnation, so that whoever follows the store reads
    /// it anew. Keys and values that are there already are a [`StoreError::Conflict`]: this is the last step of an import.
    async fn finish_import(
        &self,
        keys: &[KeyRecord],
        values: &[(String, Vec<u8>)],
        revocations: &[Revocation],
    ) -> Result<(), StoreError>;
}
