//! `ReplayStore`

use std::collections::HashMap;

use mintage::oauth::{
    replay::{Namespace, Replay, ReplayError, ReplayGuard},
    store::{ReplayKey, ReplayStore},
};

use super::*;
use crate::support::proxy::{Mode, Proxy};

fn key(number: u64) -> ReplayKey {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key
}

#[tokio::test]
async fn a_claim_is_granted_once_until_it_has_expired() {
    on_each(async |database| {
        let store = database.open().await;
        let claim = async |number, until, now| store.claim(&key(number), until, at(now)).await;
        assert_eq!(claim(1, at(100), 40).await, Ok(true));
        for now in [0, 40, 99, 100] {
            assert_eq!(claim(1, at(100), now).await, Ok(false));
            // A later end does not make it another claim.
            assert_eq!(claim(1, at(200), now).await, Ok(false));
        }
        assert_eq!(claim(2, at(100), 40).await, Ok(true));
        assert_eq!(claim(1, at(200), 101).await, Ok(true));
        assert_eq!(claim(1, at(300), 200).await, Ok(false));
        // Part of a second is a second.
        assert_eq!(claim(3, at(100) + Duration::from_millis(1), 40).await, Ok(true));
        assert_eq!(claim(3, at(200), 101).await, Ok(false));
        // Nobody is told of it.
        assert_eq!(store.stores().changes.state(at(0)).await.unwrap().sequence, 0);
    })
    .await;
}

#[tokio::test]
async fn claims_of_another_process_count() {
    on_each_shared(async |database| {
        let store = database.open().await;
        assert_eq!(store.claim(&key(1), at(100), at(40)).await, Ok(true));
        drop(store);
        let store = database.open().await;
        assert_eq!(store.claim(&key(1), at(100), at(40)).await, Ok(false));
    })
    .await;
}

// V-17
#[tokio::test]
async fn what_has_expired_is_forgotten_in_portions() {
    on_each(async |database| {
        let store = database.open().await;
        let expiries = (0..2500).map(|n| (n, 50)).chain((2500..2600).map(|n| (n, 60)));
        let claims: Vec<_> = expiries
            .map(|(n, until)| {
                let store = store.clone();
                tokio::spawn(async move { store.claim(&key(n), at(until), at(10)).await })
            })
            .collect();
        for claim in claims {
            assert_eq!(claim.await.unwrap(), Ok(true));
        }
        assert_eq!(store.purge_replays(at(50)).await, Ok(0));
        assert_eq!(store.purge_replays(at(51)).await, Ok(2500));
        assert_eq!(store.purge_replays(at(51)).await, Ok(0));
        assert_eq!(store.claim(&key(2550), at(60), at(10)).await, Ok(false));
        assert_eq!(store.claim(&key(0), at(60), at(10)).await, Ok(true));
    })
    .await;
}

/// The clock of one replica is ahead; those of the others are right, and so is that of the database.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "PostgreSQL knows no other time")]
async fn a_clock_that_is_ahead_makes_nobody_forget_what_others_need() {
    let store = Database::postgres().open().await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = Timestamp::from_epoch(now);
    let until = now + Duration::from_secs(300);
    assert_eq!(store.claim(&key(1), until, now).await, Ok(true));
    assert_eq!(store.purge_replays(until + Duration::from_secs(3600)).await, Ok(0));
    assert_eq!(store.claim(&key(1), until, now).await, Ok(false));
}

/// How often each key was granted to claimants who all come at once.
async fn granted(stores: &[Arc<Store>], keys: u64) -> HashMap<u64, usize> {
    let claims: Vec<_> = (0..keys)
        .flat_map(|n| stores.iter().map(move |store| (n, store.clone())))
        .map(|(n, store)| tokio::spawn(async move { (n, store.claim(&key(n), at(500), at(10)).await) }))
        .collect();
    let mut granted = HashMap::new();
    for claim in claims {
        let (n, result) = claim.await.unwrap();
        *granted.entry(n).or_default() += usize::from(result.unwrap());
    }
    granted
}

