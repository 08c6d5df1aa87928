//! Who takes all places locks nobody out.

use super::{
    TOML, Target,
    connection::{PREFACE, SETTINGS},
};
use crate::support::{
    patience::eventually,
    process::Process,
    raw::{self, Raw, frame, headers},
};

const GET: &str = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";

// F-20: 300 who are idle in every way there is, for 64 places
#[tokio::test(flavor = "multi_thread")]
async fn the_idle_make_room() {
    let mut target =
        Target::of(Process::start(&format!("[limits]\nmax_connections = 64\n{TOML}")).await).await;
    let get = [(":method", "GET"), (":scheme", "http"), (":path", "/healthz"), (":authority", "a")];
    let http2 = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let asked = [&http2[..], &headers(1, true, &get)].concat();
    let openings = [b"".to_vec(), b"GE".to_vec(), GET.as_bytes().to_vec(), http2, asked];
    let mut held = Vec::new();
    for n in 0..300 {
        let mut raw = Raw::connect(target.address()).await;
        // It may have had to go already.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &openings[n % openings.len()]).await;
        held.push(raw);
    }
    for _ in 0..10 {
        assert_eq!(raw::request(target.address(), GET).await.unwrap().status, 200);
    }
    let dropped = target.metric("mintage_connections_dropped_total{reason=\"idle\"}").await;
    assert!(dropped >= 300 - 64, "{dropped}");
    // The valid caller beside them, whose connection is in use, has kept it.
    target.is_well(u64::MAX).await;
}

async fn answered(target: &Target, held: &mut Vec<Raw>) -> usize {
    let mut answered = 0;
    for _ in 0..40 {
        let mut raw = Raw::connect(target.address()).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.stream, GET.as_bytes()).await;
        answered += usize::from(raw.answer().await.is_some_and(|answer| answer.status == 200));
        held.push(raw);
    }
    answered
}

// limits.max_connections_per_source
#[tokio::test(flavor = "multi_thread")]
async fn one_host_has_so_many_places() {
    let limits = "[limits]\nmax_connections_per_source = 20\n";
    let mut target = Target::of(Process::start(&format!("{limits}{TOML}")).await).await;
    let mut held = Vec::new();
    let count = answered(&target, &mut held).await;
    // The valid caller has one of them, and others that were open before may not have been noticed to be gone.
    assert!((15..20).contains(&count), "{count}");
    assert!(target.metric("mintage_connections_dropped_total{reason=\"source\"}").await >= 20);
    drop(held);
    let address = target.address();
    let again = async || raw::request(address, GET).await.is_some_and(|answer| answer.status == 200);
    eventually("places are given back", again).await;
    target.is_well(u64::MAX).await;

    let proxy = "[proxy]\ntrusted = [\"127.0.0.0/8\"]\n";
    let mut target = Target::of(Process::start(&format!("{limits}{proxy}{TOML}")).await).await;
    assert_eq!(answered(&target, &mut Vec::new()).await, 40, "a proxy stands for many");
    target.is_well(u64::MAX).await;
}
