//! The same with text: what HTTP/1 allows without end.

use super::{
    FLAT, MIB, Target,
    connection::{End, blind_flood},
};
use crate::support::raw::Raw;

// CVE-2023-39326 and the like: hyper bounds the extensions of a body, and has nothing to switch off
#[tokio::test(flavor = "multi_thread")]
async fn chunk_extensions_end_the_connection() {
    let mut target = Target::start().await;
    let head = b"POST /token HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\ntransfer-encoding: chunked\r\n\r\n";
    let long = [&b"1;"[..], &[b'x'; 1000], b"\r\na\r\n"].concat();
    let endless = [b'x'; 1000].to_vec();
    for (case, first, more) in [("many", head.to_vec(), long), ("one", [head, &b"1;"[..]].concat(), endless)]
    {
        let (end, _) = blind_flood(target.address(), &first, 200_000, |_| more.clone()).await;
        assert_eq!(end, End::Closed(None), "{case}");
    }
    target.is_well(FLAT).await;
}

// V-50, V-55
#[tokio::test(flavor = "multi_thread")]
async fn heads_that_never_end_cost_what_a_head_may() {
    let mut target = Target::start().await;
    let mut held = Vec::new();
    for _ in 0..300 {
        let mut raw = Raw::connect(target.address()).await;
        raw.send(format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx: {}", "y".repeat(15 * 1024))).await;
        held.push(raw);
    }
    // A byte each, so that all of them are read.
    for raw in &mut held {
        raw.send("y").await;
    }
    target.is_well(300 * 64 * 1024).await;
}

// As V-56: requests without end, and no answer is read
#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_wait_for_their_answers_to_be_read() {
    let mut target = Target::start().await;
    let mut held = Vec::new();
    for path in ["/healthz", "/.well-known/jwks.json", "/nothing"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        let (end, stream) =
            blind_flood(target.address(), b"", 2_000_000, |_| request.clone().into_bytes()).await;
        assert_ne!(end, End::Open, "{path}");
        held.push(stream);
    }
    target.is_well(FLAT + MIB).await;
}
