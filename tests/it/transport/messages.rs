//! Messages of two minds: framing, smuggling, protocol confusion (V-63, RFC 9112 §6).

use std::time::Duration;

use super::{
    Server, quick,
    raw::{self, Raw},
};

/// A second request that must never be answered.
const SMUGGLED: &str = "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n";

/// How many responses come back for `bytes`, and the status of the first.
async fn answers(server: &Server, bytes: String) -> (usize, Option<u16>) {
    let mut raw = Raw::connect(server.address).await;
    raw.send(bytes).await;
    let all = String::from_utf8_lossy(&raw.until_closed().await.unwrap()).into_owned();
    (all.matches("HTTP/1.1 ").count(), all.get(9..12).and_then(|status| status.parse().ok()))
}

// V-63
#[tokio::test]
async fn chunked_with_a_length_smuggles_nothing() {
    let server = Server::start(quick()).await;
    for fields in [
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "content-length: 40\r\ntransfer-encoding: chunked\r\n",
    ] {
        let request = format!("POST /echo HTTP/1.1\r\nhost: a\r\n{fields}\r\n0\r\n\r\n{SMUGGLED}");
        let (count, status) = answers(&server, request).await;
        assert_eq!((count, status), (1, Some(400)), "{fields}");

        // What wakes a connection that has rested is a part of the head.
        let mut rested = Raw::connect(server.address).await;
        rested.send(SMUGGLED).await;
        assert_eq!(rested.answer().await.unwrap().status, 200);
        tokio::time::sleep(Duration::from_millis(400)).await;
        rested.send(format!("POST /echo HTTP/1.1\r\nhost: a\r\n{fields}\r\n0\r\n\r\n{SMUGGLED}")).await;
        assert_eq!(rested.answer().await.unwrap().status, 400, "{fields}");
    }
    // Pipelined behind another, such a request escapes the scan; it is still the last of its connection.
    let request = format!(
        "{SMUGGLED}POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n\
         0\r\n\r\n{SMUGGLED}"
    );
    assert_eq!(answers(&server, request).await.0, 2);
}

// V-63
#[tokio::test]
async fn a_chunked_request_is_the_last_of_its_connection() {
    let server = Server::start(quick()).await;
    let chunked = "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let answer = raw::request(server.address, chunked).await.unwrap();
    assert_eq!(
        (answer.status, answer.body.as_str(), answer.header("connection")),
        (200, "abc", Some("close"))
    );
}

// V-63
#[tokio::test]
async fn ambiguous_lengths_are_refused() {
    let server = Server::start(quick()).await;
    for fields in [
        "content-length: 3\r\ncontent-length: 4\r\n",
        "content-length: 3\r\ncontent-length: 3\r\n",
        "content-length: 3, 4\r\n",
        "content-length: +3\r\n",
        "content-length: 0x3\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "content-length : 3\r\n",
        "content-length: 3\r\n folded: x\r\n",
    ] {
        let request = format!("POST /echo HTTP/1.1\r\nhost: a\r\n{fields}\r\nabc{SMUGGLED}");
        assert_eq!(answers(&server, request).await, (1, Some(400)), "{fields}");
    }
}

// V-63: RFC 9112 §6.1
#[tokio::test]
async fn a_body_that_is_coded_as_well_as_chunked_is_not_taken_for_one_that_is_not() {
    let server = Server::start(quick()).await;
    for fields in [
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    ] {
        let request = format!("POST /echo HTTP/1.1\r\nhost: a\r\n{fields}\r\n3\r\nabc\r\n0\r\n\r\n");
        assert_eq!(answers(&server, request).await, (1, Some(501)), "{fields}");
    }
    let chunked =
        "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked \r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(answers(&server, chunked.to_owned()).await, (1, Some(200)));
}

// V-63
#[tokio::test]
async fn grpc_over_http1_is_refused() {
    let server = Server::start(quick()).await;
    for path in ["/grpc.health.v1.Health/Check", "/echo"] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0"
        );
        let answer = raw::request(server.address, request).await.unwrap();
        assert_eq!(answer.status, 505);
        assert!(answer.body.starts_with(r#"{"error":"http_version_not_supported","#), "{answer:?}");
    }
}

// V-63: what Java's HttpClient sends first
#[tokio::test]
async fn an_upgrade_to_h2c_is_ignored() {
    let server = Server::start(quick()).await;
    let mut raw = Raw::connect(server.address).await;
    for _ in 0..2 {
        raw.send(
            "GET /hello HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n\
             http2-settings: AAEAAEAAAAIAAAAA\r\n\r\n",
        )
        .await;
        let answer = raw.answer().await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
    }
}

// RFC 9112 §3.2
#[tokio::test]
async fn an_http_1_1_request_has_exactly_one_host() {
    let server = Server::start(quick()).await;
    for (hosts, status) in [("", 400), ("host: a\r\nhost: a\r\n", 400), ("host: a\r\n", 200)] {
        let request = format!("GET /hello HTTP/1.1\r\n{hosts}\r\n");
        assert_eq!(raw::request(server.address, request).await.unwrap().status, status, "{hosts:?}");
    }
    let old = raw::request(server.address, "GET /hello HTTP/1.0\r\n\r\n").await.unwrap();
    assert_eq!(old.status, 200);
}