// F-15, V-16: three stores with a connection pool each are what three replicas have. MINTAGE_RACES says how often.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_all_who_claim_at_once_one_is_told_that_it_may() {
    let races: u64 = std::env::var("MINTAGE_RACES").map_or(600, |text| text.parse().unwrap());
    on_each_shared(async |database| {
        let stores = [database.open().await, database.open().await, database.open().await];
        let begun = Instant::now();
        let mut all = 0;
        for round in 0..races.div_ceil(300) {
            // Fewer at a time than wait in line, so that none is refused.
            let granted = granted(&stores, 300).await;
            assert!(granted.values().all(|count| *count == 1), "in round {round}: {granted:?}");
            all += granted.len();
            for store in &stores {
                store.purge_replays(at(501)).await.unwrap();
            }
        }
        println!("{all} keys, each claimed by three at once and granted once, in {:.1?}", begun.elapsed());
    })
    .await;
}

// V-68, CHK-147: a claim whose answer never came may have been made; it is never made twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_was_cut_off_is_granted_at_most_once() {
    let proxy = Proxy::start(Postgres::shared().port()).await;
    let name = Postgres::new_name();
    Postgres::shared().url(&name);
    let location = Location::parse(&Postgres::shared().url_through(proxy.port(), &name)).unwrap();
    let store = Store::open(&location, Options::default()).await.unwrap();
    assert_eq!(store.claim(&key(0), at(500), at(10)).await, Ok(true));
    let mut unanswered = 0;
    for n in 1..40 {
        proxy.set(Mode::Delay(Duration::from_millis(10)));
        let claim = {
            let store = store.clone();
            tokio::spawn(async move { store.claim(&key(n), at(500), at(10)).await })
        };
        tokio::time::sleep(Duration::from_millis(n)).await;
        proxy.cut();
        let first = claim.await.unwrap();
        proxy.set(Mode::Pass);
        unanswered += usize::from(is_unavailable(&first));
        let mut again = store.claim(&key(n), at(500), at(10)).await;
        while is_unavailable(&again) {
            again = store.claim(&key(n), at(500), at(10)).await;
        }
        assert!(!(first == Ok(true) && again == Ok(true)), "{n}");
    }
    assert!(unanswered > 0);
}

/// The memory of this process, in MiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

// V-17: fresh identifiers without end take no memory, and nothing of them is left when they have expired.
// MINTAGE_CLAIMS says how many; a million is the number of the entry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fresh_identifiers_without_end_leave_nothing_behind() {
    let claims: u64 = std::env::var("MINTAGE_CLAIMS").map_or(20_000, |text| text.parse().unwrap());
    on_each_shared(async |database| {
        let store = database.open().await;
        let guard = Arc::new(ReplayGuard::new(Some(store.stores().replays), Replay::Strict));
        let before = memory();
        for first in (0..claims).step_by(500) {
            let some: Vec<_> = (first..claims.min(first + 500))
                .map(|n| {
                    let guard = Arc::clone(&guard);
                    tokio::spawn(async move {
                        let jti = n.to_string();
                        guard.claim(Namespace::ClientAssertion, &["a", &jti], at(310), at(10)).await
                    })
                })
                .collect();
            for claim in some {
                // What the store could not say in time is refused, and no more than that.
                let result = claim.await.unwrap();
                assert!(matches!(result, Ok(()) | Err(ReplayError::Unavailable { .. })), "{result:?}");
            }
        }
        let figures = guard.figures();
        println!("{figures:?}; memory {before} MiB before, {} MiB after", memory());
        assert!(figures.remembered <= 16 * 1024 && figures.accepted >= claims / 2);
        assert_eq!(store.purge_replays(at(310)).await, Ok(0));
        assert!(store.purge_replays(at(311)).await.unwrap() >= figures.accepted);
        assert_eq!(store.purge_replays(at(u64::from(u32::MAX))).await, Ok(0));
    })
    .await;
}
