//! F-29: certificates are replaced while requests go on; what is of no use leaves the old one in use and raises an alarm.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use http_body_util::{BodyExt, Full};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use mintage::serve::tls::ClientAuth;
use rustls::ClientConfig;

use crate::support::{
    TestServer,
    patience::eventually,
    tls::{self, Pair, TestCa},
};

/// Replaces a file of the server in one step.
fn put(server: &TestServer, name: &str, text: &str) {
    let fresh = server.directory().join("fresh");
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, server.directory().join(name)).unwrap();
}

/// Puts a pair where the server looks, one file after the other.
fn replace(server: &TestServer, pair: &Pair) {
    put(server, "cert.pem", &pair.certificates);
    put(server, "key.pem", &pair.key);
}

/// The leaf the server shows now to a caller with this certificate.
async fn shown(server: &TestServer, ca: &TestCa, client: &Pair) -> Vec<u8> {
    let stream = tls::connect(server.address, &caller(ca, client)).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

async fn shows(server: &TestServer, ca: &TestCa, client: &Pair, pair: &Pair) {
    eventually("the new certificate", async || shown(server, ca, client).await == pair.leaf()).await;
}

async fn reports(server: &TestServer, metric: &str, value: u64) {
    eventually(metric, async || server.metric(metric) == value).await;
}

const STALE: &str = "mintage_file_stale{file=\"tls\"}";
const FAILED: &str = "mintage_file_reloads_total{file=\"tls\",outcome=\"failed\"}";

/// A client that proves itself by a certificate of the authority in `ca.pem`.
const MTLS: &str = r#"
[[clients]]
client_id = "mtls"
token_endpoint_auth_method = "tls_client_auth"
tls_client_auth_san_dns = "mtls.example"
access_token_signing_alg = "ES256"
"#;

fn certificate(ca: &TestCa) -> Pair {
    ca.client("mtls", &[tls::San::dns("mtls.example")])
}

/// One connection, on which requests for tokens are made until it ends.
struct Connection(http1::SendRequest<Full<Bytes>>, rustls::HandshakeKind);

impl Connection {
    async fn open(server: &TestServer, config: &Arc<ClientConfig>) -> Self {
        let stream = tls::connect(server.address, config).await.expect("every handshake succeeds");
        let kind = stream.get_ref().1.handshake_kind().unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender, kind)
    }

    /// The status and the text of an answer.
    async fn token(&mut self) -> (u16, String) {
        let body = Full::from("grant_type=client_credentials&client_id=mtls");
        let request = http::Request::post("/token")
            .header("host", "localhost")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .unwrap();
        let answer = self.0.send_request(request).await.expect("no request is lost");
        let status = answer.status().as_u16();
        let text = answer.into_body().collect().await.expect("no answer is cut short").to_bytes();
        (status, String::from_utf8(text.to_vec()).unwrap())
    }
}

fn caller(ca: &TestCa, client: &Pair) -> Arc<ClientConfig> {
    Arc::new(tls::client_config(ca, Some(client), &["http/1.1"]))
}

