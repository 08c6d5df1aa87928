//! Messages that are compressed, broken or not messages at all.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use mintage::grpc::pb::token as pb;
use prost::Message;
use tonic::{Request, codec::CompressionEncoding};

use crate::support::{
    TestServer, Wire,
    auth::{basic, secret_of},
    raw_grpc::{Connection, INTROSPECT, ISSUE, frame, framed, prefixed},
};

const OK: Option<u16> = Some(0);
/// INVALID_ARGUMENT, RESOURCE_EXHAUSTED, OUT_OF_RANGE, UNIMPLEMENTED, INTERNAL: the request's fault, told as gRPC does.
const REFUSED: [u16; 5] = [3, 8, 11, 12, 13];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let gzip = gzip(bytes);
    prefixed(1, u32::try_from(gzip.len()).unwrap(), &gzip)
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_requests_are_accepted() {
    let server = TestServer::start().await;
    let mut grpc = Wire::both(&server).await[1].grpc().send_compressed(CompressionEncoding::Gzip);
    let mut request = Request::new(pb::IssueRequest { scopes: vec!["read".into()], ..Default::default() });
    request.metadata_mut().insert("authorization", basic("rs256", &secret_of("rs256")).parse().unwrap());
    assert_eq!(grpc.issue(request).await.unwrap().into_inner().scopes, ["read"]);
}

// V-60
#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_bounded_after_inflation() {
    let server = TestServer::start().await;
    let connection = Connection::open(&server).await;
    let authorization = basic("rs256", &secret_of("rs256"));
    let plain = [("authorization", authorization.as_str())];
    let gzipped = [plain[0], ("grpc-encoding", "gzip")];
    let introspect = |length: usize| {
        pb::IntrospectRequest { token: "a".repeat(length), ..Default::default() }.encode_to_vec()
    };
    // The largest message that fits, and the smallest that does not.
    let (fits, too_long) = (introspect(64 * 1024 - 4), introspect(64 * 1024 - 3));
    assert_eq!((fits.len(), too_long.len()), (64 * 1024, 64 * 1024 + 1));
    assert_eq!(connection.call(INTROSPECT, &plain, frame(&fits)).await.unwrap().grpc_status, OK);
    assert_eq!(connection.call(INTROSPECT, &gzipped, compressed(&fits)).await.unwrap().grpc_status, OK);
    let bomb = introspect(64 * 1024 * 1024);
    assert!(gzip(&bomb).len() < bomb.len() / 500);
    for (headers, body) in
        [(&plain[..], frame(&too_long)), (&gzipped, compressed(&too_long)), (&gzipped, compressed(&bomb))]
    {
        let answer = connection.call(INTROSPECT, headers, body).await.unwrap();
        let status = answer.grpc_status.unwrap();
        assert!([8, 11].contains(&status), "RESOURCE_EXHAUSTED or OUT_OF_RANGE, not {status}");
    }
    assert_eq!(connection.call(ISSUE, &plain, frame(b"")).await.unwrap().grpc_status, OK);
}

/// A name, headers, and what is sent.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Vec<u8>);

// V-60
#[tokio::test(flavor = "multi_thread")]
async fn broken_frames_are_refused() {
    let server = TestServer::start().await;
    let authorization = basic("rs256", &secret_of("rs256"));
    let plain = ("authorization", authorization.as_str());
    let good = framed(&pb::IssueRequest::default());
    let cases: [Case<'_>; 10] = [
        ("a length of 4 GiB", &[plain], prefixed(0, u32::MAX, b"")),
        ("a length beyond the body", &[plain], prefixed(0, 100, b"abc")),
        ("a prefix cut short", &[plain], vec![0, 0, 0]),
        ("an unknown flag", &[plain], prefixed(7, 0, b"")),
        ("compressed without an encoding", &[plain], compressed(b"")),
        ("an encoding nobody knows", &[plain, ("grpc-encoding", "br")], prefixed(1, 0, b"")),
        ("gzip that is none", &[plain, ("grpc-encoding", "gzip")], prefixed(1, 4, b"abcd")),
        ("gzip cut short", &[plain, ("grpc-encoding", "gzip")], prefixed(1, 8, &gzip(b"abcdefgh")[..8])),
        ("two messages", &[plain], [&good[..], &good].concat()),
        ("no message", &[plain], Vec::new()),
    ];
    let connection = Connection::open(&server).await;
    for (name, headers, body) in cases {
        let answer = connection.call(ISSUE, headers, body).await.unwrap();
        let status = answer.grpc_status.unwrap();
        assert!(REFUSED.contains(&status), "{name}: {status}");
        assert!(answer.body.is_empty(), "{name}: no token");
    }
    assert_eq!(connection.call(ISSUE, &[plain], good).await.unwrap().grpc_status, OK);
}

// V-59
#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_place_of_a_message_is_refused_or_ignored() {
    let server = TestServer::start().await;
    let connection = Connection::open(&server).await;
    let authorization = basic("rs256", &secret_of("rs256"));
    let headers = [("authorization", authorization.as_str())];
    let must_be_refused: [(&str, Vec<u8>); 8] = [
        ("10,000 nested groups", [0x0b_u8, 0x0c].iter().flat_map(|tag| [*tag; 10_000]).collect()),
        ("10,000 groups that never end", vec![0x0b; 10_000]),
        ("10,000 nested unknown groups", [0xfb, 0x07].repeat(10_000)),
        ("an end without a group", vec![0x0c]),
        ("a varint cut short", vec![0x08, 0xff]),
        ("a varint of eleven bytes", [&[0xf8, 0x07][..], &[0xff; 11]].concat()),
        ("a length beyond the message", vec![0x62, 0x7f, b'x']),
        ("a string that is not UTF-8", vec![0x62, 1, 0xff]),
    ];
    for (name, message) in must_be_refused {
        let answer = connection.call(ISSUE, &headers, frame(&message)).await.unwrap();
        let status = answer.grpc_status.unwrap();
        assert!(REFUSED.contains(&status), "{name}: {status}");
        assert!(answer.body.is_empty(), "{name}");
    }
    // Random bytes: a few happen to be messages, none may end the server. The numbers are those of SplitMix64.
    let mut state = 0x5eed_u64;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    for _ in 0..300 {
        let length = usize::try_from(random() % 80).unwrap();
        let message: Vec<u8> = (0..length).map(|_| random().to_le_bytes()[0]).collect();
        let answer = connection.call(ISSUE, &headers, frame(&message)).await.unwrap();
        let status = answer.grpc_status.unwrap();
        assert!(status == 0 || REFUSED.contains(&status) || status == 16, "{status} for {message:?}");
    }
    assert_eq!(connection.call(ISSUE, &headers, frame(b"")).await.unwrap().grpc_status, OK);
}
