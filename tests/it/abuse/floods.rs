//! Frames that cost the peer nothing, in great numbers.

use super::{
    FLAT, MIB, Target,
    connection::{
        CONTINUATION, DATA, END_STREAM, End, Frames, HEADERS, PING, PREFACE, PRIORITY, SETTINGS,
        WINDOW_UPDATE, blind_flood, flood, stream,
    },
};
use crate::support::raw::{frame, headers};

const TOKEN: [(&str, &str); 5] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/token"),
    (":authority", "a"),
    ("content-type", "application/x-www-form-urlencoded"),
];

const JWKS: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/.well-known/jwks.json"), (":authority", "a")];

// V-52: h2 counts CONTINUATION frames itself and has nothing to switch off
#[tokio::test(flavor = "multi_thread")]
async fn an_endless_head_ends_the_connection() {
    let mut target = Target::start().await;
    let field = [&b"\0\x01x\x7d"[..], &[b'y'; 125]].concat();
    for (case, block) in [("empty", Vec::new()), ("small", field.clone()), ("large", field.repeat(120))] {
        let end = flood(target.address(), 20_000, |number| match number {
            0 => frame(HEADERS, END_STREAM, 1, &field),
            _ => frame(CONTINUATION, 0, 1, &block),
        });
        let end = end.await;
        assert!(matches!(end, End::Closed(_)), "{case}: {end:?}");
    }
    target.is_well(FLAT).await;
}

// V-54: RUSTSEC-2026-0258; h2 has a budget of small DATA frames that cannot be switched off
#[tokio::test(flavor = "multi_thread")]
async fn empty_data_is_not_queued_without_end() {
    let mut target = Target::start().await;
    let open = |padded: bool| {
        move |number: u32| match number {
            0 => headers(1, false, &TOKEN),
            // An empty frame, or one of nothing but padding (RFC 9113 section 6.1), which takes from the window.
            _ if padded => frame(DATA, 8, 1, &[&[200][..], &[0; 200]].concat()),
            _ => frame(DATA, 0, 1, &[]),
        }
    };
    for padded in [false, true] {
        let end = flood(target.address(), 200_000, open(padded)).await;
        assert!(matches!(end, End::Closed(_)), "padded {padded}: {end:?}");
    }
    target.is_well(FLAT).await;
}

// V-56: CVE-2019-9512, CVE-2019-9515; h2 answers one before it reads the next, and has nothing to switch off
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_are_not_queued() {
    let mut target = Target::start().await;
    let opening = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let mut held = Vec::new();
    for (case, flooding) in [("PING", frame(PING, 0, 0, &[7; 8])), ("SETTINGS", frame(SETTINGS, 0, 0, &[]))] {
        let (end, stream) = blind_flood(target.address(), &opening, 5_000_000, |_| flooding.clone()).await;
        assert_ne!(end, End::Open, "{case}");
        held.push(stream);
    }
    target.is_well(FLAT).await;
}

// CVE-2019-9511, CVE-2019-9517: large answers asked for, and no room given to any
#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_window_cost_little() {
    let mut target = Target::start().await;
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let opening = [PREFACE, &no_window].concat();
    let mut held = Vec::new();
    for _ in 0..20 {
        let ask = |number| headers(stream(number), true, &JWKS);
        held.push(blind_flood(target.address(), &opening, 2_000, ask).await);
    }
    assert!(held.iter().all(|(end, _)| *end != End::HeldBack));
    // 20 connections with 128 streams each hold less than 8 KiB per stream.
    target.is_well(20 * MIB).await;
}

// CVE-2019-9513, CVE-2019-9516: what HTTP/2 once meant by priorities, and windows that open and close
#[tokio::test(flavor = "multi_thread")]
async fn junk_that_is_allowed_leaves_nothing_behind() {
    let mut target = Target::start().await;
    let junk: [(&str, &Frames); 4] = [
        ("dependencies of streams that do not exist", &|n| {
            frame(PRIORITY, 0, stream(n), &[&stream(n + 1).to_be_bytes()[..], &[7]].concat())
        }),
        ("windows that change", &|n| {
            let size = if n.is_multiple_of(2) { [0, 4, 0, 0, 0, 0] } else { [0, 4, 0x7f, 0xff, 0xff, 0xff] };
            frame(SETTINGS, 0, 0, &size)
        }),
        ("tables that change", &|n| {
            frame(SETTINGS, 0, 0, &[0, 1, 0, 0, if n.is_multiple_of(2) { 0 } else { 16 }, 0])
        }),
        ("frames of no known type", &|n| frame(0xbb, 0xff, stream(n), &[7; 100])),
    ];
    for (case, next) in junk {
        let end = flood(target.address(), 50_000, next).await;
        assert_ne!(end, End::Closed(Some(2)), "{case}: an internal error");
    }
    // A window beyond all bounds is an error of the connection (RFC 9113 section 6.9.1).
    let end =
        flood(target.address(), 10, |_| frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes())).await;
    assert!(matches!(end, End::Closed(_)), "{end:?}");
    target.is_well(FLAT).await;
}
