//! The end: what has begun is finished, nothing new begins (F-27).

use std::time::Duration;

use http::Request;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{
    EMPTY_MESSAGE, Server, call, grpc_request, http2, quick,
    raw::{PATIENCE, Raw},
};

// F-27
#[tokio::test]
async fn requests_in_flight_are_finished() {
    let limits = mintage::serve::Limits {
        first_byte: PATIENCE,
        request: PATIENCE,
        http1_idle: PATIENCE,
        http2_idle: PATIENCE,
        drain: PATIENCE,
        ..quick()
    };
    let server = Server::start(limits).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send("GET /held HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let client = http2(server.address).await;
    let slow = Request::get("http://localhost/held").body(()).unwrap();
    let slow = tokio::spawn({
        let client = client.clone();
        async move { call(&client, slow, b"").await }
    });
    let mut idle = Raw::connect(server.address).await;
    idle.send("GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(idle.answer().await.unwrap().status, 200);
    let _silent = Raw::connect(server.address).await;
    server.has_begun(2).await;

    let started = Instant::now();
    assert!(!server.shutdown.is_draining());
    server.shutdown.drain();
    assert!(server.shutdown.is_draining());
    assert_eq!(idle.until_closed().await.as_deref(), Some(&b""[..]));
    server.held.end.notify_waiters();
    let answer = raw.answer().await.unwrap();
    assert_eq!((answer.body.as_str(), answer.header("connection")), ("held", Some("close")));
    assert_eq!(slow.await.unwrap().unwrap().body(), "held");
    assert_eq!(timeout(PATIENCE, server.task).await.unwrap().unwrap(), 0);
    assert!(started.elapsed() < PATIENCE / 2, "nothing was left to wait for");
    assert!(TcpStream::connect(server.address).await.is_err());
    assert!(call(&client, Request::get("http://localhost/hello").body(()).unwrap(), b"").await.is_err());
}

// F-27: stuck peers do not hold the process
#[tokio::test]
async fn stuck_peers_are_dropped_when_the_time_is_up() {
    let limits = mintage::serve::Limits {
        request: Duration::from_secs(60),
        write_stall: Duration::from_secs(60),
        drain: Duration::from_millis(500),
        ..quick()
    };
    let server = Server::start(limits).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send("GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let client = http2(server.address).await;
    let stuck = tokio::spawn(async move {
        call(&client, grpc_request("/test.Service/Never").body(()).unwrap(), EMPTY_MESSAGE).await
    });
    server.has_begun(2).await;
    server.shutdown.drain();
    let dropped = timeout(PATIENCE, server.task).await.unwrap().unwrap();
    assert_eq!(dropped, 2);
    assert!(raw.answer().await.is_none());
    assert!(timeout(PATIENCE, stuck).await.unwrap().unwrap().is_err());
}

// F-27: the second signal
#[tokio::test]
async fn force_waits_for_nobody() {
    let limits = mintage::serve::Limits {
        request: Duration::from_secs(60),
        drain: Duration::from_secs(60),
        ..quick()
    };
    let server = Server::start(limits).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send("GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await;
    server.has_begun(1).await;
    server.shutdown.drain();
    sleep(Duration::from_millis(50)).await;
    assert!(!server.task.is_finished());
    server.shutdown.force();
    assert_eq!(timeout(PATIENCE, server.task).await.unwrap().unwrap(), 1);
}
