//! A connection of HTTP/2 on which any frames are sent in any number.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::raw::{PATIENCE, frame};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// RFC 9113 section 7
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// After this long without room for another byte, the peer's own socket holds it back. Whoever is only slow is taken for it
/// as well, which passes a test that it should: its memory is looked at next.
const HELD_BACK: Duration = Duration::from_secs(2);

/// What the `n`-th frames are, or those about stream `n`.
pub(super) type Frames = dyn Fn(u32) -> Vec<u8> + Sync;

/// What became of a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The server closed the connection, with the code of its GOAWAY if it was read.
    Closed(Option<u32>),
    /// The server reads no more before it is read from.
    HeldBack,
    /// Everything was taken, and the connection answers a PING.
    Open,
}

/// Says that it is an HTTP/2 client with these settings, then sends what `next` gives, `count` times, while it reads
/// everything.
pub(super) async fn flood(address: SocketAddr, count: u32, mut next: impl FnMut(u32) -> Vec<u8>) -> End {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let reader = tokio::spawn(async move { timeout(PATIENCE, watch(&mut reader)).await.expect("an end") });
    let opening = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let mut sent = writer.write_all(&opening).await;
    let mut number = 0;
    while number < count && sent.is_ok() {
        let batch: Vec<u8> = (number..count.min(number + 64)).flat_map(&mut next).collect();
        sent = writer.write_all(&batch).await;
        number += 64;
    }
    // Whether it is open shows the answer to this.
    let _ = writer.write_all(&frame(PING, 0, 0, b"the end!")).await;
    reader.await.unwrap()
}

/// The same, but reads nothing.
pub(super) async fn blind_flood(
    address: SocketAddr,
    opening: &[u8],
    count: u32,
    mut next: impl FnMut(u32) -> Vec<u8>,
) -> (End, TcpStream) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(opening).await.unwrap();
    let mut number = 0;
    while number < count {
        let batch: Vec<u8> = (number..count.min(number + 64)).flat_map(&mut next).collect();
        match timeout(HELD_BACK, stream.write_all(&batch)).await {
            Err(_) => return (End::HeldBack, stream),
            Ok(Err(_)) => return (End::Closed(None), stream),
            Ok(Ok(())) => number += 64,
        }
    }
    (End::Open, stream)
}

/// Reads frames until the connection is closed or answers the last PING.
async fn watch(reader: &mut (impl AsyncReadExt + Unpin)) -> End {
    let (mut code, mut payload) = (None, Vec::new());
    loop {
        let mut head = [0; 9];
        if reader.read_exact(&mut head).await.is_err() {
            return End::Closed(code);
        }
        payload.resize(u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize, 0);
        if reader.read_exact(&mut payload).await.is_err() {
            return End::Closed(code);
        }
        match head[3] {
            GOAWAY => code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap())),
            PING if head[4] & 1 != 0 && payload == b"the end!" => return End::Open,
            _ => {}
        }
    }
}

/// The stream that the `number`-th request is made on.
pub(super) const fn stream(number: u32) -> u32 {
    2 * number + 1
}
