//! F-29: certificates are replaced while requests go on; what is of no use leaves the old one in use and raises an alarm.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use mintage::serve::tls::ClientAuth;

use crate::support::{
    TestServer,
    patience::eventually,
    server::CLIENTS,
    tls::{self, Pair, TestCa},
};

/// Puts a pair where the server looks, one file after the other, each in one step.
fn replace(server: &TestServer, pair: &Pair) {
    for (name, text) in [("cert.pem", &pair.certificates), ("key.pem", &pair.key)] {
        let fresh = server.directory().join("fresh");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, server.directory().join(name)).unwrap();
    }
}

/// The leaf the server shows now.
async fn shown(server: &TestServer, ca: &TestCa) -> Vec<u8> {
    let config = Arc::new(tls::client_config(ca, None, &["http/1.1"]));
    let stream = tls::connect(server.address, &config).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

async fn shows(server: &TestServer, ca: &TestCa, pair: &Pair) {
    eventually("the new certificate", async || shown(server, ca).await == pair.leaf()).await;
}

async fn reports(server: &TestServer, metric: &str, value: u64) {
    eventually(metric, async || server.metric(metric) == value).await;
}

const STALE: &str = "mintage_file_stale{file=\"tls\"}";
const FAILED: &str = "mintage_file_reloads_total{file=\"tls\",outcome=\"failed\"}";

/// Requests that go on until they are told to stop, and how many there were.
#[derive(Clone, Default)]
struct Load(Arc<(AtomicU64, AtomicBool)>);

impl Load {
    fn goes_on(&self) -> bool {
        !self.0.1.load(Ordering::SeqCst)
    }

    fn stop(&self) {
        self.0.1.store(true, Ordering::SeqCst);
    }

    fn count(&self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
    }

    fn counted(&self) -> u64 {
        self.0.0.load(Ordering::SeqCst)
    }
}

// F-29
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_certificates_under_load_lose_no_request() {
    let ca = Arc::new(TestCa::new());
    let server = Arc::new(TestServer::with_tls(CLIENTS, &ca, ClientAuth::Optional).await);
    let load = Load::default();
    let mut tasks = tokio::task::JoinSet::new();
    // Connections that are kept, and connections that are made anew each time.
    for kept in [true, true, false, false] {
        let (server, ca, load) = (Arc::clone(&server), Arc::clone(&ca), load.clone());
        tasks.spawn(async move {
            let mut client = tls::http(&ca, None);
            while load.goes_on() {
                if !kept {
                    client = tls::http(&ca, None);
                }
                let url = format!("https://{}/healthz", server.address);
                let answer = client.get(url).send().await.expect("no request fails");
                assert_eq!(answer.status(), 200);
                answer.bytes().await.expect("no answer is cut short");
                load.count();
            }
        });
    }
    for _ in 0..100 {
        let pair = ca.server();
        replace(&server, &pair);
        shows(&server, &ca, &pair).await;
    }
    load.stop();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert!(load.counted() >= 100, "{}", load.counted());
    assert_eq!(server.metric("mintage_file_reloads_total{file=\"tls\",outcome=\"ok\"}"), 100);
    // The kept ones were never closed: two for them, and none was accepted in their place.
    assert_eq!(server.metric("mintage_tls_handshakes_total{outcome=\"failed\"}"), 0);
}

// F-29
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_keeps_the_old_certificate_and_alarms() {
    let ca = TestCa::new();
    let server = TestServer::with_tls(CLIENTS, &ca, ClientAuth::Off).await;
    let (first, next) = (shown(&server, &ca).await, ca.server());
    let kept = tls::http(&ca, None);
    let url = format!("https://{}/healthz", server.address);
    assert_eq!(kept.get(&url).send().await.unwrap().status(), 200);

    let certificate = server.directory().join("cert.pem");
    let good = fs::read(&certificate).unwrap();
    let expired = {
        let usage = rcgen::ExtendedKeyUsagePurpose::ServerAuth;
        let mut params = tls::params("localhost", &[tls::San::dns("localhost")], usage);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        ca.sign(params).certificates
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
        assert_eq!(shown(&server, &ca).await, first);
        assert_eq!(kept.get(&url).send().await.unwrap().status(), 200);
    }
    fs::write(&certificate, good).unwrap();
    // What is in use is there again.
    reports(&server, STALE, 0).await;
    replace(&server, &next);
    shows(&server, &ca, &next).await;
    assert_eq!(server.metric(STALE), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_resumed_under_another_certificate() {
    let ca = TestCa::new();
    let server = TestServer::with_tls(CLIENTS, &ca, ClientAuth::Optional).await;
    let caller = Arc::new(tls::client_config(&ca, None, &["http/1.1"]));
    let kind = async || {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let mut stream = tls::connect(server.address, &caller).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        stream.get_ref().1.handshake_kind().unwrap()
    };
    assert_eq!(kind().await, rustls::HandshakeKind::Full);
    let next = ca.server();
    replace(&server, &next);
    shows(&server, &ca, &next).await;
    assert_eq!(kind().await, rustls::HandshakeKind::Resumed);
}
