//! What it costs to hold on to somebody who says nothing (F-20). `MINTAGE_IDLE_CONNECTIONS=10000` measures with so many.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ClientConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{
    TOML, Target,
    connection::{PREFACE, SETTINGS, stream},
};
use crate::support::{
    process::Process,
    raw::{Raw, frame, headers},
    tls::{self, TestCa},
};

const GET: &str = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";

/// How a connection comes to be idle.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Not a byte was sent.
    Silent,
    /// One request over HTTP/1 was answered.
    Http1,
    /// One request over HTTP/2 was answered.
    Http2,
}

impl Kind {
    /// Makes a connection so.
    async fn idles(self, raw: &mut Raw<impl AsyncRead + AsyncWrite + Unpin>) {
        match self {
            Self::Silent => {}
            Self::Http1 => {
                raw.send(GET).await;
                assert_eq!(raw.answer().await.unwrap().status, 200);
            }
            Self::Http2 => {
                let get =
                    [(":method", "GET"), (":scheme", "http"), (":path", "/healthz"), (":authority", "a")];
                let bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &headers(stream(0), true, &get)].concat();
                raw.send(bytes).await;
                // Settings, their acknowledgement, and the head of the answer.
                assert!(raw.at_least(100).await.len() >= 100);
            }
        }
    }
}

/// How many are opened: the environment says, if this process and its child may open as many.
pub(super) fn how_many(usual: u64) -> u64 {
    let count = std::env::var("MINTAGE_IDLE_CONNECTIONS").map_or(usual, |text| text.parse().unwrap());
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    limit.maximum.map_or(count, |most| count.min(most / 2 - 100))
}

async fn plain(address: SocketAddr, kind: Kind) -> Raw {
    let mut raw = Raw::connect(address).await;
    kind.idles(&mut raw).await;
    raw
}

async fn encrypted(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    kind: Kind,
) -> Raw<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut raw = Raw::over(tls::connect(address, config).await.unwrap());
    kind.idles(&mut raw).await;
    raw
}

/// What each connection adds, in bytes, when as many are there already that have been idle for a while. Those who came before
/// leave the buffers behind that they no longer need.
async fn cost<C>(target: &Target, count: u64, mut open: impl AsyncFnMut() -> C, most: u64) -> u64 {
    let (half, mut held, mut least) = (count.div_ceil(2), Vec::new(), u64::MAX);
    for _ in 0..half {
        held.push(open().await);
    }
    // Once is enough; a machine that is busy with other things may need another go, on top of what is there.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let before = target.grown();
        for _ in 0..half {
            held.push(open().await);
        }
        least = least.min(target.grown().saturating_sub(before) / half);
        if least <= most {
            break;
        }
    }
    // Together they are little more, whatever the first ones needed while they were busy.
    let each = target.grown() / u64::try_from(held.len()).unwrap();
    assert!(each <= 2 * most.max(16 * 1024), "{each} bytes for each of all");
    least
}

// F-20: what h2 allocates for a connection, two buffers of 8 and 16 KiB, cannot be set
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_connection_that_idles_costs_little() {
    for (kind, most) in [(Kind::Silent, 8), (Kind::Http1, 12), (Kind::Http2, 32)] {
        let mut target = Target::of(Process::start(TOML).await).await;
        let count = how_many(2_000);
        let address = target.address();
        let cost = cost(&target, count, async || plain(address, kind).await, most * 1024).await;
        println!("{kind:?}: {cost} bytes");
        assert!(cost <= most * 1024, "{kind:?}: {cost} bytes");
        target.is_well(u64::MAX).await;
    }
}

// F-20
#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_connection_that_idles_costs_little() {
    let secure = super::handshakes::Secure::start().await;
    let mut target = Target::besides(secure.process, secure.client.clone(), "https").await;
    let address = target.address();
    for (kind, protocol, most) in [(Kind::Http1, "http/1.1", 24), (Kind::Http2, "h2", 40)] {
        let config = Arc::new(tls::client_config(&secure.ca, None, &[protocol]));
        let open = async || encrypted(address, &config, kind).await;
        let cost = cost(&target, how_many(600), open, most * 1024).await;
        println!("TLS, {kind:?}: {cost} bytes");
        assert!(cost <= most * 1024, "{kind:?}: {cost} bytes");
    }
    let cost = cost(&target, how_many(1_000), async || plain(address, Kind::Silent).await, 16 * 1024).await;
    println!("no handshake: {cost} bytes");
    assert!(cost <= 16 * 1024, "no handshake: {cost} bytes");
    target.is_well(u64::MAX).await;
}

// F-20, F-25: no more connections than fit, and those who come later take the places of the first
#[tokio::test(flavor = "multi_thread")]
async fn those_who_idle_fit_into_the_memory_there_is() {
    let mut process = Process::start_through(TOML, "ulimit -d 81920; exec \"$@\"").await;
    process.says("lowered from 10000 to what the memory").await;
    let mut target = Target::of(process).await;
    let (address, mut held) = (target.address(), Vec::new());
    for _ in 0..266 {
        held.push(plain(address, Kind::Http2).await);
    }
    let open = target.metric("mintage_connections{protocol=\"http2\",tls=\"false\"}").await;
    assert!((240..=256).contains(&open), "{open}");
    assert!(target.metric("mintage_connections_dropped_total{reason=\"idle\"}").await >= 10);
    target.is_well(80 * 1024 * 1024).await;
}

// A connection that has rested goes on as if it had not: pipelined, in pieces, and after another rest
#[tokio::test(flavor = "multi_thread")]
async fn a_rest_changes_nothing() {
    let mut target = Target::start().await;
    let mut whole = plain(target.address(), Kind::Http1).await;
    let mut begun = plain(target.address(), Kind::Http1).await;
    begun.send("G").await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(2500)).await;
        whole.send(GET.repeat(3)).await;
        for _ in 0..3 {
            assert_eq!(whole.answer().await.unwrap().status, 200);
        }
    }
    begun.send(&GET[1..]).await;
    assert_eq!(begun.answer().await.unwrap().status, 200);
    target.is_well(u64::MAX).await;
}

/// The authority and the certificate files of a server with TLS.
pub(super) struct Files {
    pub(super) directory: tempfile::TempDir,
    pub(super) ca: TestCa,
}

impl Files {
    pub(super) fn new() -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap(), ca: TestCa::new() };
        let pair = files.ca.server();
        std::fs::write(files.path("cert.pem"), &pair.certificates).unwrap();
        std::fs::write(files.path("key.pem"), &pair.key).unwrap();
        files
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }
}
