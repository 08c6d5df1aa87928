//! What can only be done to a store from within.

use super::*;
use crate::{
    clock::Timestamp,
    oauth::{
        client::ClientId,
        store::{ChangeFeed, Changes, ClientRecord, ClientStore},
    },
};

fn client(number: u32) -> ClientRecord {
    ClientRecord {
        client_id: ClientId::parse(&number.to_string()).unwrap(),
        enabled: true,
        document: "x".repeat(3000),
        revision: 1,
        created_at: Timestamp::from_seconds(1),
        updated_at: Timestamp::from_seconds(1),
    }
}

async fn pragma(store: &Store, sql: &'static str) -> String {
    let Database::Sqlite(sqlite) = &*store.database else { panic!("no SQLite") };
    let answer = sqlite.with_writer(move |connection| {
        connection.query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0))
    });
    format!("{:?}", answer.await.unwrap())
}

// F-7: a limit of pages stands for a disk that is full.
#[tokio::test]
async fn a_full_disk_refuses_writes_and_harms_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.db");
    let location = Location::parse(&format!("sqlite://{}", path.display())).unwrap();
    let store = Store::open(&location, Options::default()).await.unwrap();
    ClientStore::create(&*store, &client(0), None).await.unwrap();
    pragma(&store, "PRAGMA max_page_count = 60").await;

    let mut written = 1;
    let refused = loop {
        match ClientStore::create(&*store, &client(written), None).await {
            Ok(sequence) => {
                written += 1;
                assert_eq!(sequence, u64::from(written));
            }
            Err(error) => break error,
        }
        assert!(written < 1000);
    };
    assert!(matches!(&refused, StoreError::Unavailable(text) if text.contains("full")), "{refused}");
    for _ in 0..10 {
        let again = ClientStore::create(&*store, &client(written), None).await;
        assert!(matches!(again, Err(StoreError::Unavailable(_))), "{again:?}");
    }
    // Everything that was acknowledged is there, and nothing else.
    let state = store.state(Timestamp::from_seconds(0)).await.unwrap();
    assert_eq!(state.sequence, u64::from(written));
    for number in 0..=written {
        let found = ClientStore::get(&*store, &client(number).client_id).await.unwrap();
        assert_eq!(found.is_some(), number < written, "{number}");
    }
    assert_eq!(pragma(&store, "PRAGMA integrity_check").await, "Text(\"ok\")");

    pragma(&store, "PRAGMA max_page_count = 100000").await;
    assert_eq!(ClientStore::create(&*store, &client(written), None).await, Ok(u64::from(written) + 1));
    let changes = store.changes(&state.incarnation, state.sequence).await.unwrap();
    assert!(matches!(changes, Changes::After { sequence, .. } if sequence == u64::from(written) + 1));
}

#[tokio::test]
async fn what_is_acknowledged_is_durable() {
    let directory = tempfile::tempdir().unwrap();
    let location = Location::parse(&format!("sqlite://{}/m.db", directory.path().display())).unwrap();
    let store = Store::open(&location, Options::default()).await.unwrap();
    assert_eq!(pragma(&store, "PRAGMA synchronous").await, "Integer(2)");
    assert_eq!(pragma(&store, "PRAGMA journal_mode").await, "Text(\"wal\")");
    let version = pragma(&store, "SELECT sqlite_version()").await;
    let version = version.trim_matches(|c: char| !c.is_ascii_digit()).to_owned();
    let version: Vec<u32> = version.split('.').map(|part| part.parse().unwrap()).collect();
    assert!(version > vec![3, 51, 3], "{version:?}");
}
