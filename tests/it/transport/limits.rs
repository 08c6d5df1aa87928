//! What a peer may use up (V-55).

use std::time::Duration;

use http::Request;
use mintage::serve::Limits;
use tokio::time::timeout;

use super::{
    EMPTY_MESSAGE, Server, call, grpc_request, http2, quick,
    raw::{self, PATIENCE, Raw},
};

// V-55
#[tokio::test]
async fn a_head_beyond_16_kib_is_refused() {
    let server = Server::start(quick()).await;
    let long = format!("GET /hello HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(17 * 1024));
    assert_eq!(raw::request(server.address, long).await.unwrap().status, 431);
    let many = format!("GET /hello HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(5000));
    let refused = raw::request(server.address, many).await;
    assert!(refused.is_none_or(|answer| answer.status == 431));
    let fits = format!("GET /hello HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(15 * 1024));
    assert_eq!(raw::request(server.address, fits).await.unwrap().status, 200);
}

// V-55
#[tokio::test]
async fn http2_metadata_beyond_16_kib_is_refused() {
    let server = Server::start(quick()).await;
    let client = http2(server.address).await;
    let with =
        |bytes| Request::get("http://localhost/hello").header("x", "y".repeat(bytes)).body(()).unwrap();
    let long = call(&client, with(17 * 1024), b"").await;
    assert!(long.is_err() || long.is_ok_and(|answer| answer.status() == 431));
    let client = http2(server.address).await;
    assert_eq!(call(&client, with(15 * 1024), b"").await.unwrap().status(), 200);
    assert!(server.is_serving().await);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let server = Server::start(Limits { max_connections: 1, request: PATIENCE, ..quick() }).await;
    let mut first = Raw::connect(server.address).await;
    first.send("GET /held HTTP/1.1\r\nhost: a\r\n\r\n").await;
    server.has_begun(1).await;

    let mut second = Raw::connect(server.address).await;
    second.send("GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(timeout(Duration::from_millis(200), second.answer()).await.is_err());
    assert_eq!(server.metric("mintage_connections_accepted_total"), 1);
    // With its request done, the first is idle and makes room.
    server.held.end.notify_waiters();
    assert_eq!(first.answer().await.unwrap().status, 200);
    assert_eq!(second.answer().await.unwrap().status, 200);
    assert!(first.until_closed().await.is_some());
}

// V-57
#[tokio::test]
async fn resets_before_and_after_accept_end_nothing() {
    let server = Server::start(quick()).await;
    for round in 0..200 {
        let mut raw = Raw::connect(server.address).await;
        if round % 2 == 0 {
            raw.send("GET /he").await;
        }
        raw.stream.set_zero_linger().unwrap();
    }
    assert!(server.is_serving().await);
}

// F-26: nobody keeps others out by what is in progress for ever
#[tokio::test]
async fn a_stream_makes_room_in_the_end() {
    let server = Server::start(Limits { max_connections: 1, ..quick() }).await;
    let client = http2(server.address).await;
    let watch = grpc_request("/grpc.health.v1.Health/Watch").body(()).unwrap();
    let (response, mut body) = client.clone().send_request(watch, false).unwrap();
    body.send_data(EMPTY_MESSAGE.into(), true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    let mut raw = Raw::connect(server.address).await;
    raw.send("GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.unwrap().status, 200);
    drop(response);
}

// V-57: bytes of TLS on a port without it
#[tokio::test]
async fn garbage_ends_only_its_own_connection() {
    let server = Server::start(quick()).await;
    for garbage in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"\0\0\0\0", b"\r\n\r\n\r\n \r\n"] {
        let mut raw = Raw::connect(server.address).await;
        raw.send(garbage).await;
        assert!(raw.until_closed().await.is_some());
    }
    assert!(server.is_serving().await);
}

// One thread serves and asks here, so that turns can be counted by what another has in them.
#[tokio::test]
async fn who_pipelines_has_few_answers_in_a_turn() {
    const MANY: usize = 320;
    let server = Server::start(quick()).await;
    let (mut many, mut one) = (Raw::connect(server.address).await, Raw::connect(server.address).await);
    let get = "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n";
    many.send(get.repeat(MANY)).await;
    let reading = tokio::spawn(async move {
        for _ in 0..MANY {
            assert_eq!(many.answer().await.unwrap().status, 200);
        }
    });
    let mut meanwhile = 0;
    while !reading.is_finished() {
        one.send(get).await;
        assert_eq!(one.answer().await.unwrap().status, 200);
        meanwhile += 1;
    }
    reading.await.unwrap();
    println!("{meanwhile} answers to another beside {MANY}");
    assert!(meanwhile >= 10, "{meanwhile}");
}
