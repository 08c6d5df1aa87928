//! `ChangeFeed`: a copy that follows it is never wrong.

use mintage::{
    jose::SigningAlgorithm,
    oauth::store::{Change, ChangeFeed, Changes, ClientStore, KeyWrite, Sequence},
};
use tokio::time::timeout;

use super::{keys::key, *};

async fn changes_after(
    feed: &dyn ChangeFeed,
    incarnation: &str,
    after: Sequence,
) -> (Vec<(Sequence, Change)>, Sequence) {
    match feed.changes(incarnation, after).await.unwrap() {
        Changes::After { changes, sequence } => (changes, sequence),
        Changes::Gap => panic!("a gap after {after}"),
    }
}

#[tokio::test]
async fn every_change_is_told_in_its_order() {
    on_each(async |database| {
        let store = database.open().await;
        let stores = store.stores();
        let feed = &*stores.changes;
        let incarnation = feed.state(at(0)).await.unwrap().incarnation;
        assert_eq!(changes_after(feed, &incarnation, 0).await, (vec![], 0));

        stores.clients.create(&client("a"), None).await.unwrap();
        let revocation = stores.revocations.revoke(&token("t", 500)).await.unwrap();
        stores.keys.write(&[KeyWrite::Add(key("k", SigningAlgorithm::EdDSA, 1))], &[]).await.unwrap();
        stores.clients.delete(&id("a"), None).await.unwrap();
        let all = [
            (1, Change::Client(id("a"))),
            (2, Change::Revocation(revocation)),
            (3, Change::Keys),
            (4, Change::Client(id("a"))),
        ];
        for after in 0..=4 {
            let rest = all[after..].to_vec();
            assert_eq!(changes_after(feed, &incarnation, after as u64).await, (rest, 4));
        }
        // Asked again without anything new, and after something new.
        assert_eq!(changes_after(feed, &incarnation, 4).await, (vec![], 4));
        stores.clients.create(&client("b"), None).await.unwrap();
        assert_eq!(changes_after(feed, &incarnation, 4).await, (vec![(5, Change::Client(id("b")))], 5));
    })
    .await;
}

