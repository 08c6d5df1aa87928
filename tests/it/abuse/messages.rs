//! gRPC messages that say they are larger than they are, or are larger than they look.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

use super::{FLAT, Target};
use crate::support::raw_grpc::{Connection, ISSUE, frame, prefixed};

/// OUT_OF_RANGE is what tonic says of a length, INTERNAL of a unary call with two messages, RESOURCE_EXHAUSTED of what became
/// too large when it was inflated.
const REFUSED: [u16; 4] = [8, 11, 12, 13];

// V-60
#[tokio::test(flavor = "multi_thread")]
async fn lengths_and_compression_buy_no_memory() {
    let mut target = Target::start().await;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&vec![0; 48 * 1024 * 1024]).unwrap();
    let bomb = gzip.finish().unwrap();
    assert!(bomb.len() < 48 * 1024 * 1024 / 1000 + 4096, "fits into 64 KiB: {}", bomb.len());
    let bomb = prefixed(1, u32::try_from(bomb.len()).unwrap(), &bomb);
    let cases = [
        ("4 GiB", prefixed(0, u32::MAX, b"x")),
        ("1 GiB", prefixed(0, 1 << 30, &[0; 1000])),
        ("one byte more than a message may have", prefixed(0, 64 * 1024 + 1, &[0; 1000])),
        ("gzip 1:1000", bomb),
        ("two messages", [frame(b""), frame(b"")].concat()),
    ];
    for (case, body) in cases {
        for _ in 0..10 {
            let connection = Connection::to(target.address()).await;
            let headers = [("grpc-encoding", "gzip"), ("authorization", "Basic c2VydmljZTpzZWNyZXQ=")];
            match connection.call(ISSUE, &headers, body.clone()).await {
                Ok(answer) => assert!(
                    answer.grpc_status.is_some_and(|status| REFUSED.contains(&status)),
                    "{case}: {answer:?}"
                ),
                Err(error) => assert!(error.is_reset(), "{case}: {error}"),
            }
        }
    }
    target.is_well(FLAT).await;
}