// F-29
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_certificates_and_authorities_under_load_lose_no_request() {
    let ca = Arc::new(TestCa::new());
    let server = Arc::new(TestServer::with_tls(MTLS, &ca, ClientAuth::Required).await);
    let (done, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let client = certificate(&ca);
    let mut tasks = tokio::task::JoinSet::new();
    // Connections that are kept, and connections that are made anew each time: resumed and from nothing.
    for (is_kept, resumes) in [(true, false), (true, false), (false, true), (false, false)] {
        let (server, ca, client) = (Arc::clone(&server), Arc::clone(&ca), client.clone());
        let (done, asked) = (Arc::clone(&done), Arc::clone(&asked));
        tasks.spawn(async move {
            let mut config = caller(&ca, &client);
            let mut connection = Connection::open(&server, &config).await;
            while !done.load(Ordering::SeqCst) {
                if !is_kept {
                    if !resumes {
                        config = caller(&ca, &client);
                    }
                    connection = Connection::open(&server, &config).await;
                }
                let (status, text) = connection.token().await;
                assert_eq!(status, 200, "{text}");
                asked.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    for round in 1..=100 {
        let pair = ca.server();
        replace(&server, &pair);
        put(&server, "ca.pem", &format!("{}{}", TestCa::new().pem(), ca.pem()));
        shows(&server, &ca, &client, &pair).await;
        reports(&server, "mintage_file_reloads_total{file=\"client_ca\",outcome=\"ok\"}", round).await;
    }
    done.store(true, Ordering::SeqCst);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert!(asked.load(Ordering::SeqCst) >= 100, "{asked:?}");
    assert_eq!(server.metric("mintage_file_reloads_total{file=\"tls\",outcome=\"ok\"}"), 100);
    assert_eq!(server.metric("mintage_tls_handshakes_total{outcome=\"failed\"}"), 0);
}

// F-29: trust is decided at every request, so neither a kept connection nor a resumed session outlives it.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_was_removed_counts_no_more_on_old_connections_either() {
    let (ca, other) = (TestCa::new(), TestCa::named("Other CA"));
    let server = TestServer::with_tls(MTLS, &ca, ClientAuth::Optional).await;
    let config = caller(&ca, &certificate(&ca));
    let mut kept = Connection::open(&server, &config).await;
    assert_eq!(kept.token().await.0, 200);

    put(&server, "ca.pem", &other.pem());
    reports(&server, "mintage_file_reloads_total{file=\"client_ca\",outcome=\"ok\"}", 1).await;
    let (status, text) = kept.token().await;
    assert!(status == 400 && text.contains("invalid_client"), "{status} {text}");
    let mut resumed = Connection::open(&server, &config).await;
    assert_eq!(resumed.1, rustls::HandshakeKind::Resumed);
    let (status, text) = resumed.token().await;
    assert!(status == 400 && text.contains("invalid_client"), "{status} {text}");

    let mut fresh = Connection::open(&server, &caller(&ca, &certificate(&other))).await;
    assert_eq!(fresh.token().await.0, 200);
}

// F-29
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_keeps_the_old_certificate_and_alarms() {
    let ca = TestCa::new();
    let server = TestServer::with_tls(MTLS, &ca, ClientAuth::Optional).await;
    let (client, next) = (certificate(&ca), ca.server());
    let first = shown(&server, &ca, &client).await;
    let kept = tls::http(&ca, None);
    let url = format!("https://{}/healthz", server.address);
    assert_eq!(kept.get(&url).send().await.unwrap().status(), 200);

    let certificate = server.directory().join("cert.pem");
    let good = fs::read(&certificate).unwrap();
    let expired = {
        let usage = rcgen::ExtendedKeyUsagePurpose::ServerAuth;
        let mut params = tls::params("localhost", &[tls::San::dns("localhost")], usage);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        ca.sign(&params).certificates
    };
    let half = &next.certificates[..next.certificates.len() / 2];
    let mut failures = 0;
    // Half a file, an empty one, another key's certificate, an expired one, none.
    for broken in [Some(half), Some(""), Some(&next.certificates), Some(&expired), None] {
        match broken {
            Some(text) => fs::write(&certificate, text).unwrap(),
            None => fs::remove_file(&certificate).unwrap(),
        }
        failures += 1;
        reports(&server, FAILED, failures).await;
        assert_eq!(server.metric(STALE), 1);
        assert_eq!(shown(&server, &ca, &client).await, first);
        assert_eq!(kept.get(&url).send().await.unwrap().status(), 200);
    }
    fs::write(&certificate, good).unwrap();
    // What is in use is there again.
    reports(&server, STALE, 0).await;
    replace(&server, &next);
    shows(&server, &ca, &client, &next).await;
    assert_eq!(server.metric(STALE), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_resumed_under_another_certificate() {
    let ca = TestCa::new();
    let server = TestServer::with_tls(MTLS, &ca, ClientAuth::Optional).await;
    let client = certificate(&ca);
    let config = caller(&ca, &client);
    let mut first = Connection::open(&server, &config).await;
    assert_eq!((first.1, first.token().await.0), (rustls::HandshakeKind::Full, 200));
    let next = ca.server();
    replace(&server, &next);
    shows(&server, &ca, &client, &next).await;
    assert_eq!(Connection::open(&server, &config).await.1, rustls::HandshakeKind::Resumed);
}
