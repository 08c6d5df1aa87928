//! A disk without room: the limit of a file's size, and the limit of the database's own.

use std::{fs, time::Duration};

use super::host::{Host, SECRET, Server, integrity};

/// Revokes new tokens until the server cannot; the tokens whose revocation it acknowledged.
async fn revoke_until_full(server: &Server) -> Vec<String> {
    let mut revoked = Vec::new();
    for _ in 0..20_000 {
        let token = server.operator_token().await;
        let answer = server.revoke(&token).await.expect("an answer");
        if answer.status == 200 {
            revoked.push(token);
            continue;
        }
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
        assert_eq!(answer.json()["error"], "temporarily_unavailable");
        // A disk that is busy is not full: then it is done when it is asked for again.
        let mut refused = 1;
        while refused < 10 && server.revoke(&token).await.expect("an answer").status == 503 {
            refused += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if refused < 10 {
            revoked.push(token);
            continue;
        }
        // Not acknowledged, and not half done.
        assert!(server.is_active(&token).await);
        return revoked;
    }
    panic!("the disk is not full");
}

/// Nothing is written, and everything else goes on.
async fn reads_go_on(server: &Server, admin_token: &str, revoked: &[String]) {
    let mut admin = server.admin(admin_token).await;
    let status = admin.create("too-much").await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
    assert_eq!(server.issue(("operator", SECRET)).await.unwrap().status, 200);
    assert!(server.is_active(admin_token).await);
    for token in revoked.iter().rev().take(20) {
        assert!(!server.is_active(token).await);
    }
    assert_eq!(server.get("/healthz").await.unwrap().status, 200);
}

async fn works_again(server: &Server, admin_token: &str, revoked: &[String], client_id: &str) {
    for token in revoked {
        assert!(!server.is_active(token).await);
    }
    let client = server.admin(admin_token).await.created(client_id).await;
    let token = server.token(client.credentials()).await;
    server.revoked_by(client.credentials(), &token).await;
    assert!(!server.is_active(&token).await);
}

// F-7
#[tokio::test(flavor = "multi_thread")]
async fn without_room_nothing_is_acknowledged() {
    let host = Host::sqlite();
    // The signal would end the process; the error is what a full disk gives.
    let mut server = host.start_through("trap '' XFSZ; exec \"$@\"").await;
    let admin_token = server.operator_token().await;
    let mut revoked = Vec::new();
    for round in 0..3 {
        let log = fs::metadata(host.path("mintage.db-wal")).unwrap().len();
        server.limit_files(Some(log + 100_000));
        let acknowledged = revoke_until_full(&server).await;
        println!("round {round}: full after {} revocations", acknowledged.len());
        revoked.extend(acknowledged);
        reads_go_on(&server, &admin_token, &revoked).await;
        server.limit_files(None);
        works_again(&server, &admin_token, &revoked, &format!("enough-room-{round}")).await;
    }

    // It ends while there is none, as a host that is restarted does.
    let log = fs::metadata(host.path("mintage.db-wal")).unwrap().len();
    server.limit_files(Some(log + 100_000));
    revoked.extend(revoke_until_full(&server).await);
    server.kill();
    let server = host.start().await;
    assert_eq!(integrity(&host.path("mintage.db")), "ok");
    works_again(&server, &admin_token, &revoked, "after-all").await;
    assert_eq!(integrity(&host.path("mintage.db")), "ok");
}

// F-7
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_without_room_says_so() {
    let host = Host::sqlite();
    let outcome = host.run_through("trap '' XFSZ; ulimit -f 8; exec \"$@\"", &["serve"]);
    println!("{}", outcome.stderr);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.lines().last().unwrap().starts_with("error: "), "{}", outcome.stderr);
    let server = host.start().await;
    let token = server.operator_token().await;
    works_again(&server, &token, &[], "room").await;
}
