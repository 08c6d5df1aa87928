//! The store (layer 3): every trait of [`crate::oauth::store`] on SQLite and PostgreSQL.
//!
//! - [`location`]: which database
//! - `value`: statements, transactions and rows, the same for both
//! - `sqlite`, `postgres` (with `tls` and `hint`): how each runs them
//! - `migrations`: the tables, and their versions
//! - `clients`, `keys`, `revocations`, `replay`, `changes`: one trait each; the SQL exists once
//! - `transfer`: backup and import
//!
//! A write is a list of steps that both databases run as one transaction. The first step of whatever others must learn of
//! takes the next sequence from the one row of `feed`; its lock orders the writers, so that sequences become visible in
//! their order.

mod changes;
mod clients;
mod hint;
mod keys;
pub mod location;
mod migrations;
mod postgres;
mod replay;
mod revocations;
mod sqlite;
#[cfg(test)]
mod tests;
mod tls;
mod transfer;
mod value;

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::OnceCell;

use self::{
    location::Place,
    value::{Kind, Outcome, Row, Statement, Step},
};
pub use self::{
    location::{InvalidLocation, Location},
    migrations::{LATEST, Schema},
    transfer::BackupError,
};
use crate::{
    oauth::store::{StoreError, Stores},
    random::{Random, SystemRandom},
};

/// The store cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The place is wrong, or what is there is no database of ours.
    #[error("{0}")]
    Unusable(String),
    /// The database cannot be reached; it may be later.
    #[error("the database cannot be used now: {0}")]
    Unavailable(String),
    /// A newer version of this program has been here.
    #[error(
        "the database has schema version {found} and this version of mintage knows {known}; use a mintage that is at least as new as the one that migrated it"
    )]
    Newer {
        /// Its version.
        found: u64,
        /// Ours.
        known: u64,
    },
}

/// How a store is used.
#[derive(Clone, Debug)]
pub struct Options {
    /// The CA certificates of PostgreSQL; `None`: those the system trusts.
    pub ca_file: Option<PathBuf>,
    /// Whether PostgreSQL is asked to tell others at once (NOTIFY) and to tell us (LISTEN). CockroachDB has neither.
    pub notify: bool,
    /// Names new histories of the change feed.
    pub random: Arc<dyn Random>,
}

impl Default for Options {
    fn default() -> Self {
        Self { ca_file: None, notify: true, random: Arc::new(SystemRandom) }
    }
}

/// A store: all traits of [`crate::oauth::store`], over one database.
pub struct Store {
    location: Location,
    database: Arc<Database>,
    random: Arc<dyn Random>,
    /// Rung by what this process writes, and by the listener.
    hint: hint::Hint,
    statements: Arc<AtomicU64>,
    claims: replay::Claims,
    /// Set once the tables are there.
    migrated: OnceCell<()>,
    feed: changes::FeedCache,
}

#[derive(Debug)]
enum Database {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

impl Store {
    /// Opens a store and brings its tables up to date.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(location: &Location, options: Options) -> Result<Arc<Self>, OpenError> {
        let store = Self::connect(location, options).await?;
        store.migrate().await?;
        Ok(store)
    }

    /// Checks what [`Store::connect`] needs beside the database: the certificates that PostgreSQL's is verified with.
    ///
    /// # Errors
    /// [`OpenError::Unusable`].
    pub fn check(location: &Location, options: &Options) -> Result<(), OpenError> {
        match &location.0 {
            Place::Postgres(config) => postgres::Postgres::tls(config, options).map(drop),
            Place::Memory | Place::File(_) => Ok(()),
        }
    }

    /// Opens a store without asking PostgreSQL for anything: a server may start while its database is away. The tables are
    /// brought up to date before the first use.
    ///
    /// # Errors
    /// [`OpenError::Unusable`].
    pub async fn connect(location: &Location, options: Options) -> Result<Arc<Self>, OpenError> {
        let hint = hint::Hint::default();
        let database = match &location.0 {
            Place::Memory => Database::Sqlite(sqlite::Sqlite::in_memory()?),
            Place::File(path) => {
                let path = path.clone();
                let opened = tokio::task::spawn_blocking(move || sqlite::Sqlite::open(&path)).await;
                Database::Sqlite(opened.map_err(|error| OpenError::Unusable(error.to_string()))??)
            }
            Place::Postgres(config) => Database::Postgres(postgres::Postgres::new(config, &options, &hint)?),
        };
        let (database, statements) = (Arc::new(database), Arc::<AtomicU64>::default());
        Ok(Arc::new(Self {
            location: location.clone(),
            claims: replay::Claims::serve(Arc::clone(&database), Arc::clone(&statements)),
            database,
            random: options.random,
            hint,
            statements,
            migrated: OnceCell::new(),
            feed: changes::FeedCache::default(),
        }))
    }

    /// Where it is.
    pub const fn location(&self) -> &Location {
        &self.location
    }

    /// As the traits the core knows.
    pub fn stores(self: &Arc<Self>) -> Stores {
        Stores {
            clients: self.clone(),
            keys: self.clone(),
            revocations: self.clone(),
            replays: self.clone(),
            changes: self.clone(),
        }
    }

    /// How many statements were sent to the database.
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    fn count(&self, statements: usize) {
        self.statements.fetch_add(statements as u64, Ordering::Relaxed);
    }

    /// Reads rows.
    async fn read(
        &self,
        sql: impl Into<std::borrow::Cow<'static, str>>,
        values: Vec<value::Value>,
    ) -> Result<Vec<Row>, StoreError> {
        self.ready().await?;
        self.count(1);
        let statement = Statement::new(sql, values);
        match &*self.database {
            Database::Sqlite(sqlite) => sqlite.read(statement).await,
            Database::Postgres(postgres) => postgres.read(&statement).await,
        }
    }

    /// Reads rows of several kinds as they are at one instant.
    async fn snapshot(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError> {
        self.ready().await?;
        self.count(statements.len());
        match &*self.database {
            Database::Sqlite(sqlite) => sqlite.snapshot(statements).await,
            Database::Postgres(postgres) => postgres.snapshot(&statements).await,
        }
    }

    /// Takes all the steps or none, and tells others.
    async fn write(&self, steps: Vec<Step>) -> Result<Outcome, StoreError> {
        self.transaction(steps, Kind::Change).await
    }

    /// The same for what others need not learn.
    async fn write_quietly(&self, steps: Vec<Step>) -> Result<Outcome, StoreError> {
        self.transaction(steps, Kind::Quiet).await
    }

    async fn transaction(&self, steps: Vec<Step>, kind: Kind) -> Result<Outcome, StoreError> {
        self.ready().await?;
        self.count(steps.len());
        let outcome = match &*self.database {
            Database::Sqlite(sqlite) => sqlite.write(steps, kind).await,
            Database::Postgres(postgres) => postgres.write(&steps, kind).await,
        }?;
        if matches!(outcome, Outcome::Done(_)) && kind == Kind::Change {
            self.hint.notify_one();
        }
        Ok(outcome)
    }

    /// The tables are there.
    async fn ready(&self) -> Result<(), StoreError> {
        self.migrate().await.map_err(|error| match error {
            OpenError::Unavailable(text) => StoreError::Unavailable(text),
            OpenError::Unusable(text) => StoreError::Corrupt(text),
            error @ OpenError::Newer { .. } => StoreError::Corrupt(error.to_string()),
        })
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("location", &self.location).finish_non_exhaustive()
    }
}