#[tokio::test]
async fn nobody_continues_a_history_that_is_not_theirs() {
    on_each(async |database| {
        let store = database.open().await;
        let stores = store.stores();
        stores.clients.create(&client("a"), None).await.unwrap();
        let incarnation = stores.changes.state(at(0)).await.unwrap().incarnation;
        let other = if database.location().is_private() { Database::memory() } else { Database::file() };
        let other = other.open().await.stores().changes.state(at(0)).await.unwrap().incarnation;
        assert_ne!(other, incarnation);
        for (incarnation, after) in [(&*other, 0), ("", 0), (&*incarnation, 2), (&*incarnation, u64::MAX)] {
            assert_eq!(
                stores.changes.changes(incarnation, after).await,
                Ok(Changes::Gap),
                "{incarnation} {after}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_restart_continues_the_history() {
    on_each_shared(async |database| {
        let store = database.open().await;
        store.stores().clients.create(&client("a"), None).await.unwrap();
        let before = store.stores().changes.state(at(0)).await.unwrap();
        drop(store);
        let store = database.open().await;
        assert_eq!(store.stores().changes.state(at(0)).await, Ok(before.clone()));
        assert_eq!(store.stores().clients.create(&client("b"), None).await, Ok(2));
        assert_eq!(changes_after(&*store, &before.incarnation, 1).await.1, 2);
    })
    .await;
}

#[tokio::test]
async fn who_was_away_for_long_reads_everything_again() {
    on_each_shared(async |database| {
        let store = database.open().await;
        database.sql(
            "INSERT INTO changes (sequence, kind, subject) \
             WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 16000) SELECT x, 'keys', '' FROM n; \
             UPDATE feed SET sequence = 16000",
        );
        let stores = store.stores();
        let incarnation = stores.changes.state(at(0)).await.unwrap().incarnation;
        // In portions.
        assert_eq!(changes_after(&*store, &incarnation, 0).await.1, 1000);
        assert_eq!(changes_after(&*store, &incarnation, 15_900).await.1, 16_000);

        assert_eq!(stores.revocations.purge(at(0)).await, Ok(0));
        for after in [0, 5000, 5999] {
            assert_eq!(stores.changes.changes(&incarnation, after).await, Ok(Changes::Gap), "{after}");
        }
        let (changes, sequence) = changes_after(&*store, &incarnation, 6000).await;
        assert_eq!((changes.len(), sequence, changes[0].0), (1000, 7000, 6001));
        assert_eq!(stores.clients.create(&client("a"), None).await, Ok(16_001));
    })
    .await;
}

#[tokio::test]
async fn two_servers_see_each_other() {
    on_each_shared(async |database| {
        let (one, two) = (database.open().await, database.open().await);
        let incarnation = one.stores().changes.state(at(0)).await.unwrap().incarnation;
        let mut seen = 0;
        for round in 0..20 {
            let (writer, reader) = if round % 2 == 0 { (&one, &two) } else { (&two, &one) };
            let name = format!("c{round}");
            let sequence = writer.stores().clients.create(&client(&name), None).await.unwrap();
            let (changes, reached) = changes_after(&**reader, &incarnation, seen).await;
            assert_eq!((changes, reached), (vec![(sequence, Change::Client(id(&name)))], sequence));
            assert_eq!(reader.stores().clients.get(&id(&name)).await, Ok(Some(client(&name))));
            seen = reached;
        }
        // V-31: what one could write the other one cannot write again.
        assert_eq!(two.stores().clients.create(&client("c0"), None).await, Err(StoreError::Conflict));
    })
    .await;
}

#[tokio::test]
async fn a_poll_without_news_costs_one_statement_at_most() {
    on_each(async |database| {
        let store = database.open().await;
        store.stores().clients.create(&client("a"), None).await.unwrap();
        let incarnation = store.stores().changes.state(at(0)).await.unwrap().incarnation;
        changes_after(&*store, &incarnation, 1).await;
        let before = store.statements();
        for _ in 0..10 {
            changes_after(&*store, &incarnation, 1).await;
        }
        let statements = store.statements() - before;
        assert!(statements <= 10, "{statements}");
        // SQLite is asked only whether the file was written.
        assert!(database.directory.is_none() || statements == 0, "{statements}");
    })
    .await;
}

#[tokio::test]
async fn a_hint_comes_with_a_change_of_somebody_else() {
    let database = Database::postgres();
    let (one, two) = (database.open().await, database.open().await);
    // Every connection that begins to listen rings once.
    timeout(PATIENCE, two.hint()).await.unwrap();
    ClientStore::create(&*one, &client("a"), None).await.unwrap();
    timeout(PATIENCE, two.hint()).await.unwrap();
    assert!(timeout(Duration::from_millis(200), two.hint()).await.is_err());

    // Without it the store works all the same.
    let silent = Options { notify: false, ..Options::default() };
    let silent = Store::open(&database.location(), silent).await.unwrap();
    ClientStore::create(&*silent, &client("b"), None).await.unwrap();
    assert!(timeout(Duration::from_millis(200), two.hint()).await.is_err());
    timeout(PATIENCE, silent.hint()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_writers_at_once_leave_no_gap() {
    on_each(async |database| {
        let one = database.open().await;
        let two = if database.location().is_private() { one.clone() } else { database.open().await };
        let incarnation = one.stores().changes.state(at(0)).await.unwrap().incarnation;
        let writers: Vec<_> = (0..1000)
            .map(|n| {
                let store = if n % 2 == 0 { one.clone() } else { two.clone() };
                tokio::spawn(async move {
                    let record = client(&format!("c{n}"));
                    // Whoever finds too many before him comes again.
                    loop {
                        match ClientStore::create(&*store, &record, None).await {
                            Err(StoreError::Unavailable(_)) => {}
                            Err(StoreError::Conflict) => return None,
                            result => return Some(result.unwrap()),
                        }
                    }
                })
            })
            .collect();
        // Whoever reads meanwhile finds each new one behind all those before.
        let mut seen = Vec::new();
        let start = Instant::now();
        while seen.len() < 1000 {
            assert!(start.elapsed() < PATIENCE, "{} seen", seen.len());
            let after = seen.len() as u64;
            let (changes, reached) = changes_after(&*two, &incarnation, after).await;
            seen.extend(changes.iter().map(|(sequence, _)| *sequence));
            assert_eq!(reached, seen.len() as u64);
        }
        assert_eq!(seen, (1..=1000).collect::<Vec<_>>());
        println!("{:?}", start.elapsed());
        let mut taken = Vec::new();
        for writer in writers {
            taken.extend(writer.await.unwrap());
        }
        // Nobody got what another has; who was told to come again may not know what he got.
        let told = taken.len();
        taken.sort_unstable();
        taken.dedup();
        assert!(taken.len() == told && told > 0, "{told} told, {} apart", taken.len());
    })
    .await;
}
