//! What happens to proofs while the store is away (`replay`).

use mintage::oauth::replay::Replay;

use super::*;
use crate::support::replica::{Cluster, Mode};

fn client() -> Auth {
    Auth::basic("a", &Cluster::secret_text("a", 1))
}

async fn ask(wire: &Wire, proof: &str) -> Outcome {
    wire.proving(&[proof.to_owned()]).issue(&client(), &Issue::default()).await
}

// V-16: one use over all replicas.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_used_once_on_all_replicas() {
    let cluster = Cluster::new();
    let (one, other) = (cluster.replica().await, cluster.replica().await);
    for (first, second) in Wire::at(&one.url()).await.into_iter().zip(Wire::at(&other.url()).await) {
        let proof = DpopKey::generate().for_token(&first);
        assert!(ask(&first, &proof).await.is_ok());
        assert_eq!(error(ask(&second, &proof).await), "invalid_dpop_proof");
        assert_eq!(error(ask(&first, &proof).await), "invalid_dpop_proof");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_refuses_proofs_while_the_store_is_away() {
    let cluster = Cluster::new();
    let replica = cluster.replica().await;
    for wire in Wire::at(&replica.url()).await {
        // Known from before.
        assert!(wire.issue(&client(), &Issue::default()).await.is_ok());
        for mode in [Mode::Down, Mode::ReadOnly, Mode::Frozen] {
            cluster.store.set(mode);
            let refused = ask(&wire, &DpopKey::generate().for_token(&wire)).await.unwrap_err();
            assert_eq!((refused.error.as_str(), refused.retry_after), ("temporarily_unavailable", Some(1)));
            // What needs no proof goes on.
            assert!(wire.issue(&client(), &Issue::default()).await.is_ok(), "{wire:?} {mode:?}");
            cluster.store.set(Mode::Up);
        }
        assert!(ask(&wire, &DpopKey::generate().for_token(&wire)).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn local_goes_on_with_the_memory_of_each_replica() {
    let mut cluster = Cluster::new();
    cluster.replay = Replay::Local;
    let (one, other) = (cluster.replica().await, cluster.replica().await);
    for (first, second) in Wire::at(&one.url()).await.into_iter().zip(Wire::at(&other.url()).await) {
        for wire in [&first, &second] {
            assert!(wire.issue(&client(), &Issue::default()).await.is_ok());
        }
        let (before, during) = (DpopKey::generate().for_token(&first), DpopKey::generate().for_token(&first));
        assert!(ask(&first, &before).await.is_ok());
        cluster.store.set(Mode::Down);
        assert_eq!(error(ask(&first, &before).await), "invalid_dpop_proof");
        assert!(ask(&first, &during).await.is_ok());
        assert_eq!(error(ask(&first, &during).await), "invalid_dpop_proof");
        // This is what `local` costs: once on each replica, while the proof is valid.
        assert!(ask(&second, &during).await.is_ok());
        assert_eq!(error(ask(&second, &during).await), "invalid_dpop_proof");
        cluster.store.set(Mode::Up);
        assert_eq!(error(ask(&first, &during).await), "invalid_dpop_proof");
        assert_eq!(error(ask(&second, &during).await), "invalid_dpop_proof");
    }
}
