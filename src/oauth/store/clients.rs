//! Clients that were registered at run time (RFC 7591), one record each.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Sequence, StoreError};
use crate::{clock::Timestamp, oauth::client::ClientId};

/// A client as it is kept. What `document` says is the business of [`crate::oauth::client::document`]; the other members
/// are what a store searches by.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRecord {
    /// `client_id`, the key.
    #[serde(with = "super::text")]
    pub client_id: ClientId,
    /// `enabled`
    pub enabled: bool,
    /// The registration and the hashes of the secrets, as JSON.
    pub document: String,
    /// 1 for a new record; each update adds 1.
    pub revision: u64,
    /// When it was registered, in whole seconds.
    pub created_at: Timestamp,
    /// When it was last changed, in whole seconds.
    pub updated_at: Timestamp,
}

impl fmt::Debug for ClientRecord {
    /// Without the document, which holds hashes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientRecord")
            .field("client_id", &self.client_id)
            .field("enabled", &self.enabled)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// What a list is ordered by; the identifier decides between equals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientOrder {
    /// `client_id`, byte by byte.
    #[default]
    ClientId,
    /// `created_at`
    CreatedAt,
}

/// Which clients, in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientQuery {
    /// Only identifiers that begin with this.
    pub client_id_prefix: Option<String>,
    /// Only enabled or only disabled ones.
    pub enabled: Option<bool>,
    /// The order.
    pub order: ClientOrder,
    /// From the last to the first.
    pub descending: bool,
    /// Only those behind this one in the order.
    pub after: Option<(ClientId, Timestamp)>,
    /// At most so many.
    pub limit: u32,
}

/// A secret was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// Whose.
    pub client_id: ClientId,
    /// Which.
    pub secret_id: String,
    /// When, in whole seconds.
    pub used_at: Timestamp,
}

/// Keeps clients.
#[async_trait::async_trait]
pub trait ClientStore: fmt::Debug + Send + Sync {
    /// The client with this identifier.
    async fn get(&self, client_id: &ClientId) -> Result<Option<ClientRecord>, StoreError>;

    /// Some clients.
    async fn list(&self, query: &ClientQuery) -> Result<Vec<ClientRecord>, StoreError>;

    /// Adds a client. A `request_id` makes it repeatable: [`StoreError::Conflict`] says that it, or the identifier, is
    /// taken, and [`ClientStore::created_by`] by whom.
    async fn create(&self, client: &ClientRecord, request_id: Option<&str>) -> Result<Sequence, StoreError>;

    /// The identifier of the client that a request created.
    async fn created_by(&self, request_id: &str) -> Result<Option<ClientId>, StoreError>;

    /// Replaces a client whose record has revision `client.revision - 1`; any other is a [`StoreError::Conflict`].
    async fn update(&self, client: &ClientRecord) -> Result<Sequence, StoreError>;

    /// Removes a client, with `revision` only if it is at that revision.
    async fn delete(&self, client_id: &ClientId, revision: Option<u64>) -> Result<Sequence, StoreError>;

    /// Notes when secrets were last used. Not part of the change feed; an earlier use never replaces a later one.
    async fn record_uses(&self, uses: &[SecretUse]) -> Result<(), StoreError>;

    /// When the secrets of a client were last used.
    async fn uses(&self, client_id: &ClientId) -> Result<Vec<SecretUse>, StoreError>;
}
