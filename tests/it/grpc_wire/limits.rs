//! Metadata beyond the bound (V-55), and many calls on one connection.

use mintage::grpc::pb::token as pb;
use prost::Message;

use crate::support::{
    TestServer,
    auth::{basic, secret_of},
    raw_grpc::{Connection, ISSUE, framed},
};

// V-55
#[tokio::test(flavor = "multi_thread")]
async fn metadata_beyond_16_kib_is_refused() {
    let server = TestServer::start().await;
    let authorization = basic("rs256", &secret_of("rs256"));
    let issue = framed(&pb::IssueRequest::default());
    let long = "a".repeat(17 * 1024);
    let names: Vec<String> = (0..5000).map(|n| format!("x-{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
    let bomb: Vec<(&str, &str)> =
        vec![("x-same", "the same value, which costs one byte from the second time on"); 2000];
    for (name, more) in
        [("one long value", vec![("x-long", long.as_str())]), ("5,000 names", many), ("an HPACK bomb", bomb)]
    {
        let connection = Connection::open(&server).await;
        let headers = [&[("authorization", authorization.as_str())][..], &more].concat();
        match connection.call(ISSUE, &headers, issue.clone()).await {
            Ok(answer) => {
                assert_eq!(answer.http_status, 431, "{name}");
                assert!(answer.body.is_empty(), "{name}");
            }
            Err(error) => assert!(error.is_reset() || error.is_go_away() || error.is_io(), "{name}: {error}"),
        }
    }
    let almost = "a".repeat(12 * 1024);
    let connection = Connection::open(&server).await;
    let headers = [("authorization", authorization.as_str()), ("x-long", &almost)];
    assert_eq!(connection.call(ISSUE, &headers, issue).await.unwrap().grpc_status, Some(0));
}

// V-11, CHK-30: calls that share a connection share nothing else; first logins that come together cost one hash, not one
// each, and none of them is shed
#[tokio::test(flavor = "multi_thread")]
async fn calls_on_one_connection_keep_apart() {
    let server = TestServer::start().await;
    let connection = std::sync::Arc::new(Connection::open(&server).await);
    let clients = ["es256", "hs256", "eddsa", "es384"];
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..120 {
        let (connection, client) = (connection.clone(), clients[n % clients.len()]);
        calls.spawn(async move {
            let authorization = basic(client, &secret_of(client));
            let issue = framed(&pb::IssueRequest::default());
            let answer = connection.call(ISSUE, &[("authorization", &authorization)], issue).await.unwrap();
            let response = pb::IssueResponse::decode(&answer.body[5..]).unwrap();
            assert_eq!(crate::support::forge::part(&response.access_token, 1)["client_id"], client);
            response.token_id
        });
    }
    let ids = calls.join_all().await;
    assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 120);
}
