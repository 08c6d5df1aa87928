//! The server as a process: its banner, its signals, its end.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    process::{Process, SERVICE as TOML},
    raw,
};

const CONTINUE: &[u8; 25] = b"HTTP/1.1 100 Continue\r\n\r\n";

async fn token(server: &Process, client_id: &str) -> u16 {
    let body = format!("grant_type=client_credentials&client_id={client_id}&client_secret=secret");
    let request = reqwest::Client::new().post(format!("http://{}/token", server.address));
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
    request.send().await.unwrap().status().as_u16()
}

/// Sends the head of a token request, and half of its body when the server has begun with it (RFC 9110 §10.1.1).
async fn half_a_request(server: &Process) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /token HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 77\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; CONTINUE.len()];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, *CONTINUE);
    stream.write_all(b"grant_type=client_credentials&").await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn the_banner_names_address_issuer_and_store() {
    let server = Process::start(TOML).await;
    let stdout = server.stdout();
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    for part in [
        format!("http://{}", server.address),
        format!("http://{}", server.ops),
        "store sqlite::memory:".to_owned(),
    ] {
        assert!(stdout.contains(&part), "{stdout}");
    }
    assert!(server.stderr().contains("do not outlive this process"), "{}", server.stderr());
}

// F-27
#[tokio::test(flavor = "multi_thread")]
async fn the_first_signal_drains_and_finishes_what_has_begun() {
    for signal in ["TERM", "INT"] {
        let mut server = Process::start(TOML).await;
        let mut stream = half_a_request(&server).await;
        server.signal(signal);
        let refused = server.eventually(async |this| TcpStream::connect(this.address).await.is_err());
        assert!(refused.await, "new connections are refused");
        assert_eq!(server.get(server.ops, "/readyz").await, Some(503), "who watches sees it to the end");
        stream.write_all(b"client_id=service&client_secret=secret&padding=").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert_eq!(server.ended().await.code(), Some(0), "{}", server.stderr());
    }
}

/// A server that goes on for so long once it was told to end.
async fn leaving_after(delay: &str) -> Process {
    let mut server = Process::spawn(TOML, "exec \"$@\"", &[("MINTAGE_LIMITS_SHUTDOWN_DELAY", delay)]);
    server.ready().await;
    server
}

// F-27, F-28: a balancer that asks sees it leave before a connection is refused
#[tokio::test(flavor = "multi_thread")]
async fn readiness_goes_off_some_time_before_the_listener() {
    let mut server = leaving_after("5m").await;
    server.signal("TERM");
    for address in [server.address, server.ops] {
        assert!(server.eventually(async |this| this.get(address, "/readyz").await == Some(503)).await);
    }
    let answer = raw::request(server.address, "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(token(&server, "service").await, 200);
    server.signal("TERM");
    assert_eq!(server.ended().await.code(), Some(0));

    let mut server = leaving_after("1s").await;
    server.signal("TERM");
    assert!(server.eventually(async |this| this.get(this.address, "/readyz").await == Some(503)).await);
    assert_eq!(server.ended().await.code(), Some(0));
}

// F-27
#[tokio::test(flavor = "multi_thread")]
async fn the_second_signal_forces_the_end() {
    let mut server = Process::start(TOML).await;
    let _stream = half_a_request(&server).await;
    server.signal("TERM");
    server.says("draining").await;
    server.signal("TERM");
    assert_eq!(server.ended().await.code(), Some(0));
    assert!(server.stderr().contains("ending at once"), "{}", server.stderr());
}

// F-30, V-25
#[tokio::test(flavor = "multi_thread")]
async fn hangup_reloads_the_clients_or_keeps_the_old_ones() {
    let mut server = Process::start(TOML).await;
    assert_eq!(token(&server, "service").await, 200);

    std::fs::write(&server.config, TOML.replace("client_secret =", "client_secert =")).unwrap();
    server.signal("HUP");
    server.says("the old clients stay in use").await;
    assert!(server.stderr().contains("client_secert"), "{}", server.stderr());
    assert_eq!(token(&server, "service").await, 200);

    std::fs::write(&server.config, TOML.replace("\"service\"", "\"successor\"")).unwrap();
    server.signal("HUP");
    server.says("were reloaded").await;
    assert_eq!(token(&server, "service").await, 400);
    assert_eq!(token(&server, "successor").await, 200);

    std::fs::write(&server.config, TOML.replace("HS256", "ES384")).unwrap();
    server.signal("HUP");
    assert!(server.eventually(async |this| token(this, "service").await == 200).await, "{}", server.stderr());
}

// V-64
#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_health_are_on_the_ops_listener_and_no_tokens() {
    let server = Process::start(TOML).await;
    assert_eq!(token(&server, "service").await, 200);
    let metrics = reqwest::get(format!("http://{}/metrics", server.ops)).await.unwrap().text().await.unwrap();
    for line in [
        "mintage_tokens_issued_total{alg=\"HS256\"} 1",
        "mintage_requests_total{endpoint=\"token\",grant=\"client_credentials\",outcome=\"ok\"} 1",
        "mintage_build_info{version=",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    assert_eq!(server.get(server.ops, "/healthz").await, Some(200));
    assert_eq!(server.get(server.ops, "/token").await, Some(404));
    assert_eq!(server.get(server.address, "/metrics").await, Some(404));
}
