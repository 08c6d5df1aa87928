//! Everything at once, for a while (F-23, F-25).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    MIB, TOML, Target,
    connection::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, blind_flood, flood, stream,
    },
    memory,
};
use crate::support::{
    process::Process,
    raw::{Raw, frame, headers},
};

const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/token"), (":authority", "a")];

/// The kinds of abuse, each by its number.
async fn abuse(kind: usize, address: SocketAddr) {
    match kind {
        0 => {
            let next = |n| {
                let reset = frame(RST_STREAM, 0, stream(n), &8_u32.to_be_bytes());
                [headers(stream(n), false, &POST), reset].concat()
            };
            flood(address, 10_000, next).await;
        }
        1 => {
            let next = |n| {
                let provoke = frame(WINDOW_UPDATE, 0, stream(n), &0x7fff_ffff_u32.to_be_bytes());
                [headers(stream(n), false, &POST), provoke].concat()
            };
            flood(address, 10_000, next).await;
        }
        2 => {
            let next = |n| frame(if n == 0 { HEADERS } else { CONTINUATION }, 0, 1, b"\0\x01x\x01y");
            flood(address, 10_000, next).await;
        }
        3 => {
            let next = |n| if n == 0 { headers(1, false, &POST) } else { frame(DATA, 0, 1, &[]) };
            flood(address, 20_000, next).await;
        }
        4 => {
            let opening = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
            blind_flood(address, &opening, 100_000, |_| frame(PING, 0, 0, &[7; 8])).await;
        }
        5 => {
            let opening = [PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat();
            blind_flood(address, &opening, 500, |n| headers(stream(n), true, &POST)).await;
        }
        6 => {
            let entry = [&b"\x82\x86\x84\x41\x01a\x40\x01x\x7f\xa1\x1e"[..], &[b'y'; 4000]].concat();
            let bomb = [&b"\x82\x86\x84\x41\x01a"[..], &[0xbe; 16_000]].concat();
            let next = |n| {
                let block = if n == 0 { &entry } else { &bomb };
                frame(HEADERS, END_HEADERS | END_STREAM, stream(n), block)
            };
            flood(address, 100, next).await;
        }
        7 => {
            let request = b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: a\r\n\r\n";
            blind_flood(address, b"", 50_000, |_| request.to_vec()).await;
        }
        _ => {
            let mut held = Vec::new();
            for _ in 0..100 {
                let mut raw = Raw::connect(address).await;
                raw.send("GET /healthz HTTP/1.1\r\nx: y").await;
                held.push(raw);
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

// F-23, F-25
#[tokio::test(flavor = "multi_thread")]
async fn all_abuse_at_once_beside_valid_load() {
    let seconds: u64 = std::env::var("MINTAGE_ABUSE_SECONDS").map_or(3, |text| text.parse().unwrap());
    // Beyond the limit an allocation fails, and in a control group the kernel acts: either ends the process.
    let group =
        std::env::var("MINTAGE_ABUSE_CGROUP").map(|path| format!("echo $$ > '{path}/cgroup.procs' && "));
    let script = format!("{}ulimit -d 262144 && exec \"$@\"", group.unwrap_or_default());
    let process = Process::start_through(TOML, &script).await;
    let mut target = Target::of(process).await;
    let address = target.address();
    let (begun, before) = (Instant::now(), target.neighbour.as_ref().unwrap().answered());
    let mut abuses = JoinSet::new();
    for kind in 0..9 {
        abuses.spawn(async move {
            let mut rounds = 0;
            while rounds == 0 || begun.elapsed() < Duration::from_secs(seconds) {
                abuse(kind, address).await;
                rounds += 1;
            }
            (kind, rounds)
        });
    }
    let mut rounds = abuses.join_all().await;
    rounds.sort_unstable();
    let answered = target.neighbour.as_ref().unwrap().answered() - before;
    println!(
        "{rounds:?} rounds beside {answered} valid requests in {:?}; resident: {} KiB before, {} at worst, {} after",
        begun.elapsed(),
        target.before / 1024,
        (target.before + target.peak()) / 1024,
        (target.before + target.grown()) / 1024
    );
    assert!(answered > 0);
    assert!(memory(&target.process, "VmHWM") <= 256 * MIB);
    target.is_well(64 * MIB).await;
}
