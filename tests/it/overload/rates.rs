//! Rates per client and per source address.

use std::time::Duration;

use super::{SECRET, ask, is_granted, is_own_fault};
use crate::support::{Auth, Issue, TestServer, WRONG, Wire, error, http::get};

const CLIENTS: &str = r#"
[[clients]]
client_id = "a"
client_secret = "mint_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
access_token_signing_alg = "ES256"

[[clients]]
client_id = "b"
client_secret = "mint_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
access_token_signing_alg = "ES256"
"#;

async fn limited(setting: &str, rate: &str) -> TestServer {
    TestServer::with_environment(CLIENTS, &[(setting, rate)]).await
}

// V-26: all operations together, and nobody but the client itself uses up what it may
#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_limited_once_it_is_known_who_asks() {
    let server = limited("MINTAGE_LIMITS_CLIENT_RATE", "6/10s").await;
    for wire in Wire::both(&server).await {
        for _ in 0..20 {
            let guess = wire.issue(&Auth::basic("a", WRONG), &Issue::default()).await;
            assert_eq!(error(guess), "invalid_client");
        }
        let auth = Auth::basic("a", SECRET);
        let token = ask(&wire, "a").await.unwrap()["access_token"].as_str().unwrap().to_owned();
        ask(&wire, "a").await.unwrap();
        for _ in 0..2 {
            wire.introspect(&auth, &token).await.unwrap();
            wire.revoke(&auth, "unknown", "").await.unwrap();
        }
        let refused = ask(&wire, "a").await;
        assert!(!is_granted(&refused) && is_own_fault(&refused), "{refused:?}");
        assert_eq!(error(wire.introspect(&auth, &token).await), "temporarily_unavailable");
        assert_eq!(error(wire.revoke(&auth, &token, "").await), "temporarily_unavailable");
        // Wrong credentials are no way to find out.
        let guess = wire.issue(&Auth::basic("a", WRONG), &Issue::default()).await;
        assert_eq!(error(guess), "invalid_client");
        assert!(is_granted(&ask(&wire, "b").await));

        let wait = refused.unwrap_err().retry_after.unwrap();
        assert!(wait <= 2, "{wait}");
        server.clock.advance(Duration::from_secs(wait));
        assert!(is_granted(&ask(&wire, "a").await));
        server.clock.advance(Duration::from_secs(10));
    }
    // Issue, Introspect and Revoke over both transports.
    assert_eq!(server.metric("mintage_requests_refused_total{reason=\"client_rate\"}"), 6);
    let limited = "{endpoint=\"introspect\",grant=\"\",outcome=\"limited\"}";
    assert_eq!(server.metric(&format!("mintage_requests_total{limited}")), 1);
}

// Health is asked about however much came from an address.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_limited_before_anything_is_read() {
    let server = limited("MINTAGE_LIMITS_SOURCE_RATE", "5/10s").await;
    for wire in Wire::both(&server).await {
        for _ in 0..5 {
            let guess = wire.issue(&Auth::basic("a", WRONG), &Issue::default()).await;
            assert_eq!(error(guess), "invalid_client");
        }
        for _ in 0..3 {
            let refused = ask(&wire, "a").await;
            assert!(!is_granted(&refused) && is_own_fault(&refused), "{refused:?}");
        }
        assert_eq!(get(&server, "/.well-known/jwks.json").await.status, 429);
        for path in ["/healthz", "/readyz"] {
            assert_eq!(get(&server, path).await.status, 200);
        }
        server.clock.advance(Duration::from_secs(2));
        assert!(is_granted(&ask(&wire, "a").await));
        assert!(!is_granted(&ask(&wire, "a").await));
        server.clock.advance(Duration::from_secs(10));
    }
    assert_eq!(server.overload.figures().source_limited, 10);
    assert_eq!(server.metric("mintage_requests_refused_total{reason=\"source_rate\"}"), 10);
    let unread = "{endpoint=\"unread\",grant=\"\",outcome=\"limited\"}";
    assert_eq!(server.metric(&format!("mintage_requests_total{unread}")), 10);
}

// Who turns a connection away for every request that is too many only makes it dearer.
#[tokio::test(flavor = "multi_thread")]
async fn the_connection_of_who_is_refused_stays_open_unless_more_is_on_its_way() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let server = limited("MINTAGE_LIMITS_SOURCE_RATE", "1/10s").await;
    let [wire, _] = Wire::both(&server).await;
    assert!(is_granted(&ask(&wire, "a").await));
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head = "POST /token HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n";
    for _ in 0..3 {
        stream.write_all(format!("{head}abcd").as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 429 "), "{answer}");
        assert!(answer.contains("\r\nretry-after: 10\r\n"), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
    }
    for more in ["ab", ""] {
        let expect = if more.is_empty() { "expect: 100-continue\r\n" } else { "" };
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let head = head.replace("host: x\r\n", &format!("host: x\r\n{expect}"));
        stream.write_all(format!("{head}{more}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
}
