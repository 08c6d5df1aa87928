//! Backup of an SQLite database, and import of records that come from another store.

use std::path::Path;

use super::{
    Database, Store, clients, keys,
    migrations::new_incarnation,
    revocations,
    sqlite::{copy, create_for_copy, finish_copy},
    value::{Kind, Outcome, Step},
};
use crate::oauth::store::{ClientRecord, ClientStore, KeyRecord, Revocation, StoreError, TransferStore};

/// Another history begins: whoever followed the old one reads everything again.
const NEW_HISTORY: &str = "UPDATE feed SET incarnation = $1, \
    sequence = CASE WHEN sequence < $2 THEN $2 ELSE sequence END + 1, \
    known_after = CASE WHEN sequence < $2 THEN $2 ELSE sequence END + 1 WHERE id = 1";
const FORGET: &str = "DELETE FROM changes";

/// A backup was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// Only SQLite is backed up by this program.
    #[error("only an SQLite database is backed up this way; use pg_dump for PostgreSQL")]
    NotSqlite,
    /// The file cannot be made, or is there already.
    #[error("{0}")]
    File(String),
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What [`Store::import`] adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// Clients.
    pub clients: Vec<ClientRecord>,
    /// Signing keys.
    pub keys: Vec<KeyRecord>,
    /// Sealed values with their names.
    pub values: Vec<(String, Vec<u8>)>,
    /// Revocations.
    pub revocations: Vec<Revocation>,
}

impl Store {
    /// Copies an SQLite database, while it is in use, to a file that does not exist yet. The copy names its history anew,
    /// so that whoever followed the original reads everything again once the copy takes its place.
    ///
    /// # Errors
    /// [`BackupError`].
    pub async fn backup(&self, path: &Path) -> Result<(), BackupError> {
        let Database::Sqlite(sqlite) = &self.database else { return Err(BackupError::NotSqlite) };
        self.ready().await?;
        let in_words = |error: String| BackupError::File(format!("{}: {error}", path.display()));
        let text = path.to_str().ok_or_else(|| in_words("the path must be UTF-8".to_owned()))?.to_owned();
        let incarnation = new_incarnation(&*self.random)?;
        create_for_copy(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                in_words("exists already; a backup never replaces a file".to_owned())
            }
            _ => in_words(format!("cannot be created ({error})")),
        })?;
        let result = match sqlite.with_reader(move |connection| copy(connection, &text)).await {
            Ok(()) => finish_copy(path, &incarnation).map_err(in_words),
            Err(error) => Err(error.into()),
        };
        if result.is_err() {
            // Half a backup is worse than none. It is the file that was created above.
            let _ = std::fs::remove_file(path);
        }
        result
    }

    /// Adds records exactly as they are, all or none; a record that exists already is a [`StoreError::Conflict`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn import(&self, import: &Import) -> Result<(), StoreError> {
        let incarnation = new_incarnation(&*self.random)?;
        let latest = import.revocations.iter().map(|revocation| revocation.sequence).max().unwrap_or(0);
        let mut steps = vec![
            Step::must(NEW_HISTORY, vec![incarnation.as_str().into(), latest.into()]),
            Step::new(FORGET, Vec::new()),
        ];
        steps.extend(
            import.clients.iter().map(|client| Step::must(clients::INSERT, clients::values(client, None))),
        );
        steps.extend(import.keys.iter().map(|key| Step::must(keys::INSERT, keys::values(key))));
        steps.extend(import.values.iter().map(|(name, sealed)| {
            Step::must(keys::INSERT_VALUE, vec![name.as_str().into(), sealed.as_slice().into()])
        }));
        steps.extend(import.revocations.iter().map(revocations::restore));
        match self.transaction(steps, Kind::Import).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Undone(_) => Err(StoreError::Conflict),
        }
    }
}

#[async_trait::async_trait]
impl TransferStore for Store {
    async fn import_clients(&self, clients: &[ClientRecord]) -> Result<(), StoreError> {
        let import = |clients: &[ClientRecord]| Import { clients: clients.to_vec(), ..Import::default() };
        match self.import(&import(clients)).await {
            Err(StoreError::Conflict) => {}
            result => return result,
        }
        // An earlier attempt got somewhere.
        let mut missing = Vec::new();
        for client in clients {
            match self.get(&client.client_id).await? {
                None => missing.push(client.clone()),
                Some(kept) if kept == *client => {}
                Some(_) => return Err(StoreError::Conflict),
            }
        }
        self.import(&import(&missing)).await
    }

    async fn finish_import(
        &self,
        keys: &[KeyRecord],
        values: &[(String, Vec<u8>)],
        revocations: &[Revocation],
    ) -> Result<(), StoreError> {
        let (keys, values, revocations) = (keys.to_vec(), values.to_vec(), revocations.to_vec());
        self.import(&Import { keys, values, revocations, ..Import::default() }).await
    }
}
