//! Streams that are opened to be reset, by the peer or by us.

use super::{
    FLAT, Target,
    connection::{
        DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, End, Frames, HEADERS, PRIORITY, RST_STREAM,
        WINDOW_UPDATE, flood, stream,
    },
};
use crate::support::raw::{frame, headers};

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/healthz"), (":authority", "a")];

const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/token"), (":authority", "a")];

// V-51: CVE-2023-44487
#[tokio::test(flavor = "multi_thread")]
async fn a_rapid_reset_ends_the_connection() {
    let mut target = Target::start().await;
    for request in [GET, POST] {
        let end = flood(target.address(), 100_000, |number| {
            let reset = frame(RST_STREAM, 0, stream(number), &8_u32.to_be_bytes());
            [headers(stream(number), request == GET, &request), reset].concat()
        });
        // The peer may still be writing when it is hung up on, which takes the GOAWAY away from it.
        let end = end.await;
        assert!(matches!(end, End::Closed(None | Some(ENHANCE_YOUR_CALM))), "{end:?}");
    }
    target.is_well(FLAT).await;
}

// V-53: CVE-2025-8671
#[tokio::test(flavor = "multi_thread")]
async fn resets_that_the_peer_makes_us_send_end_the_connection() {
    let mut target = Target::start().await;
    let cases: [(&str, &Frames); 4] = [
        ("a window update of 0", &|id| frame(WINDOW_UPDATE, 0, id, &[0; 4])),
        ("a window beyond 2^31-1", &|id| frame(WINDOW_UPDATE, 0, id, &0x7fff_ffff_u32.to_be_bytes())),
        ("data after the end", &|id| frame(DATA, 0, id, b"more")),
        ("a stream that depends on itself", &|id| {
            frame(PRIORITY, 0, id, &[&id.to_be_bytes()[..], &[7]].concat())
        }),
    ];
    for (case, provoke) in cases {
        let ends = case == "data after the end";
        let end = flood(target.address(), 20_000, |number| {
            [headers(stream(number), ends, if ends { &GET } else { &POST }), provoke(stream(number))].concat()
        });
        let end = end.await;
        assert!(matches!(end, End::Closed(_)), "{case}: {end:?}");
    }
    // Headers that are malformed (RFC 9113 section 8.2.1): hyper never sees these streams.
    let end = flood(target.address(), 20_000, |number| {
        frame(HEADERS, END_HEADERS | END_STREAM, stream(number), b"\0\x01A\x01b")
    });
    let end = end.await;
    assert!(matches!(end, End::Closed(_)), "malformed headers: {end:?}");
    target.is_well(FLAT).await;
}
