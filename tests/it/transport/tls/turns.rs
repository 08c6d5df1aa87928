//! How many handshakes are worked on at once, and who waits for whom; the end of the listener.

use std::time::Duration;

use http::Request;
use mintage::serve::{Limits, tls::ClientAuth};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    Encrypted, hello,
    raw::{PATIENCE, Raw},
};
use crate::{
    support::tls::{client_config, connect},
    transport::call,
};

/// One turn, and no deadline that matters.
fn one_at_a_time(handshake_turn: Duration) -> Limits {
    Limits { max_handshakes: 1, handshake_turn, handshake: Duration::from_secs(120), ..Limits::default() }
}

/// A client that is answered and does not go on.
async fn stalled(server: &Encrypted) -> Raw {
    let mut raw = Raw::connect(server.server.address).await;
    raw.send(hello::record(22, &hello::message(0x0303, &[hello::GOOD_SUITE]))).await;
    raw
}

#[tokio::test]
async fn handshakes_beyond_the_bound_wait_for_their_turn() {
    let server = Encrypted::start(one_at_a_time(Duration::from_secs(120)), ClientAuth::Off).await;
    let mut holder = stalled(&server).await;
    let mut answered = [0; 1];
    timeout(PATIENCE, holder.stream.read_exact(&mut answered)).await.unwrap().unwrap();
    let config = server.caller(None);
    let mut waiting = Box::pin(connect(server.server.address, &config));
    assert!(timeout(Duration::from_millis(300), &mut waiting).await.is_err());
    drop(holder);
    timeout(PATIENCE, waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn silent_and_stalled_peers_hold_up_nobody() {
    let server = Encrypted::start(one_at_a_time(Duration::from_millis(20)), ClientAuth::Off).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(Raw::connect(server.server.address).await);
        idle.push(stalled(&server).await);
    }
    assert!(timeout(PATIENCE, server.is_serving()).await.unwrap());
    assert_eq!(server.handshakes("late"), 0);
}

// F-27
#[tokio::test]
async fn what_has_begun_is_finished_when_the_listener_drains() {
    let server = Encrypted::start(Limits { drain: PATIENCE, ..Limits::default() }, ClientAuth::Off).await;
    let address = server.server.address;
    let config = client_config(&server.ca, None, &["h2"]).into();
    let (client, connection) = h2::client::handshake(connect(address, &config).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    let held = Request::get("https://localhost/held").body(()).unwrap();
    let held = tokio::spawn(async move { call(&client, held, b"").await });
    let mut http1 = connect(address, &server.caller(None)).await.unwrap();
    http1.write_all(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let _silent = Raw::connect(address).await;
    server.server.has_begun(2).await;

    server.server.shutdown.drain();
    server.server.held.end.notify_waiters();
    let mut answer = String::new();
    http1.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("held"), "{answer}");
    assert_eq!(held.await.unwrap().unwrap().body(), "held");
    assert_eq!(timeout(PATIENCE, server.server.task).await.unwrap().unwrap(), 0);
}
