//! Descriptors run out (V-57, F-26).

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{TOML, Target, idle::how_many};
use crate::support::{
    process::Process,
    raw::{self, Raw},
};

const GET: &str = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";

const LOWERED: &str = "limits.max_connections is lowered";

// F-26: connections are bounded by what the process may open, so that health, the valid caller and files never notice
#[tokio::test(flavor = "multi_thread")]
async fn connections_leave_descriptors_for_the_rest() {
    let mut process = Process::start_through(TOML, "ulimit -n 256; exec \"$@\"").await;
    process.says(LOWERED).await;
    let mut target = Target::of(process).await;
    let mut held = Vec::new();
    for n in 0..how_many(1_000).min(1_000) {
        let mut raw = Raw::connect(target.address()).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.stream, GET.as_bytes()).await;
        held.push(raw);
        if n % 50 == 0 {
            for path in ["/healthz", "/readyz", "/metrics"] {
                assert_eq!(target.process.get(target.process.ops, path).await, Some(200), "{path}");
            }
        }
    }
    // Files can still be opened.
    target.process.signal("HUP");
    target.process.says("were reloaded").await;
    assert!(!target.process.stderr().contains("could not be accepted"), "{}", target.process.stderr());
    drop(held);
    assert_eq!(raw::request(target.address(), GET).await.unwrap().status, 200);
    target.is_well(u64::MAX).await;
}

// F-26
#[tokio::test(flavor = "multi_thread")]
async fn a_soft_limit_is_raised() {
    let process = Process::start_through(TOML, "ulimit -Sn 64; exec \"$@\"").await;
    let mut target = Target::of(process).await;
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut raw = Raw::connect(target.address()).await;
        raw.send(GET).await;
        assert_eq!(raw.answer().await.unwrap().status, 200);
        held.push(raw);
    }
    assert_eq!(target.metric("mintage_connections_dropped_total{reason=\"idle\"}").await, 0);
    target.is_well(u64::MAX).await;
}

// V-57, F-26: what was promised at the start is taken away later
#[tokio::test(flavor = "multi_thread")]
async fn running_out_of_descriptors_is_outlived() {
    let mut process = Process::start(TOML).await;
    let pid = Pid::from_raw(i32::try_from(process.id()).unwrap());
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(64), maximum: Some(64) }).unwrap();
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(Raw::connect(process.address).await);
    }
    process.says("could not be accepted").await;
    drop(held);
    assert!(process.eventually(async |this| this.get(this.address, "/healthz").await == Some(200)).await);
    Target::of(process).await.is_well(u64::MAX).await;
}
