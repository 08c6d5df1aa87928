//! Moving: backup of SQLite, and everything from one store into another.

use std::os::unix::fs::PermissionsExt;

use mintage::{
    jose::SigningAlgorithm,
    oauth::store::{Changes, ClientRecord, ClientStore, KeyWrite, StoreError, TransferStore},
    store::BackupError,
};

use super::{keys::key, *};

#[tokio::test]
async fn everything_moves_as_it_is() {
    on_each(async |database| {
        let from = Database::file().open().await;
        let clients: Vec<_> = (0..2500)
            .map(|n| ClientRecord { revision: n + 1, enabled: n % 2 == 0, ..client(&format!("c{n:04}")) })
            .collect();
        from.import_clients(&clients).await.unwrap();
        let stores = from.stores();
        stores
            .keys
            .write(&[KeyWrite::Add(key("k", SigningAlgorithm::EdDSA, 3))], &[token("t", 500)])
            .await
            .unwrap();
        for n in 0..50 {
            stores.revocations.revoke(&token(&n.to_string(), 600)).await.unwrap();
        }
        let old = stores.changes.state(at(0)).await.unwrap();
        let values = vec![("v".to_owned(), vec![1, 2])];

        let to = database.open().await;
        let fresh = to.stores().changes.state(at(0)).await.unwrap();
        to.import_clients(&clients[..1500]).await.unwrap();
        // It broke off and is repeated.
        to.import_clients(&clients).await.unwrap();
        to.finish_import(&old.keys, &values, &old.revocations).await.unwrap();

        let new = to.stores().changes.state(at(0)).await.unwrap();
        assert_eq!((&new.keys, &new.revocations), (&old.keys, &old.revocations));
        assert_eq!(to.stores().keys.sealed_values().await, Ok(values.clone()));
        for record in [&clients[0], &clients[999], &clients[2499]] {
            assert_eq!(to.stores().clients.get(&record.client_id).await.as_ref(), Ok(&Some(record.clone())));
        }
        // Whoever followed either store reads everything again.
        assert!(new.incarnation != old.incarnation && new.incarnation != fresh.incarnation);
        for incarnation in [&old.incarnation, &fresh.incarnation] {
            assert_eq!(to.stores().changes.changes(incarnation, 0).await, Ok(Changes::Gap));
        }
        assert_eq!(to.stores().changes.changes(&new.incarnation, new.sequence - 1).await, Ok(Changes::Gap));
        let sequence = ClientStore::create(&*to, &client("next"), None).await.unwrap();
        assert_eq!(sequence, new.sequence + 1);
        assert!(sequence > old.sequence);

        // A second time it would change what is there.
        assert_eq!(to.finish_import(&old.keys, &[], &[]).await, Err(StoreError::Conflict));
        assert_eq!(to.finish_import(&[], &values, &[]).await, Err(StoreError::Conflict));
        assert_eq!(to.stores().changes.state(at(0)).await.unwrap().incarnation, new.incarnation);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_differs_stops_the_import() {
    on_each(async |database| {
        let store = database.open().await;
        ClientStore::create(&*store, &client("b"), None).await.unwrap();
        let differs = ClientRecord { document: "{}".to_owned(), ..client("b") };
        for differs in [
            differs,
            ClientRecord { enabled: false, ..client("b") },
            ClientRecord { revision: 2, ..client("b") },
            ClientRecord { updated_at: at(9), ..client("b") },
        ] {
            let import = [client("a"), differs, client("c")];
            assert_eq!(store.import_clients(&import).await, Err(StoreError::Conflict));
        }
        assert_eq!(ClientStore::get(&*store, &id("a")).await, Ok(None));
        assert_eq!(store.import_clients(&[client("a"), client("b"), client("c")]).await, Ok(()));
    })
    .await;
}

#[tokio::test]
async fn a_backup_is_a_store() {
    let database = Database::file();
    let store = database.open().await;
    ClientStore::create(&*store, &client("a"), None).await.unwrap();
    let before = store.stores().changes.state(at(0)).await.unwrap();
    let path = database.path().with_file_name("backup.db");

    // While others write.
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..50 {
                ClientStore::create(&*store, &client(&format!("w{n}")), None).await.unwrap();
            }
        })
    };
    store.backup(&path).await.unwrap();
    writer.await.unwrap();

    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let copy = Location::parse(&format!("sqlite://{}", path.display())).unwrap();
    let copy = Store::open(&copy, Options::default()).await.unwrap();
    assert_eq!(ClientStore::get(&*copy, &id("a")).await, Ok(Some(client("a"))));
    // Put in the place of the original it is another history.
    let state = copy.stores().changes.state(at(0)).await.unwrap();
    assert_ne!(state.incarnation, before.incarnation);

    let refused = store.backup(&path).await.unwrap_err();
    assert!(
        matches!(&refused, BackupError::File(text) if text.contains("never replaces a file")),
        "{refused}"
    );
    let refused = store.backup(&path.join("x")).await.unwrap_err();
    assert!(matches!(&refused, BackupError::File(text) if text.contains("cannot be created")), "{refused}");
}

#[tokio::test]
async fn postgresql_has_its_own_backup() {
    let store = Database::postgres().open().await;
    let directory = tempfile::tempdir().unwrap();
    let refused = store.backup(&directory.path().join("x")).await.unwrap_err();
    assert!(refused == BackupError::NotSqlite && refused.to_string().contains("pg_dump"));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
