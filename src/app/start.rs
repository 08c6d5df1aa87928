//! What a server knows when it starts: everything in its store or, while that is away, its snapshot (F-6).

use std::{path::Path, sync::Arc, time::Duration};

use super::{
    Core, StartError,
    snapshot::Snapshot,
    stores::{self, OpenedStore},
};
use crate::{
    admin::SigningKeyAdmin,
    config::Config,
    jose::SigningAlgorithm,
    oauth::{Replica, store::StoreError},
    random::SystemRandom,
    secret::Secret,
    store::OpenError,
};

/// How long a start waits for its database before the snapshot stands in. F-6 wants the whole start within 2 s.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How long it waits when there is nothing else to start from.
const LONG_PATIENCE: Duration = Duration::from_secs(10);

/// Where the server's knowledge comes from.
pub(super) struct Start {
    pub(super) secret_hash_key: Secret<[u8; 32]>,
    snapshot: Option<Snapshot>,
}

impl Start {
    /// Asks the store, and the snapshot file when the store does not answer.
    pub(super) async fn from_store_or_snapshot(
        config: &Config,
        opened: &OpenedStore,
    ) -> Result<Self, StartError> {
        let file = config.store.snapshot_file.as_deref();
        let from_store = async {
            opened.store.migrate().await?;
            stores::secret_hash_key(&*opened.stores.keys, &opened.master).await
        };
        let patience = if file.is_some_and(Path::exists) { PATIENCE } else { LONG_PATIENCE };
        let reason = match tokio::time::timeout(patience, from_store).await {
            Ok(Ok(secret_hash_key)) => return Ok(Self { secret_hash_key, snapshot: None }),
            Ok(Err(
                error @ (StartError::Store(OpenError::Unavailable(_))
                | StartError::StoreFailed(StoreError::Unavailable(_))),
            )) => error,
            Ok(Err(error)) => return Err(error),
            Err(_) => StartError::StoreFailed(StoreError::Unavailable("it does not answer".to_owned())),
        };
        let Some(file) = file else { return Err(explain(reason)) };
        Self::from_snapshot(file, opened, &reason)
    }

    fn from_snapshot(file: &Path, opened: &OpenedStore, reason: &StartError) -> Result<Self, StartError> {
        let refused = |problem: &str| {
            StartError::Snapshot(format!(
                "{reason}; the snapshot {} cannot stand in: it {problem}",
                file.display()
            ))
        };
        let snapshot = Snapshot::load(file, &opened.master)
            .map_err(|problem| refused(&problem))?
            .ok_or_else(|| refused("does not exist yet; a server that reaches the store writes it"))?;
        let sealed = snapshot.value(stores::SECRET_HASH_KEY).ok_or_else(|| refused("is not complete"))?;
        let secret_hash_key = stores::open_secret_hash_key(&opened.master, &sealed)?;
        tracing::warn!(
            %reason,
            saved_at = snapshot.saved_at.seconds(),
            clients = snapshot.clients.len(),
            "the store cannot be reached: this replica starts from its snapshot and serves the clients in it"
        );
        Ok(Self { secret_hash_key, snapshot: Some(snapshot) })
    }

    /// Fills the memory of the server.
    pub(super) async fn fill(
        self,
        replica: &Replica,
        keys: &SigningKeyAdmin,
        algorithms: &[SigningAlgorithm],
    ) -> Result<(), StartError> {
        if let Some(snapshot) = self.snapshot {
            replica.restore(snapshot.state, snapshot.saved_at).await;
            replica.directory.warm(&snapshot.clients);
            return Ok(());
        }
        keys.ensure(algorithms).await?;
        replica.load().await?;
        Ok(())
    }
}

/// A database that is away is no mistake in its address, but often enough it is one.
fn explain(reason: StartError) -> StartError {
    match reason {
        StartError::Store(OpenError::Unavailable(text)) => {
            StartError::StoreFailed(StoreError::Unavailable(text))
        }
        other => other,
    }
}

impl Core {
    /// Reads the clients again that were in use before this start, so that an outage soon after it finds them in memory and
    /// in the snapshot. Whatever fails leaves them to be read when they are asked for.
    pub(super) async fn recall_clients(&self, file: &Path) {
        let (file, master) = (file.to_owned(), Arc::clone(&self.store.master));
        let Ok(Ok(Some(snapshot))) = super::blocking(move || Snapshot::load(&file, &master)).await else {
            return;
        };
        for client in &snapshot.clients {
            if self.replica.freshness.is_failing() {
                return;
            }
            let _ = self.clients.find(client.client_id.as_str()).await;
        }
    }

    /// Writes down what a later start could begin with.
    ///
    /// # Errors
    /// A sentence; the old file is then as it was.
    pub(super) async fn save_snapshot(&self, file: &Path) -> Result<(), String> {
        let snapshot = self.snapshot().await.map_err(|error| error.to_string())?;
        let (file, master) = (file.to_owned(), Arc::clone(&self.store.master));
        super::blocking(move || snapshot.save(&file, &master, &SystemRandom))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|problem| format!("the snapshot {problem}"))
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let stores = &self.store.stores;
        let saved_at = self.clock.now();
        let state = stores.changes.state(saved_at).await?;
        let values = stores.keys.sealed_values().await?;
        let mut clients = Vec::new();
        for client in self.clients.cached() {
            clients.extend(stores.clients.get(&client.client_id).await?);
        }
        Ok(Snapshot::new(saved_at, state, values, clients))
    }
}
