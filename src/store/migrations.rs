//! The tables and their versions. A migration, once released, is never edited: the next one changes what it made.
//!
//! Several processes may start at once. Each migration is a transaction that begins by adding its row to `schema_version`:
//! whoever comes second waits there, and is refused when the first has done it. Every SQL database has that lock.

use rusqlite::TransactionBehavior;

use super::{
    Database, OpenError, Store,
    postgres::Postgres,
    value::{Statement, single_integer},
};
use crate::{
    oauth::store::StoreError,
    random::{self, Random},
};

struct Migration {
    version: u64,
    sqlite: &'static str,
    postgres: &'static str,
}

const MIGRATIONS: [Migration; 2] = [
    Migration {
        version: 1,
        sqlite: include_str!("migrations/sqlite/0001_initial.sql"),
        postgres: include_str!("migrations/postgres/0001_initial.sql"),
    },
    Migration {
        version: 2,
        sqlite: include_str!("migrations/sqlite/0002_replays.sql"),
        postgres: include_str!("migrations/postgres/0002_replays.sql"),
    },
];

/// The version of the schema that this program has.
pub const LATEST: u64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// The version of the schema of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// 0 when it is empty.
    pub version: u64,
}

impl Schema {
    /// Whether nothing is left to do.
    pub const fn is_current(self) -> bool {
        self.version == LATEST
    }
}

const CREATE_VERSION: &str =
    "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL PRIMARY KEY)";
const VERSION: &str = "SELECT COALESCE(MAX(version), 0) FROM schema_version";

impl Store {
    /// Brings the tables up to date; does nothing when they are.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Newer`] when a newer version of this program has been here.
    pub async fn migrate(&self) -> Result<(), OpenError> {
        self.migrated.get_or_try_init(|| self.apply()).await.copied()
    }

    /// The version of the tables, without changing anything.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn schema(&self) -> Result<Schema, OpenError> {
        let exists = match &*self.database {
            Database::Sqlite(_) => {
                "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'"
            }
            Database::Postgres(_) => {
                "SELECT COUNT(*) FROM information_schema.tables \
                 WHERE table_schema = current_schema() AND table_name = 'schema_version'"
            }
        };
        let version = if self.number(exists).await? == 0 { 0 } else { self.number(VERSION).await? };
        if version > LATEST {
            return Err(OpenError::Newer { found: version, known: LATEST });
        }
        Ok(Schema { version })
    }

    async fn number(&self, sql: &'static str) -> Result<u64, OpenError> {
        let statement = Statement::new(sql, Vec::new());
        let rows = match &*self.database {
            Database::Sqlite(sqlite) => sqlite.read(statement).await,
            Database::Postgres(postgres) => postgres.read(&statement).await,
        };
        rows.and_then(|rows| single_integer(&rows)).map_err(open_error)
    }

    async fn apply(&self) -> Result<(), OpenError> {
        let schema = self.schema().await?;
        if schema.is_current() {
            return Ok(());
        }
        let incarnation = new_incarnation(&*self.random).map_err(open_error)?;
        match &*self.database {
            Database::Sqlite(sqlite) => sqlite
                .with_writer(move |connection| {
                    // The whole database is the lock.
                    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                    transaction.execute_batch(CREATE_VERSION)?;
                    let version: i64 = transaction.query_row(VERSION, [], |row| row.get(0))?;
                    for migration in pending(version.unsigned_abs()) {
                        transaction.execute_batch(&script(migration, migration.sqlite, &incarnation))?;
                    }
                    transaction.commit()
                })
                .await
                .map_err(open_error),
            Database::Postgres(postgres) => self.apply_to(postgres, schema, &incarnation).await,
        }
    }

    async fn apply_to(
        &self,
        postgres: &Postgres,
        mut schema: Schema,
        incarnation: &str,
    ) -> Result<(), OpenError> {
        let mut attempt = 0;
        // "IF NOT EXISTS" does not keep two creators at once from an error.
        while let Err(error) = postgres.script(CREATE_VERSION).await {
            attempt += 1;
            if attempt == 5 || matches!(error, StoreError::Unavailable(_)) {
                return Err(open_error(error));
            }
        }
        while let Some(migration) = pending(schema.version).next() {
            let result = postgres.script(&script(migration, migration.postgres, incarnation)).await;
            schema = self.schema().await?;
            match result {
                // Whatever happened to us, somebody else has done it.
                _ if schema.version >= migration.version => {}
                Err(error) => return Err(open_error(error)),
                Ok(()) => return Err(open_error(StoreError::Conflict)),
            }
        }
        Ok(())
    }
}

/// A migration as one text. The first row of the feed belongs to the first one.
fn script(migration: &Migration, sql: &str, incarnation: &str) -> String {
    let feed = if migration.version == 1 {
        format!(
            "INSERT INTO feed (id, incarnation, sequence, known_after) VALUES (1, '{incarnation}', 0, 0);"
        )
    } else {
        String::new()
    };
    format!("INSERT INTO schema_version (version) VALUES ({}); {sql} {feed}", migration.version)
}

fn pending(version: u64) -> impl Iterator<Item = &'static Migration> {
    MIGRATIONS.iter().filter(move |migration| migration.version > version)
}

/// A name for a history of sequences: letters and digits.
pub(super) fn new_incarnation(random: &dyn Random) -> Result<String, StoreError> {
    let bytes = random::bytes::<16>(random).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn open_error(error: StoreError) -> OpenError {
    match error {
        StoreError::Unavailable(text) => OpenError::Unavailable(text),
        StoreError::Corrupt(text) => OpenError::Unusable(text),
        StoreError::Conflict | StoreError::NotFound => OpenError::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_follow_each_other() {
        for (at, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version, at as u64 + 1);
        }
    }
}
