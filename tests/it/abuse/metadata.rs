//! Heads that are small on the wire and large in memory.

use super::{
    FLAT, Target,
    connection::{CONTINUATION, END_HEADERS, END_STREAM, End, HEADERS, flood, stream},
};
use crate::support::raw::frame;

/// GET / on http, from the static table (RFC 7541 appendix A), with an authority.
const REQUEST: &[u8] = b"\x82\x86\x84\x41\x01a";

/// The first entry of the dynamic table (RFC 7541 section 6.1).
const NEWEST: u8 = 0x80 | 62;

// V-55: the table holds one entry of 4,000 bytes, and each byte of a block says it again
#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_of_indexed_headers_is_refused() {
    let mut target = Target::start().await;
    // A literal with incremental indexing (RFC 7541 section 6.2.1), its value of 4,000 bytes: 127 + 3,873 in 7 bits each.
    let entry = [&b"\x40\x01x\x7f\xa1\x1e"[..], &[b'y'; 4000]].concat();
    let fill = [REQUEST, &entry].concat();
    let bomb = [REQUEST, &[NEWEST; 16_000]].concat();
    let end = flood(target.address(), 2_000, |number| {
        let block = if number == 0 { &fill } else { &bomb };
        frame(HEADERS, END_HEADERS | END_STREAM, stream(number), block)
    });
    // Answered with 431 or reset, one by one, or all at once.
    let end = end.await;
    assert_ne!(end, End::Closed(Some(2)));
    target.is_well(FLAT).await;
}

// V-55
#[tokio::test(flavor = "multi_thread")]
async fn heads_of_5000_fields_cost_nothing_that_lasts() {
    let mut target = Target::start().await;
    let fields: Vec<u8> = (0..5000).flat_map(|n| format!("\0\x07x-{n:05}\x01v").into_bytes()).collect();
    let block = [REQUEST, &fields].concat();
    let mut outcomes = Vec::new();
    for _ in 0..20 {
        let end = flood(target.address(), 20, |number| {
            let mut pieces = block.chunks(16 * 1024).peekable();
            let mut frames = Vec::new();
            let mut kind = HEADERS;
            while let Some(piece) = pieces.next() {
                let last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
                let flags = last | if kind == HEADERS { END_STREAM } else { 0 };
                frames.extend(frame(kind, flags, stream(number), piece));
                kind = CONTINUATION;
            }
            frames
        });
        outcomes.push(end.await);
    }
    assert!(!outcomes.contains(&End::Closed(Some(2))), "{outcomes:?}");
    target.is_well(FLAT).await;
}
