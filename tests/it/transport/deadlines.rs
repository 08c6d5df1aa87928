//! No state of a connection is without an end (V-49, V-50, CHK-147, F-22).

use std::time::Duration;

use http::Request;
use mintage::serve::Limits;
use tokio::time::{Instant, sleep, timeout};

use super::{
    EMPTY_MESSAGE, Server, call, grpc_request, grpc_status, http2, http2_with, quick,
    raw::{self, PATIENCE, Raw},
    until,
};

// V-49
#[tokio::test]
async fn a_connection_that_never_tells_its_protocol_is_closed() {
    let server = Server::start(quick()).await;
    let started = Instant::now();
    let mut silent = Vec::new();
    for opening in ["", "P", "PRI * HTTP/2.0\r\n"] {
        for _ in 0..20 {
            let mut raw = Raw::connect(server.address).await;
            raw.send(opening).await;
            silent.push(raw);
        }
    }
    assert!(server.is_serving().await);
    for raw in &mut silent {
        assert_eq!(raw.until_closed().await.as_deref(), Some(&b""[..]));
    }
    assert!(started.elapsed() >= Duration::from_millis(250));
    assert!(server.is_serving().await);
}

// RFC 9293 §3.6: `nc -N` and socat close their direction after the request
#[tokio::test]
async fn who_sends_no_more_is_answered_and_who_has_left_is_noticed() {
    let server = Server::start(Limits { request: PATIENCE, http1_idle: PATIENCE, ..quick() }).await;
    let echo = "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc";
    let mut raws = Vec::new();
    for request in ["GET /hello HTTP/1.1\r\nhost: a\r\n\r\n", echo] {
        let mut raw = Raw::connect(server.address).await;
        raw.send(request).await;
        raw.send_no_more().await;
        raws.push(raw);
    }
    for raw in &mut raws {
        assert_eq!(raw.answer().await.unwrap().status, 200);
        assert_eq!(raw.until_closed().await.as_deref(), Some(&b""[..]));
    }

    let mut cut_short = Raw::connect(server.address).await;
    cut_short.send(&echo[..echo.len() - 1]).await;
    cut_short.send_no_more().await;
    let mut left = Raw::connect(server.address).await;
    left.send("GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await;
    server.has_begun(1).await;
    drop(left);
    assert!(cut_short.until_closed().await.is_some_and(|answer| !answer.starts_with(b"HTTP/1.1 200")));
    assert!(server.has_open("http1", 0).await);
}

// V-50
#[tokio::test]
async fn a_dripped_head_is_cut_off() {
    let server = Server::start(Limits { http1_idle: Duration::from_secs(60), ..quick() }).await;
    for start in ["G", "P", "GET /hello HTTP/1.1\r\nx: "] {
        let started = Instant::now();
        let mut raw = Raw::connect(server.address).await;
        raw.send(start).await;
        assert!(raw.drip(b'x', Duration::from_millis(50)).await, "{start:?} is still open");
        assert!(started.elapsed() >= Duration::from_millis(250));
    }
    assert!(server.has_open("http1", 0).await);
}

// V-50
#[tokio::test]
async fn a_dripped_head_on_a_kept_alive_connection_is_cut_off() {
    let server = Server::start(Limits { http1_idle: Duration::from_secs(60), ..quick() }).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send("GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.unwrap().status, 200);
    assert!(raw.drip(b'x', Duration::from_millis(50)).await);
}

// V-50: a head that came with the request before it has begun as well
#[tokio::test]
async fn a_head_behind_a_request_is_cut_off() {
    let server = Server::start(Limits { http1_idle: Duration::from_secs(60), ..quick() }).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send("GET /hello HTTP/1.1\r\nhost: a\r\n\r\nGE").await;
    assert_eq!(raw.answer().await.unwrap().status, 200);
    assert!(server.has_open("http1", 0).await);
}

#[tokio::test]
async fn idling_longer_than_a_head_may_take_is_allowed_and_ends_too() {
    let server = Server::start(Limits { http1_idle: Duration::from_secs(5), ..quick() }).await;
    let mut raw = Raw::connect(server.address).await;
    for _ in 0..2 {
        raw.send("GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(raw.answer().await.unwrap().status, 200);
        sleep(quick().header * 2).await;
    }
    assert_eq!(raw.until_closed().await.as_deref(), Some(&b""[..]));
}

#[tokio::test]
async fn an_idle_http2_connection_ends() {
    let server = Server::start(quick()).await;
    let client = http2(server.address).await;
    let hello = Request::get("http://localhost/hello").body(()).unwrap();
    assert_eq!(call(&client, hello, b"").await.unwrap().body(), "hello");
    assert!(server.has_open("http2", 0).await);
}

#[tokio::test]
async fn a_dead_http2_peer_is_found_out_by_pings() {
    let pings = Limits {
        ping_interval: Duration::from_millis(200),
        ping_timeout: Duration::from_millis(200),
        http2_idle: Duration::from_secs(60),
        ..quick()
    };
    let server = Server::start(pings).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    raw.send(raw::frame(4, 0, 0, &[])).await;
    assert!(raw.until_closed().await.is_some());
}

// V-50
#[tokio::test]
async fn a_dripped_body_gets_408() {
    let server = Server::start(quick()).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n").await;
    assert!(raw.drip(b'x', Duration::from_millis(50)).await);
    let answer = raw.answer().await.unwrap();
    assert_eq!(answer.status, 408);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(answer.body.starts_with(r#"{"error":"request_timeout","#), "{answer:?}");
}

// V-50
#[tokio::test]
async fn a_dripped_grpc_body_is_deadline_exceeded() {
    let server = Server::start(quick()).await;
    let client = http2(server.address).await;
    let mut client = client.ready().await.unwrap();
    let request = grpc_request("/grpc.health.v1.Health/Check").body(()).unwrap();
    let (response, mut body) = client.send_request(request, false).unwrap();
    body.send_data(EMPTY_MESSAGE[..2].into(), false).unwrap();
    let response = timeout(PATIENCE, response).await.unwrap().unwrap();
    assert_eq!(grpc_status(response.headers()), Some("4"));
}

// CHK-147
#[tokio::test]
async fn a_callers_own_deadline_is_honoured() {
    let server = Server::start(Limits { request: Duration::from_secs(60), ..quick() }).await;
    let client = http2(server.address).await;
    let request = grpc_request("/test.Service/Never").header("grpc-timeout", "1m").body(()).unwrap();
    let answer = timeout(PATIENCE, call(&client, request, EMPTY_MESSAGE)).await.unwrap().unwrap();
    assert_eq!((answer.status().as_u16(), grpc_status(answer.headers())), (200, Some("4")));

    // A cancelled call leaves the connection in order.
    let mut sender = client.clone().ready().await.unwrap();
    let request = grpc_request("/test.Service/Never").body(()).unwrap();
    let (response, mut body) = sender.send_request(request, false).unwrap();
    body.send_reset(h2::Reason::CANCEL);
    assert!(response.await.is_err());
    let request = grpc_request("/grpc.health.v1.Health/Check").body(()).unwrap();
    assert_eq!(grpc_status(call(&client, request, EMPTY_MESSAGE).await.unwrap().headers()), Some("0"));
    let cancelled = r#"mintage_requests_total{endpoint="other",grant="",outcome="cancelled"}"#;
    timeout(PATIENCE, until(|| server.metric(cancelled) == 1)).await.expect("it is counted");
}

// F-22
#[tokio::test]
async fn a_peer_that_does_not_read_its_socket_is_dropped() {
    let server = Server::start(Limits { http1_idle: Duration::from_secs(60), ..quick() }).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send("GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;
    server.has_begun(1).await;
    assert!(server.has_open("http1", 0).await);
}

// F-22
#[tokio::test]
async fn a_peer_that_grants_no_window_is_dropped() {
    // With no window at all the body is never asked for: a stall. With some, h2 takes over the whole of a small body
    // and our side is done with the request: then it is idleness that ends the connection.
    for (window, http2_idle) in [(0, Duration::from_secs(60)), (1000, quick().http2_idle)] {
        let server = Server::start(Limits { http2_idle, ..quick() }).await;
        let client = http2_with(server.address, h2::client::Builder::new().initial_window_size(window)).await;
        let request = grpc_request("/test.Service/Large").body(()).unwrap();
        let (response, _body) = client.clone().send_request(request, true).unwrap();
        let _response = response.await.unwrap();
        assert!(server.has_open("http2", 0).await, "window {window}");
    }
}

#[tokio::test]
async fn an_old_connection_is_asked_to_end() {
    let server = Server::start(Limits {
        age: Duration::from_secs(2),
        http1_idle: PATIENCE,
        http2_idle: PATIENCE,
        ..quick()
    })
    .await;
    let mut raw = Raw::connect(server.address).await;
    let client = http2(server.address).await;
    let hello = || Request::get("http://localhost/hello").body(()).unwrap();
    assert_eq!(call(&client, hello(), b"").await.unwrap().body(), "hello");
    raw.send("GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.unwrap().status, 200);
    let started = Instant::now();
    assert!(server.has_open("http2", 0).await);
    assert!(started.elapsed() < PATIENCE / 2, "age, not idleness, ended it");
    assert!(call(&client, hello(), b"").await.is_err());
    // HTTP/1 has no way to say so but with an answer: a request that is on its way meanwhile is never cut off.
    let mut answers = 0;
    loop {
        raw.send("GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let answer = raw.answer().await.expect("every request is answered");
        assert_eq!(answer.status, 200);
        answers += 1;
        if answer.header("connection") == Some("close") {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(answers, 1, "it has rested beyond its age");
    assert_eq!(raw.until_closed().await.as_deref(), Some(&b""[..]));
}

// F-25 ran into it after an hour
#[tokio::test]
async fn a_busy_connection_ends_with_an_answer() {
    let limits = Limits { age: Duration::from_millis(500), http1_idle: PATIENCE, ..quick() };
    let server = Server::start(limits).await;
    for _ in 0..3 {
        let mut raw = Raw::connect(server.address).await;
        loop {
            raw.send("GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
            let answer = raw.answer().await.expect("every request is answered");
            if answer.header("connection") == Some("close") {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(raw.until_closed().await.as_deref(), Some(&b""[..]));
    }
}
