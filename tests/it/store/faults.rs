//! A database that is frozen, cut off, locked, restarted or killed: every call ends, and all is well again by itself.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mintage::oauth::store::{ChangeFeed, Changes, ClientStore, RevocationStore};

use super::*;
use crate::support::proxy::{Mode, Proxy};

async fn through(proxy: &Proxy, postgres: &Postgres) -> Arc<Store> {
    let name = Postgres::new_name();
    postgres.url(&name);
    let location = Location::parse(&postgres.url_through(proxy.port(), &name)).unwrap();
    let store = Store::open(&location, Options::default()).await.unwrap();
    store.stores().clients.create(&client("a"), None).await.unwrap();
    store
}

/// Many callers at once, every one of whom gets an error in time.
async fn nobody_is_answered(store: &Arc<Store>) {
    let start = Instant::now();
    let callers: Vec<_> = (0..40)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                if n % 2 == 0 {
                    is_unavailable(&ClientStore::get(&*store, &id("a")).await)
                } else {
                    is_unavailable(&store.revoke(&token(&n.to_string(), 500)).await)
                }
            })
        })
        .collect();
    for caller in callers {
        assert!(caller.await.unwrap());
    }
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    println!("refused after {:?}", start.elapsed());
}

async fn heals(store: &Store) {
    let took = eventually("the store is healthy", async || {
        ClientStore::get(store, &id("a")).await.is_ok() && store.revoke(&token("after", 500)).await.is_ok()
    })
    .await;
    println!("healthy after {took:?}");
}

// V-68
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_database_is_noticed_and_forgiven() {
    let postgres = Postgres::start(false);
    let store =
        Store::open(&Location::parse(&postgres.new_database()).unwrap(), Options::default()).await.unwrap();
    store.stores().clients.create(&client("a"), None).await.unwrap();
    let frozen = postgres.freeze();
    nobody_is_answered(&store).await;
    nobody_is_answered(&store).await;
    frozen.thaw();
    heals(&store).await;
}

