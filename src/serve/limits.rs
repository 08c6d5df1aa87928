//! Every bound and deadline of a listener.
//!
//! A peer costs memory and a file descriptor from its first packet on, so no state of a connection is without an end:
//! silence, a dripped head, a dripped body, an unread answer, idleness and mere age each run into one of these.

use std::time::Duration;

/// Bounds of a listener, of each connection and of each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once; more wait in the kernel's backlog, while those that have been idle for long are closed to
    /// make room. Default 10,000.
    pub max_connections: usize,
    /// Connections open at once from one host ([`Peer::source`](crate::peer::Peer::source)) that is no trusted proxy; more
    /// are closed as they come. Default: no bound.
    pub max_connections_per_source: Option<usize>,
    /// Bytes of one request's head: HTTP/1 text, or the HTTP/2 header list (RFC 9113 §6.5.2). Default 16 KiB;
    /// beyond it the answer is 431 and, in HTTP/1, the end of the connection.
    pub max_header_bytes: u32,
    /// Requests in progress on one HTTP/2 connection. Default 128.
    pub max_concurrent_streams: u32,
    /// Streams of one HTTP/2 connection that the peer makes us reset before it is closed (CVE-2025-8671).
    /// Default 1,024.
    pub max_local_resets: usize,
    /// Streams that the peer opened and reset before we looked at them (CVE-2023-44487). Default 20.
    pub max_pending_accept_resets: usize,
    /// TLS handshakes worked on at once; more wait in the order they came. Default 256.
    pub max_handshakes: usize,
    /// How long a client may let us wait in its handshake before another has its turn. Default 250 ms.
    pub handshake_turn: Duration,
    /// From accept until the TLS handshake is complete, the wait for its turn included. Default 10 s.
    pub handshake: Duration,
    /// From accept, or from the end of the TLS handshake, until the protocol is known. Default 10 s.
    pub first_byte: Duration,
    /// From the first byte of an HTTP/1 head until its end; waiting for that byte is idleness. Default 10 s.
    pub header: Duration,
    /// From the end of a request's head until the head of its answer, the request's body included. A gRPC call's
    /// own `grpc-timeout` may shorten it. Default 15 s.
    pub request: Duration,
    /// Without a request in progress, HTTP/1: above the 60 s of common proxies, which must be the first to close.
    /// Default 75 s.
    pub http1_idle: Duration,
    /// Without a request in progress, HTTP/2. Default 300 s.
    pub http2_idle: Duration,
    /// Between HTTP/2 PINGs that find out whether the peer is alive. Default 20 s.
    pub ping_interval: Duration,
    /// How long the acknowledgement of a PING may take. Default 10 s.
    pub ping_timeout: Duration,
    /// Before a connection is asked to end, HTTP/1 with its next answer, so that clients spread over new instances; spread by
    /// up to a tenth so that connections opened together do not end together. Default 1 h.
    pub age: Duration,
    /// How long a peer may take nothing of what is being sent to it. Default 15 s.
    pub write_stall: Duration,
    /// How long requests in progress may take to finish once a connection or the listener is ending. Default 9 s: the
    /// process is then gone within 10.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_source: None,
            max_header_bytes: 16 * 1024,
            max_concurrent_streams: 128,
            max_local_resets: 1024,
            max_pending_accept_resets: 20,
            max_handshakes: 256,
            handshake_turn: Duration::from_millis(250),
            handshake: Duration::from_secs(10),
            first_byte: Duration::from_secs(10),
            header: Duration::from_secs(10),
            request: Duration::from_secs(15),
            http1_idle: Duration::from_secs(75),
            http2_idle: Duration::from_secs(300),
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
            age: Duration::from_secs(3600),
            write_stall: Duration::from_secs(15),
            drain: Duration::from_secs(9),
        }
    }
}

impl Limits {
    /// The age at which connection `number` is asked to end: at most [`Limits::age`], at least nine tenths of it.
    pub(super) fn age_of(&self, number: u64) -> Duration {
        // Multiples of the golden ratio spread evenly, however many connections are open.
        let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
        let spread = u32::try_from(scattered).unwrap_or_default();
        self.age - self.age / 10 / 65_536 * spread
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Limits};

    #[test]
    fn ages_are_spread_below_the_limit() {
        let limits = Limits::default();
        let ages: Vec<_> = (0..1000).map(|number| limits.age_of(number)).collect();
        let (least, most) = (ages.iter().min().unwrap(), ages.iter().max().unwrap());
        assert!(*least >= limits.age * 9 / 10 && *most <= limits.age);
        assert!(*most - *least > Duration::from_secs(300));
    }
}
