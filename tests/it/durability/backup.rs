//! A copy of an SQLite database that is in use.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::host::{Host, Registered, SECRET, integrity};
use crate::support::patience::eventually;

// F-31
#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_starts_on_a_backup_made_while_others_write() {
    let host = Host::sqlite();
    let server = Arc::new(host.start().await);
    let (kids, live) = (server.kids().await, server.operator_token().await);
    let mut admin = server.admin(&live).await;
    let client = admin.created("before").await;
    let mut revoked = Vec::new();
    for _ in 0..20 {
        let token = server.operator_token().await;
        server.revoked(&token).await;
        revoked.push(token);
    }

    let (begun, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let writer = {
        let (server, begun, done) = (Arc::clone(&server), Arc::clone(&begun), Arc::clone(&done));
        tokio::spawn(async move {
            let mut written: Vec<Registered> = Vec::new();
            while !done.load(Ordering::Relaxed) {
                written.push(admin.created(&format!("during-{}", written.len())).await);
                begun.store(true, Ordering::Relaxed);
                let token = server.operator_token().await;
                server.revoked(&token).await;
            }
            written
        })
    };
    eventually("others write", async || begun.load(Ordering::Relaxed)).await;
    let copy = host.path("copy.db");
    let outcome = tokio::task::block_in_place(|| host.run(&["backup", copy.to_str().unwrap()]));
    done.store(true, Ordering::Relaxed);
    let during = writer.await.unwrap();
    println!("{} writes during the backup: {}", 2 * during.len(), outcome.done());
    let again = host.run(&["backup", copy.to_str().unwrap()]);
    again.failed("exists already");

    let node = Host::sqlite();
    fs::copy(&copy, node.path("mintage.db")).unwrap();
    // Without its master key the copy is of no use.
    let refused = node.run(&["serve"]);
    refused.failed("mintage.db.key is missing");
    assert!(!node.path("mintage.db.key").exists());
    fs::copy(host.path("mintage.db.key"), node.path("mintage.db.key")).unwrap();
    let fresh = node.start().await;
    assert_eq!(integrity(&node.path("mintage.db")), "ok");
    assert_eq!(fresh.kids().await, kids);
    assert!(fresh.is_active(&live).await);
    for token in &revoked {
        assert!(!fresh.is_active(token).await);
    }
    fresh.token(client.credentials()).await;
    // It is a store like any other.
    fresh.revoked(&live).await;
    assert!(!fresh.is_active(&live).await && server.is_active(&live).await);
    server.token(("operator", SECRET)).await;
}
