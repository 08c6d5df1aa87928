//! The clients that are known now. They are replaced as a whole, so a request sees one registration or the other.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::{Client, ClientId};

/// Looks clients up by identifier.
#[derive(Debug, Default)]
pub struct ClientDirectory(RwLock<Arc<HashMap<ClientId, Arc<Client>>>>);

impl ClientDirectory {
    /// A directory of these clients. Of two with one identifier the later wins; the configuration refuses such a pair.
    pub fn new(clients: Vec<Client>) -> Self {
        let directory = Self::default();
        directory.replace(clients);
        directory
    }

    /// Replaces all clients at once.
    pub fn replace(&self, clients: Vec<Client>) {
        let clients =
            clients.into_iter().map(|client| (client.client_id.clone(), Arc::new(client))).collect();
        // A poisoned lock still guards a whole map: it is only ever swapped.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(clients);
    }

    /// The client with this identifier.
    pub fn find(&self, client_id: &str) -> Option<Arc<Client>> {
        self.snapshot().get(client_id).cloned()
    }

    /// All clients as they are now.
    pub fn snapshot(&self) -> Arc<HashMap<ClientId, Arc<Client>>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
