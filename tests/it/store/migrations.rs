//! Opening: the tables are made once, and what is not ours is left alone.

use std::os::unix::fs::PermissionsExt;

use mintage::{
    oauth::store::{ClientStore, StoreError},
    store::{LATEST, OpenError, Schema},
};

use super::*;

async fn refused(url: &str) -> String {
    Store::open(&Location::parse(url).unwrap(), Options::default()).await.unwrap_err().to_string()
}

#[tokio::test]
async fn looking_changes_nothing_and_migrating_twice_neither() {
    on_each(async |database| {
        let store = Store::connect(&database.location(), Options::default()).await.unwrap();
        for _ in 0..2 {
            assert_eq!(store.schema().await, Ok(Schema { version: 0 }));
        }
        store.migrate().await.unwrap();
        store.migrate().await.unwrap();
        assert!(store.schema().await.unwrap().is_current());
        let state = store.stores().changes.state(at(0)).await.unwrap();
        if !database.location().is_private() {
            let again = database.open().await;
            assert_eq!(again.stores().changes.state(at(0)).await, Ok(state));
        }
    })
    .await;
}

// F-13
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_that_start_at_once_make_the_tables_once() {
    on_each_shared(async |database| {
        let tasks: Vec<_> = (0..4)
            .map(|n| {
                let location = database.location();
                tokio::spawn(async move {
                    let store = Store::open(&location, Options::default()).await.unwrap();
                    ClientStore::create(&*store, &client(&format!("c{n}")), None).await.unwrap()
                })
            })
            .collect();
        let mut sequences = Vec::new();
        for task in tasks {
            sequences.push(task.await.unwrap());
        }
        sequences.sort_unstable();
        assert_eq!(sequences, [1, 2, 3, 4]);
    })
    .await;
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    on_each_shared(async |database| {
        drop(database.open().await);
        database.sql(&format!("INSERT INTO schema_version (version) VALUES ({})", LATEST + 1));
        let error = Store::open(&database.location(), Options::default()).await.unwrap_err();
        assert_eq!(error, OpenError::Newer { found: LATEST + 1, known: LATEST });
        assert!(error.to_string().contains("use a mintage that is at least as new"), "{error}");
        // Also by whoever did not ask first.
        let store = Store::connect(&database.location(), Options::default()).await.unwrap();
        assert!(matches!(store.stores().clients.get(&id("a")).await, Err(StoreError::Corrupt(_))));
    })
    .await;
}

#[tokio::test]
async fn the_file_belongs_to_its_owner_alone() {
    let database = Database::file();
    let store = database.open().await;
    ClientStore::create(&*store, &client("a"), None).await.unwrap();
    for entry in std::fs::read_dir(database.path().parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.db");
    let text = "this is somebody's diary, and certainly not a database ".repeat(40);
    std::fs::write(&path, &text).unwrap();
    let error = refused(&format!("sqlite://{}", path.display())).await;
    assert!(error.contains("file is not a database") && error.contains("check that it is"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);

    let error = refused(&format!("sqlite://{}", directory.path().display())).await;
    assert!(error.contains("check that it is an SQLite database"), "{error}");
    let error = refused(&format!("sqlite://{}/no/m.db", directory.path().display())).await;
    assert!(error.contains("/no does not exist; create it, or correct database_url"), "{error}");
    let error = refused(&format!("sqlite://{}/m.db/m.db", directory.path().display())).await;
    assert!(error.contains("cannot be created") && error.contains("let this user write"), "{error}");
}

#[tokio::test]
async fn tables_of_somebody_else_are_not_taken_for_ours() {
    on_each_shared(async |database| {
        database.sql("CREATE TABLE clients (id BIGINT)");
        let error = Store::open(&database.location(), Options::default()).await.unwrap_err();
        assert!(matches!(&error, OpenError::Unusable(text) if text.contains("already exists")), "{error}");
    })
    .await;
}

// V-71
#[tokio::test]
async fn a_wrong_password_is_not_repeated() {
    let url = Postgres::shared().new_database().replace("a-password", "canary");
    let location = Location::parse(&url).unwrap();
    let store = Store::connect(&location, Options::default()).await.unwrap();
    let error = store.migrate().await.unwrap_err();
    assert!(matches!(&error, OpenError::Unavailable(text) if text.contains("28P01")), "{error}");
    assert!(!format!("{error} {error:?} {store:?} {location:?} {location}").contains("canary"));
}

#[tokio::test]
async fn a_database_that_is_missing_is_named() {
    let url = Postgres::shared().new_database();
    let url = format!("{}/missing", url.rsplit_once('/').unwrap().0);
    let error = refused(&url).await;
    assert!(error.contains("database \"missing\" does not exist"), "{error}");
}
