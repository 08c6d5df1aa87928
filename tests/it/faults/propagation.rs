//! What one replica was told, all act on (F-13, V-25, V-29), with and without NOTIFY.

use std::sync::{
    atomic::{AtomicUsize, Ordering},
    mpsc::{RecvTimeoutError, channel},
};

use mintage::grpc::pb::admin as pb;
use tokio::task::JoinSet;

use super::*;
use crate::support::{admin::is_put_off, patience::patiently};

const ROUNDS: usize = 100;
const AT_ONCE: usize = 5;

/// Revokes tokens at one replica; the time from each answer until every other says that the token is inactive. The others
/// write nothing themselves, for whoever writes asks what there is to know.
async fn revocations(cluster: &Cluster, service: &Known) -> Times {
    let (mut running, mut times) = (JoinSet::new(), Vec::new());
    for round in 0..ROUNDS {
        if running.len() == AT_ONCE {
            times.push(running.join_next().await.unwrap().unwrap());
        }
        let (replicas, service) = (cluster.replicas.clone(), service.clone());
        running.spawn(async move {
            let (issuer, revoker) = (&replicas[round % 3], &replicas[0]);
            let (token, sibling) = (issuer.token(&service).await, issuer.token(&service).await);
            revoker.revoked(&service, &token).await;
            let acknowledged = Instant::now();
            // The one that was told knows at once.
            assert_eq!(revoker.introspect(&token).await.active(), Some(false));
            for replica in &replicas {
                while replica.introspect(&token).await.active() != Some(false) {
                    assert!(acknowledged.elapsed() < PATIENCE, "{round}: the revocation is not known");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            let took = acknowledged.elapsed();
            // V-29: siblings are what they were.
            for replica in &replicas {
                assert_eq!(replica.introspect(&sibling).await.active(), Some(true));
            }
            took
        });
    }
    times.extend(running.join_all().await);
    Times::of(times)
}

/// Disables a client at one replica and enables it at the next; the time until every replica refuses it.
async fn disabled(cluster: &Cluster) -> Times {
    let mut times = Vec::new();
    let service = cluster.replicas[0].create("sometimes").await;
    for round in 0..6 {
        let token = cluster.replicas[0].token(&service).await;
        for replica in &cluster.replicas {
            replica.token(&service).await;
            assert_eq!(replica.introspect(&token).await.active(), Some(true));
        }
        set_enabled(&cluster.replicas[round % 3], false).await;
        let acknowledged = Instant::now();
        for replica in &cluster.replicas {
            eventually("the client is refused", async || replica.issue(&service).await.status == 401).await;
            // V-25: its tokens with it.
            assert_eq!(replica.introspect(&token).await.active(), Some(false));
        }
        times.push(acknowledged.elapsed());
        set_enabled(&cluster.replicas[(round + 1) % 3], true).await;
        for replica in &cluster.replicas {
            eventually("the client is back", async || replica.issue(&service).await.status == 200).await;
        }
    }
    Times::of(times)
}

async fn set_enabled(replica: &Replica, enabled: bool) {
    let client =
        pb::Client { client_id: "sometimes".to_owned(), enabled: Some(enabled), ..Default::default() };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["enabled".to_owned()] });
    let request = pb::UpdateClientRequest { client: Some(client), update_mask, ..Default::default() };
    let mut admin = replica.admin().await;
    patiently!(admin.update_client(request.clone()).await, is_put_off).unwrap();
}

/// V-25: a secret that is retired is refused everywhere, and the other one is not.
async fn retired(cluster: &Cluster) -> Duration {
    let service = cluster.replicas[0].create("with-two-secrets").await;
    let mut admin = cluster.replicas[1].admin().await;
    let client_id = || service.client_id.clone();
    let added = pb::AddClientSecretRequest { client_id: client_id(), ..Default::default() };
    let added = patiently!(admin.add_client_secret(added.clone()).await, is_put_off).unwrap();
    let other = Known { client_id: client_id(), secret: added.client_secret };
    for replica in &cluster.replicas {
        for known in [&service, &other] {
            eventually("both work", async || replica.issue(known).await.status == 200).await;
        }
    }
    let list = pb::ListClientSecretsRequest { client_id: client_id() };
    let secrets = admin.list_client_secrets(list).await.unwrap().secrets;
    let added = added.secret.unwrap().secret_id;
    let first = secrets.iter().find(|secret| secret.secret_id != added).unwrap();
    let retire = pb::RetireClientSecretRequest {
        client_id: client_id(),
        secret_id: first.secret_id.clone(),
        ..Default::default()
    };
    patiently!(admin.retire_client_secret(retire.clone()).await, is_put_off).unwrap();
    let acknowledged = Instant::now();
    for replica in &cluster.replicas {
        eventually("the old secret is refused", async || replica.issue(&service).await.status == 401).await;
        replica.token(&other).await;
    }
    acknowledged.elapsed()
}

/// V-29: nobody revokes what is another's.
async fn of_another(cluster: &Cluster, service: &Known) {
    let other = cluster.replicas[1].create("other").await;
    let token = cluster.replicas[0].token(service).await;
    for replica in &cluster.replicas {
        let answer = replica.revoke(&other, &token).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.body["error"], "unauthorized_client");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for replica in &cluster.replicas {
        assert_eq!(replica.introspect(&token).await.active(), Some(true));
    }
}

async fn is_visible_everywhere(how: &str, settings: &str) {
    let cluster = Cluster::start(Postgres::shared(), 3, settings).await;
    let service = cluster.replicas[0].create("service").await;
    let revoked = revocations(&cluster, &service).await;
    println!("{how}: a revocation is known by all after: {revoked}");
    let disabled = disabled(&cluster).await;
    println!("{how}: a disabled client is refused by all after: {disabled}");
    println!("{how}: a retired secret is refused by all after {:.1?}", retired(&cluster).await);
    of_another(&cluster, &service).await;
}

// F-13, V-25, V-29
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_notify_everybody_knows_at_once() {
    is_visible_everywhere("with NOTIFY", "").await;
}

// F-13, V-25, V-29
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_notify_everybody_knows_soon() {
    is_visible_everywhere("without NOTIFY", "[store]\nnotify = false").await;
}

/// The connections that listen are ended again and again; polling finds what nobody told.
// F-13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_listen_cut_everybody_knows_soon() {
    let cluster = Cluster::start(Postgres::shared(), 3, "").await;
    let service = cluster.replicas[0].create("service").await;
    let database = cluster.database.clone();
    let (stop, stopped) = channel::<()>();
    let cut = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&cut);
    let cutter = std::thread::spawn(move || {
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        while stopped.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout) {
            let ended = Postgres::shared().sql(&database, sql).parse().unwrap();
            count.fetch_add(ended, Ordering::Relaxed);
        }
    });
    let begun = Instant::now();
    // As long as it takes to cut all of them once.
    while cut.load(Ordering::Relaxed) < 3 {
        assert!(begun.elapsed() < PATIENCE, "nobody listens");
        let revoked = revocations(&cluster, &service).await;
        println!("with LISTEN cut a revocation is known by all after: {revoked}");
    }
    drop(stop);
    cutter.join().unwrap();
    println!("LISTEN cut {} times", cut.load(Ordering::Relaxed));
}
