//! The master key: made once beside SQLite, asked for by PostgreSQL, and never guessed.

use std::{fs, os::unix::fs::PermissionsExt};

use super::host::Host;
use crate::support::postgres::Postgres;

const OTHER: &str = "YWJjZGVmZ2hpamFiY2RlZmdoaWphYmNkZWZnaGlqYWI=";

// V-71
#[tokio::test(flavor = "multi_thread")]
async fn beside_sqlite_a_master_key_is_made_once() {
    let host = Host::sqlite();
    let mut server = host.start().await;
    let file = host.path("mintage.db.key");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let key = fs::read_to_string(&file).unwrap();
    let stderr = server.stderr();
    assert!(stderr.contains("mintage.db.key") && stderr.contains("keep a copy of it"), "{stderr}");
    assert!(!stderr.contains(key.trim()) && !server.stdout().contains(key.trim()));
    let (kids, token) = (server.kids().await, server.operator_token().await);
    server.kill();

    let mut server = host.start().await;
    assert!(!server.stderr().contains("keep a copy of it"), "{}", server.stderr());
    assert_eq!((server.kids().await, fs::read_to_string(&file).unwrap()), (kids, key.clone()));
    assert!(server.is_active(&token).await);
    server.kill();

    // Another one opens nothing, and changes nothing.
    fs::write(&file, OTHER).unwrap();
    host.run(&["serve"]).failed("another master key");
    fs::write(&file, "too short").unwrap();
    host.run(&["serve"]).failed("openssl rand -base64 32");
    fs::write(&file, &key).unwrap();
    let mut server = host.start().await;
    assert!(server.is_active(&token).await);
    server.kill();

    // The new one seals, the old one still opens.
    fs::write(&file, format!("{OTHER}\n{key}")).unwrap();
    let server = host.start().await;
    assert!(server.is_active(&token).await);
    drop(server);
    host.run(&["key", "rewrap"]).done();
    fs::write(&file, OTHER).unwrap();
    let server = host.start().await;
    assert!(server.is_active(&token).await);
    drop(server);
    fs::write(&file, &key).unwrap();
    host.run(&["serve"]).failed("another master key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_key_from_the_environment_may_be_two() {
    let host = Host::sqlite().with("MINTAGE_MASTER_KEY", OTHER);
    let server = host.start().await;
    assert!(!host.path("mintage.db.key").exists());
    let token = server.operator_token().await;
    drop(server);
    let new = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let host = host.with("MINTAGE_MASTER_KEY", &format!("{new},{OTHER}"));
    let server = host.start().await;
    assert!(server.is_active(&token).await);
    drop(server);
    host.with("MINTAGE_MASTER_KEY", new).run(&["serve"]).failed("another master key");
}

// V-71
#[test]
fn postgresql_asks_for_a_master_key() {
    let host = Host::on(&Postgres::shared().new_database());
    for command in [&["serve"][..], &["export", "x.archive"], &["key", "list"]] {
        let outcome = host.run(command);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{outcome:?}");
        assert!(outcome.stderr.contains("needs a master key that all replicas share"), "{outcome:?}");
    }
}