// V-68
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_packets_are_noticed_and_forgiven() {
    let proxy = Proxy::start(Postgres::shared().port()).await;
    let store = through(&proxy, Postgres::shared()).await;
    proxy.set(Mode::Blackhole);
    nobody_is_answered(&store).await;
    proxy.set(Mode::Pass);
    heals(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_were_cut_are_replaced() {
    let proxy = Proxy::start(Postgres::shared().port()).await;
    let store = through(&proxy, Postgres::shared()).await;
    proxy.set(Mode::Refuse);
    proxy.cut();
    nobody_is_answered(&store).await;
    proxy.set(Mode::Pass);
    heals(&store).await;
    // When the network is back at once hardly anybody need notice: whoever comes before the end of a connection is seen.
    proxy.cut();
    eventually("the store is healthy", async || ClientStore::get(&*store, &id("a")).await.is_ok()).await;
    for _ in 0..20 {
        assert_eq!(ClientStore::get(&*store, &id("a")).await, Ok(Some(client("a"))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_database_is_slow_and_no_more() {
    let proxy = Proxy::start(Postgres::shared().port()).await;
    let store = through(&proxy, Postgres::shared()).await;
    proxy.set(Mode::Delay(Duration::from_millis(50)));
    assert_eq!(ClientStore::get(&*store, &id("a")).await, Ok(Some(client("a"))));
    assert!(store.revoke(&token("slow", 500)).await.is_ok());
}

/// Whoever goes away in the middle of a write leaves no lock behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_block_nobody() {
    let proxy = Proxy::start(Postgres::shared().port()).await;
    let store = through(&proxy, Postgres::shared()).await;
    proxy.set(Mode::Delay(Duration::from_millis(20)));
    for wait in (1..20).map(|n| Duration::from_millis(n * 12)) {
        let _ = tokio::time::timeout(wait, store.revoke(&token(&format!("{wait:?}"), 500))).await;
    }
    proxy.set(Mode::Pass);
    let start = Instant::now();
    for n in 0..20 {
        store.revoke(&token(&n.to_string(), 500)).await.unwrap();
    }
    println!("20 writes in {:.1?}", start.elapsed());
    // No half of a write became part of the next one.
    let state = store.state(at(0)).await.unwrap();
    let Changes::After { sequence, .. } = store.changes(&state.incarnation, 0).await.unwrap() else {
        panic!("a sequence without its change")
    };
    assert_eq!(sequence, state.sequence);
}

// F-6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill_and_a_restart_heals_by_itself() {
    let postgres = Postgres::start(true);
    let store =
        Store::open(&Location::parse(&postgres.new_database()).unwrap(), Options::default()).await.unwrap();
    store.stores().clients.create(&client("a"), None).await.unwrap();
    let mut acknowledged = vec![0];
    for round in 0..3 {
        let (count, killed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let writer = {
            let (store, count, killed) = (store.clone(), count.clone(), killed.clone());
            tokio::spawn(async move {
                let mut written = Vec::new();
                for n in 0_u64.. {
                    match store.revoke(&token(&format!("{round}-{n}"), 500)).await {
                        Ok(kept) => {
                            written.push(kept.sequence);
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) if killed.load(Ordering::Relaxed) => {
                            println!("{error}");
                            return written;
                        }
                        Err(_) => {}
                    }
                }
                written
            })
        };
        eventually("there is something to lose", async || count.load(Ordering::Relaxed) > 20).await;
        killed.store(true, Ordering::Relaxed);
        match round {
            0 => postgres.kill9(),
            1 => postgres.stop_immediate(),
            _ => postgres.restart(),
        }
        if round == 2 {
            // Nobody was refused for long, or at all.
            heals(&store).await;
            writer.abort();
        } else {
            acknowledged.extend(writer.await.unwrap());
            nobody_is_answered(&store).await;
            postgres.start_again();
            heals(&store).await;
        }
    }
    let kept = store.stores().changes.state(at(0)).await.unwrap().revocations;
    let kept: Vec<_> = kept.iter().map(|kept| kept.sequence).collect();
    let lost: Vec<_> = acknowledged.iter().skip(1).filter(|sequence| !kept.contains(sequence)).collect();
    assert!(lost.is_empty(), "{} acknowledged, lost {lost:?}", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_started_without_its_database_finds_it_later() {
    let proxy = Proxy::start(Postgres::shared().port()).await;
    proxy.set(Mode::Refuse);
    let name = Postgres::new_name();
    Postgres::shared().url(&name);
    let location = Location::parse(&Postgres::shared().url_through(proxy.port(), &name)).unwrap();
    let store = Store::connect(&location, Options::default()).await.unwrap();
    assert!(is_unavailable(&ClientStore::get(&*store, &id("a")).await));
    proxy.set(Mode::Pass);
    heals(&store).await;
}

// V-70
#[tokio::test]
async fn others_are_told_of_changes_and_revocations_alone() {
    let database = Database::postgres();
    drop(database.open().await);
    Postgres::shared()
        .sql(&database.name, &format!("ALTER DATABASE {} SET log_statement = 'all'", database.name));
    let store = database.open().await;
    let stores = store.stores();
    let told = || {
        let prefix = format!("{}|", database.name);
        let logged = Postgres::shared().logged();
        logged
            .lines()
            .filter(|line| line.starts_with(&prefix) && line.contains("NOTIFY mintage_changes"))
            .count()
    };
    let incarnation = stores.changes.state(at(0)).await.unwrap().incarnation;
    assert_eq!(told(), 0);
    stores.clients.create(&client("a"), None).await.unwrap();
    stores.revocations.revoke(&token("t", 500)).await.unwrap();
    assert_eq!(told(), 2);
    for n in 0..20 {
        stores.clients.get(&id("a")).await.unwrap();
        stores.changes.changes(&incarnation, 2).await.unwrap();
        let used_at = at(n);
        let used =
            mintage::oauth::store::SecretUse { client_id: id("a"), secret_id: "s".to_owned(), used_at };
        stores.clients.record_uses(&[used]).await.unwrap();
        // What is revoked already.
        stores.revocations.revoke(&token("t", 500)).await.unwrap();
    }
    stores.keys.keep_sealed_value("v", b"x").await.unwrap();
    stores.revocations.purge(at(1000)).await.unwrap();
    assert_eq!(told(), 2);
}

#[tokio::test]
async fn a_file_that_another_process_holds_stops_writers_alone_and_not_for_ever() {
    let database = Database::file();
    let store = database.open().await;
    store.stores().clients.create(&client("a"), None).await.unwrap();
    let other = rusqlite::Connection::open(database.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; DELETE FROM clients").unwrap();

    let writer = {
        let store = store.clone();
        tokio::spawn(async move { store.revoke(&token("t", 500)).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(ClientStore::get(&*store, &id("a")).await, Ok(Some(client("a"))));
    assert!(!writer.is_finished(), "the reader waits for the writer, who waits 5 s");
    assert!(is_unavailable(&tokio::time::timeout(PATIENCE, writer).await.unwrap().unwrap()));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.revoke(&token("t", 500)).await.unwrap().sequence, 2);
}
