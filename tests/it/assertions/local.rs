//! What happens to assertions while the store cannot say whether they were used (setting `replay`).

use std::time::Duration;

use mintage::oauth::{client::ClientRegistration, replay::Replay};
use serde_json::value::RawValue;

use super::*;
use crate::support::replica::{Cluster, Mode, TestReplica};

/// Replicas of a store that can be taken away, and the key of their client `c1`.
async fn replicas(replay: Replay, count: usize) -> (Cluster, Vec<TestReplica>, ClientKey) {
    let key = ClientKey::generate("ES256", "k1");
    let mut cluster = Cluster::new();
    cluster.replay = replay;
    let jwks = RawValue::from_string(json!({ "keys": [key.jwk()] }).to_string()).unwrap();
    let registration = ClientRegistration {
        client_id: "c1".to_owned(),
        token_endpoint_auth_method: Some("private_key_jwt".to_owned()),
        jwks: Some(jwks),
        ..Default::default()
    };
    cluster.store.put(registration, true, Vec::new());
    let mut replicas = Vec::new();
    for _ in 0..count {
        let replica = cluster.replica().await;
        // The client is in memory before anything fails.
        granted(&Wire::at(&replica.url()).await[0], &presented(&key.assertion("ES256", &claims("c1")))).await;
        let secret = Cluster::secret_text("a", 1);
        granted(&Wire::at(&replica.url()).await[0], &Auth::basic("a", &secret)).await;
        replicas.push(replica);
    }
    (cluster, replicas, key)
}

fn living(key: &ClientKey, seconds: u64) -> Auth {
    presented(&key.assertion("ES256", &claims_with("c1", "exp", json!(NOW + seconds))))
}

// Item 7 of the issue: methods that need the store are refused with 503, others are served
#[tokio::test(flavor = "multi_thread")]
async fn strict_refuses_what_it_cannot_check() {
    let (cluster, replicas, key) = replicas(Replay::Strict, 1).await;
    for wire in Wire::at(&replicas[0].url()).await {
        for mode in [Mode::Down, Mode::ReadOnly, Mode::Frozen] {
            cluster.store.set(mode);
            let refused = wire.issue(&living(&key, 30), &Issue::default()).await.unwrap_err();
            assert_eq!(refused.error, "temporarily_unavailable", "{wire:?} {mode:?}");
            assert!(refused.retry_after.is_some());
            granted(&wire, &Auth::basic("a", &Cluster::secret_text("a", 1))).await;
            // What is wrong with an assertion is said before.
            let late = presented(&key.assertion("ES256", &claims_with("c1", "exp", json!(NOW - 60))));
            assert_eq!(error(wire.issue(&late, &Issue::default()).await), "invalid_client");
        }
        cluster.store.set(Mode::Up);
        granted(&wire, &living(&key, 30)).await;
    }
}

// Item 7: each replica remembers by itself, and only what is short-lived
#[tokio::test(flavor = "multi_thread")]
async fn local_accepts_what_lives_a_minute_once_on_each_replica() {
    let (cluster, replicas, key) = replicas(Replay::Local, 2).await;
    let [first, second] = &replicas[..] else { panic!("two replicas") };
    let (first, second) = (Wire::at(&first.url()).await, Wire::at(&second.url()).await);
    let before = living(&key, 60);
    granted(&first[0], &before).await;
    for mode in [Mode::Down, Mode::Frozen] {
        cluster.store.set(mode);
        for (here, there) in first.iter().zip(&second) {
            let auth = living(&key, 60);
            granted(here, &auth).await;
            for wire in &first {
                assert_eq!(error(wire.issue(&auth, &Issue::default()).await), "invalid_client", "{mode:?}");
            }
            // The price of going on without the store.
            granted(there, &auth).await;
            let refused = here.issue(&living(&key, 90), &Issue::default()).await.unwrap_err();
            assert_eq!(refused.error, "temporarily_unavailable", "it lives too long");
            assert!(refused.retry_after.is_some());
        }
        // What was used before the outage is remembered where it was used.
        assert_eq!(error(first[1].issue(&before, &Issue::default()).await), "invalid_client");
    }
    cluster.store.set(Mode::Up);
    // Where the store is back, it knows what was claimed before, and this replica what was claimed meanwhile.
    let late = living(&key, 300);
    granted(&first[0], &late).await;
    assert_eq!(error(second[0].issue(&late, &Issue::default()).await), "invalid_client");
}

// What a replica accepted by itself it goes on refusing when the store is back, which knows nothing of it
#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_meanwhile_stays_used() {
    let (cluster, replicas, key) = replicas(Replay::Local, 1).await;
    let wire = &Wire::at(&replicas[0].url()).await[0];
    cluster.store.set(Mode::Down);
    let auth = living(&key, 60);
    granted(wire, &auth).await;
    cluster.store.set(Mode::Up);
    assert_eq!(error(wire.issue(&auth, &Issue::default()).await), "invalid_client");
    replicas[0].clock.advance(Duration::from_secs(69));
    assert_eq!(error(wire.issue(&auth, &Issue::default()).await), "invalid_client");
}
