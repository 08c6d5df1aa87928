//! The store contract (`mintage::oauth::store`): each case is written once and runs on every database.

mod changes;
mod clients;
mod faults;
mod hostile;
mod keys;
mod migrate;
mod migrations;
mod replay;
mod revocations;
mod tls;
mod transfer;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use mintage::{
    clock::Timestamp,
    oauth::{
        client::ClientId,
        store::{ClientRecord, NewRevocation, Revoked, StoreError},
    },
    store::{Location, Options, Store},
};
use tempfile::TempDir;

use crate::support::{
    patience::{PATIENCE, eventually},
    postgres::Postgres,
};

/// A database that nobody has used yet.
pub(crate) struct Database {
    url: String,
    /// PostgreSQL's name of it.
    name: String,
    directory: Option<TempDir>,
}

impl Database {
    fn memory() -> Self {
        Self { url: "sqlite::memory:".to_owned(), name: String::new(), directory: None }
    }

    pub(crate) fn file() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/m.db", directory.path().display());
        Self { url, name: String::new(), directory: Some(directory) }
    }

    pub(crate) fn postgres() -> Self {
        let name = Postgres::new_name();
        Self { url: Postgres::shared().url(&name), name, directory: None }
    }

    fn path(&self) -> PathBuf {
        self.directory.as_ref().unwrap().path().join("m.db")
    }

    fn location(&self) -> Location {
        Location::parse(&self.url).unwrap()
    }

    pub(crate) async fn open(&self) -> Arc<Store> {
        Store::open(&self.location(), Options::default()).await.unwrap()
    }

    /// Does something to a database that others can reach, behind the back of the store.
    fn sql(&self, sql: &str) {
        if self.directory.is_some() {
            rusqlite::Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
        } else {
            Postgres::shared().sql(&self.name, sql);
        }
    }
}

/// Runs a case on every database.
async fn on_each(case: impl AsyncFn(Database)) {
    for database in [Database::memory(), Database::file(), Database::postgres()] {
        println!("on {}", database.location());
        case(database).await;
    }
}

/// Runs a case on every database that more than one process can open.
pub(crate) async fn on_each_shared(case: impl AsyncFn(Database)) {
    for database in [Database::file(), Database::postgres()] {
        println!("on {}", database.location());
        case(database).await;
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn id(text: &str) -> ClientId {
    ClientId::parse(text).unwrap()
}

fn client(client_id: &str) -> ClientRecord {
    ClientRecord {
        client_id: id(client_id),
        enabled: true,
        document: format!("{{\"of\":{client_id:?}}}"),
        revision: 1,
        created_at: at(1000),
        updated_at: at(1000),
    }
}

pub(crate) fn token(token_id: &str, expires_at: u64) -> NewRevocation {
    NewRevocation {
        revoked: Revoked::Token { token_id: token_id.to_owned() },
        revoked_at: at(100),
        expires_at: at(expires_at),
    }
}

fn is_unavailable<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}
