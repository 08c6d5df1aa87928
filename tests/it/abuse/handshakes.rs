//! Handshakes without end, and handshakes that do not end.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::{MIB, TOML, Target, idle::Files};
use crate::support::{
    process::Process,
    raw::Raw,
    tls::{self, TestCa},
};

/// A server with TLS as a process, and a client that trusts it.
pub(super) struct Secure {
    pub(super) process: Process,
    pub(super) ca: TestCa,
    pub(super) client: reqwest::Client,
    _directory: tempfile::TempDir,
}

impl Secure {
    pub(super) async fn start() -> Self {
        let files = Files::new();
        let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
        let environment = [("MINTAGE_TLS_CERT_FILE", &*cert), ("MINTAGE_TLS_KEY_FILE", &key)];
        let mut process = Process::spawn(TOML, "exec \"$@\"", &environment);
        let ready = process.eventually(async |this| this.get(this.ops, "/readyz").await == Some(200)).await;
        assert!(ready, "{}", process.stderr());
        let client = tls::http(&files.ca, None);
        Self { process, ca: files.ca, client, _directory: files.directory }
    }
}

// F-21, F-20: 5,000 handshakes a second are more than any machine of ours makes; what counts is that they come from 64 at once
#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_connected_go_on_beside_a_flood_of_handshakes() {
    const HANDSHAKES: u32 = 1_500;
    let secure = Secure::start().await;
    let mut target = Target::besides(secure.process, secure.client.clone(), "https").await;
    let address = target.address();
    // Some say nothing, some begin and do not go on (a record header, half of a ClientHello).
    let mut stuck = Vec::new();
    for n in 0..600 {
        let mut raw = Raw::connect(address).await;
        raw.send(&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..[0, 5, 11][n % 3]]).await;
        stuck.push(raw);
    }
    let before = target.neighbour.as_ref().unwrap().answered();
    let config = Arc::new(tls::client_config(&secure.ca, None, &["http/1.1"]));
    let (left, done) = (Arc::new(AtomicU32::new(HANDSHAKES)), Arc::new(AtomicU32::new(0)));
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (config, left, done) = (Arc::clone(&config), Arc::clone(&left), Arc::clone(&done));
        flood.spawn(async move {
            while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                if tls::connect(address, &config).await.is_ok() {
                    done.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
    }
    flood.join_all().await;
    let answered = target.neighbour.as_ref().unwrap().answered() - before;
    assert_eq!(done.load(Ordering::SeqCst), HANDSHAKES, "late is no answer");
    // One of 65 who share the machine has a request while each of the others has a handshake, or half as many where client and
    // server both let it wait. Behind all handshakes it would have next to none.
    assert!(answered >= u64::from(HANDSHAKES / 64 / 4), "{answered} requests beside {HANDSHAKES} handshakes");
    target.is_well(48 * MIB).await;
}
