//! Backup of an SQLite database, and import of records that come from another store.

use std::path::Path;

use super::{
    Database, Store, clients, keys,
    migrations::new_incarnation,
    revocations,
    sqlite::{create_for_copy, finish_copy},
    value::{Kind, Outcome, ROWS, Step, rows},
};
use crate::oauth::store::{ClientRecord, KeyRecord, Revocation, StoreError, TransferStore};

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

impl Store {
    /// Copies an SQLite database, while it is in use, to a file that does not exist yet. The copy names its history anew,
    /// so that whoever followed the original reads everything again once the copy takes its place.
    ///
    /// # Errors
    /// [`BackupError`].
    pub async fn backup(&self, path: &Path) -> Result<(), BackupError> {
        let Database::Sqlite(sqlite) = &*self.database else { return Err(BackupError::NotSqlite) };
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
        let result = match sqlite.copy(text).await {
            Ok(()) => finish_copy(path, &incarnation).map_err(in_words),
            Err(error) => Err(error.into()),
        };
        if result.is_err() {
            // Half a backup is worse than none. It is the file that was created above.
            let _ = std::fs::remove_file(path);
        }
        result
    }
}

#[async_trait::async_trait]
impl TransferStore for Store {
    async fn import_clients(&self, clients: &[ClientRecord]) -> Result<(), StoreError> {
        let steps: Vec<_> = clients.chunks(ROWS).map(add_or_find).collect();
        if steps.is_empty() {
            return Ok(());
        }
        match self.transaction(steps, Kind::Import).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Undone(_) => Err(StoreError::Conflict),
        }
    }

    async fn finish_import(
        &self,
        keys: &[KeyRecord],
        values: &[(String, Vec<u8>)],
        revocations: &[Revocation],
    ) -> Result<(), StoreError> {
        let incarnation = new_incarnation(&*self.random)?;
        let latest = revocations.iter().map(|revocation| revocation.sequence).max().unwrap_or(0);
        let mut steps = vec![
            Step::must(NEW_HISTORY, vec![incarnation.as_str().into(), latest.into()]),
            Step::new(FORGET, Vec::new()),
        ];
        steps.extend(keys.iter().map(|key| Step::must(keys::INSERT, keys::values(key))));
        steps.extend(values.iter().map(|(name, sealed)| {
            Step::must(keys::INSERT_VALUE, vec![name.as_str().into(), sealed.as_slice().into()])
        }));
        steps.extend(revocations.chunks(ROWS).map(revocations::restore));
        match self.transaction(steps, Kind::Import).await? {
            Outcome::Done(_) => {
                self.hint.notify_one();
                Ok(())
            }
            Outcome::Undone(_) => Err(StoreError::Conflict),
        }
    }
}

/// Adds clients. One that is there already counts only when it is the same.
fn add_or_find(clients: &[ClientRecord]) -> Step {
    let sql = format!(
        "{} {} ON CONFLICT (client_id) DO UPDATE SET client_id = excluded.client_id \
         WHERE clients.enabled = excluded.enabled AND clients.document = excluded.document \
         AND clients.revision = excluded.revision AND clients.created_at = excluded.created_at \
         AND clients.updated_at = excluded.updated_at",
        clients::INSERT_ROWS,
        rows(clients.len(), clients::WIDTH)
    );
    let values = clients.iter().flat_map(|client| clients::values(client, None)).collect();
    Step { at_least: clients.len() as u64, ..Step::new(sql, values) }
}
