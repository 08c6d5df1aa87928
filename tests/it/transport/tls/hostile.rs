//! Peers that break the protocol, or stop in the middle of it (V-50, V-57, V-58).

use std::{sync::atomic::Ordering, time::Duration};

use mintage::serve::{Limits, tls::ClientAuth};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout},
};

use super::{
    Encrypted, hello,
    hello::Said,
    raw::{PATIENCE, Raw},
};
use crate::{support::tls::connect, transport::until};

fn client_hello() -> Vec<u8> {
    hello::message(0x0303, &[hello::GOOD_SUITE])
}

/// A handshake has this long, which is more than enough for one that goes on.
fn hasty() -> Limits {
    Limits { handshake: Duration::from_secs(2), ..Limits::default() }
}

// V-50
#[tokio::test]
async fn a_handshake_that_stalls_is_cut_off() {
    assert_eq!(Limits::default().handshake, Duration::from_secs(10));
    let server = Encrypted::start(hasty(), ClientAuth::Off).await;
    let whole = hello::record(22, &client_hello());
    let started = Instant::now();
    let mut stalled = Vec::new();
    // Silence, a piece of a record, a piece of a message, a whole message without anything after it.
    for opening in [&[][..], &whole[..3], &whole[..40], &whole] {
        let mut raw = Raw::connect(server.server.address).await;
        raw.send(opening).await;
        stalled.push(raw);
    }
    for raw in &mut stalled {
        assert!(raw.until_closed().await.is_some());
    }
    assert!(started.elapsed() >= hasty().handshake);
    timeout(PATIENCE, until(|| server.handshakes("late") == 4)).await.unwrap();

    let mut raw = Raw::connect(server.server.address).await;
    raw.send(&whole[..5]).await;
    assert!(raw.drip(whole[5], Duration::from_millis(50)).await, "a dripped message is cut off");
    assert!(server.is_serving().await);
}

// V-49: after the handshake as without TLS
#[tokio::test]
async fn silence_after_the_handshake_is_cut_off() {
    let limits = Limits { first_byte: Duration::from_millis(300), ..Limits::default() };
    let server = Encrypted::start(limits, ClientAuth::Off).await;
    let mut stream = connect(server.server.address, &server.caller(None)).await.unwrap();
    stream.write_all(b"P").await.unwrap();
    assert_eq!(Raw::over(stream).until_closed().await.as_deref(), Some(&b""[..]));
}

// V-58
#[tokio::test]
async fn what_breaks_the_protocol_ends_its_own_connection_only() {
    let server = Encrypted::start(hasty(), ClientAuth::Optional).await;
    let message = client_hello();
    let opened = hello::record(22, &message);
    let after = |more: Vec<u8>| [opened.clone(), more].concat();
    let finished = hello::handshake(20, &[0; 12]);
    let mut broken = Vec::new();
    for (name, bytes) in [
        ("close_notify before anything", hello::record(21, &[1, 0])),
        ("close_notify in the handshake", after(hello::record(21, &[1, 0]))),
        ("a fatal alert in the handshake", after(hello::record(21, &[2, 80]))),
        ("an early Finished", after(hello::record(22, &finished))),
        ("Finished first", hello::record(22, &finished)),
        ("two messages in one record", hello::record(22, &[message.clone(), message.clone()].concat())),
        ("data in the handshake", after(hello::record(23, &[0; 64]))),
        ("a cipher change in the handshake", after(hello::record(20, &[1]))),
        ("a record of no kind", hello::record(99, &[0; 8])),
        ("a message without end", hello::record(22, &[1, 0xff, 0xff, 0xff, 3, 3])),
        ("an empty message", hello::record(22, &hello::handshake(1, &[]))),
        ("a record beyond its length", [&[22, 3, 1, 0xff, 0xff][..], &[0; 512]].concat()),
        ("empty records", hello::record(22, &[]).repeat(500)),
        ("zeroes", vec![0; 4096]),
        ("ones", vec![0xff; 4096]),
    ] {
        let mut raw = Raw::connect(server.server.address).await;
        // The server may have hung up already.
        let _ = raw.stream.write_all(&bytes).await;
        broken.push((name, raw));
    }
    assert!(server.is_serving().await);
    for (name, mut raw) in broken {
        assert!(raw.until_closed().await.is_some(), "{name}");
    }
    // What a client says is cut short anywhere.
    for length in 0..opened.len() {
        let mut raw = Raw::connect(server.server.address).await;
        raw.send(&opened[..length]).await;
    }
    assert!(server.is_serving().await);
    assert_eq!(server.handshakes("full"), 2);
}

// V-58
#[tokio::test]
async fn a_message_in_records_of_one_byte_is_a_message() {
    let server = Encrypted::start(Limits::default(), ClientAuth::Off).await;
    let mut raw = Raw::connect(server.server.address).await;
    for byte in client_hello() {
        raw.send(hello::record(22, &[byte])).await;
    }
    assert_eq!(hello::said(&raw.at_least(7).await), Said::Handshake(2));
    assert!(server.is_serving().await);
}

// V-57
#[tokio::test]
async fn resets_in_the_handshake_end_nothing() {
    let server = Encrypted::start(Limits::default(), ClientAuth::Off).await;
    let whole = hello::record(22, &client_hello());
    for round in 0..200 {
        let mut raw = Raw::connect(server.server.address).await;
        raw.send(&whole[..[0, 4, 60, whole.len()][round % 4]]).await;
        raw.stream.set_zero_linger().unwrap();
    }
    assert!(server.is_serving().await);
}

// F-22
#[tokio::test]
async fn a_peer_that_does_not_read_is_dropped() {
    let limits = Limits { write_stall: Duration::from_millis(300), ..Limits::default() };
    let server = Encrypted::start(limits, ClientAuth::Off).await;
    let mut stream = connect(server.server.address, &server.caller(None)).await.unwrap();
    stream.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    timeout(PATIENCE, until(|| server.server.held.begun.load(Ordering::SeqCst) == 1)).await.unwrap();
    assert!(server.server.has_open("http1", 0).await);
}
