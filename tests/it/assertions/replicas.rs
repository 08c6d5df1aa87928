//! The same assertion at several replicas (V-16, F-15): one of them accepts it, once, whatever happens to the processes.

use std::{
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::Barrier;

use super::*;
use crate::support::{
    Transport,
    assertion::claims_at,
    cluster::{Cluster, Replica},
    patience::patiently,
    postgres::Postgres,
};

#[expect(clippy::disallowed_methods, reason = "the replicas are processes, which have no other clock")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// How many assertions are sent to all replicas at once.
fn races() -> usize {
    std::env::var("MINTAGE_RACES").map_or(300, |text| text.parse().unwrap())
}

/// The wires of each replica.
async fn wires(replicas: &[Arc<Replica>]) -> Vec<[Wire; 2]> {
    let mut wires = Vec::new();
    for replica in replicas {
        wires.push(Wire::at(&format!("http://{}", replica.process.address)).await);
    }
    wires
}

/// Sends an assertion to every replica over both transports at one instant; who accepted it, and whether somebody was told
/// that nobody knows: a machine that does other things may be too slow for the store.
async fn race(wires: &[[Wire; 2]], assertion: &str) -> (Vec<Transport>, bool) {
    let all: Vec<&Wire> = wires.iter().flatten().collect();
    let barrier = Arc::new(Barrier::new(all.len()));
    let attempts: Vec<_> = all
        .into_iter()
        .map(|wire| {
            let (wire, auth, barrier) = (wire.clone(), presented(assertion), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                (wire.transport, wire.issue(&auth, &Issue::default()).await)
            })
        })
        .collect();
    let (mut accepted, mut unknown) = (Vec::new(), false);
    for attempt in attempts {
        match attempt.await.unwrap() {
            (transport, Ok(_)) => accepted.push(transport),
            (_, Err(refused)) if refused.error == "temporarily_unavailable" => unknown = true,
            (_, Err(refused)) => assert_eq!(refused.error, "invalid_client"),
        }
    }
    (accepted, unknown)
}

// F-15, V-16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_assertion_is_accepted_once_among_three_replicas() {
    let postgres = Postgres::shared();
    let key = ClientKey::generate("ES256", "k1");
    let cluster = Cluster::start(postgres, 3, &keyed_client("c1", &[&key], "")).await;
    let wires = wires(&cluster.replicas).await;
    let (count, begun) = (races(), Instant::now());
    let (mut accepted, mut undecided, mut over_rest) = (0, 0, 0);
    for _ in 0..count {
        let (winners, unknown) = race(&wires, &key.assertion("ES256", &claims_at("c1", now()))).await;
        assert!(winners.len() == 1 || (winners.is_empty() && unknown), "{winners:?}");
        accepted += winners.len();
        undecided += usize::from(winners.is_empty());
        over_rest += winners.iter().filter(|transport| **transport == Transport::Rest).count();
    }
    println!(
        "F-15: {count} assertions, 6 attempts each on 3 replicas: {accepted} accepted once ({over_rest} over REST), \
         {undecided} by nobody while the store was slow, in {:.1?}",
        begun.elapsed()
    );
    assert!(accepted > 0);
}

// V-16: "again after kill -9"
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_used_stays_used_after_kill_9() {
    let postgres = Postgres::shared();
    let key = ClientKey::generate("ES256", "k1");
    let table = keyed_client("c1", &[&key], "");
    let mut cluster = Cluster::start(postgres, 2, &table).await;
    let mut used = Vec::new();
    for (replica, wires) in wires(&cluster.replicas).await.iter().enumerate() {
        for wire in wires {
            let mut claims = claims_at("c1", now());
            claims["exp"] = json!(now() + 290);
            let auth = presented(&key.assertion("ES256", &claims));
            granted(wire, &auth).await;
            used.push((replica, auth));
        }
    }
    for replica in &mut cluster.replicas {
        let database = cluster.database.clone();
        let replica = Arc::get_mut(replica).unwrap();
        replica.process.signal("KILL");
        replica.process.ended().await;
        replica.respawn(postgres, &database, &table);
        replica.process.ready().await;
    }
    for wire in wires(&cluster.replicas).await.iter().flatten() {
        for (replica, auth) in &used {
            // A store that is slow puts the caller off, which says nothing yet.
            let is_put_off = |error: &String| error == "temporarily_unavailable";
            let again = patiently!(error(wire.issue(auth, &Issue::default()).await), is_put_off);
            assert_eq!(again, "invalid_client", "{wire:?}: used at {replica}");
        }
        let mut claims = claims_at("c1", now());
        claims["exp"] = json!(now() + 30);
        granted(wire, &presented(&key.assertion("ES256", &claims))).await;
    }
}
