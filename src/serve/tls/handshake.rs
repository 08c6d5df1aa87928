//! From an accepted socket to an encrypted stream: within a deadline, and only so many at once.
//!
//! A handshake costs a signature and a key agreement, a hundred requests' worth of processor. So that a flood of them does
//! not hold up the requests of those who are connected, only [`Limits::max_handshakes`] are worked on at once; others wait
//! in the order they came. A turn begins when the client's first message is there, which costs nothing to wait for, and ends
//! when the client keeps us waiting: peers that stall hold up nobody but themselves, until their deadline.

use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use rustls::{HandshakeKind, server::Acceptor};
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::Tls;
use crate::{
    peer::{CertificateChain, Peer},
    serve::Limits,
    telemetry::{HandshakeOutcome, Metrics},
};

/// The handshakes of a listener.
pub(in crate::serve) struct Handshakes {
    tls: Tls,
    limit: Duration,
    turn: Duration,
    turns: Semaphore,
    metrics: Metrics,
}

impl Handshakes {
    pub(in crate::serve) fn new(tls: Tls, limits: &Limits, metrics: Metrics) -> Self {
        let turns = Semaphore::new(limits.max_handshakes.clamp(1, Semaphore::MAX_PERMITS));
        Self { tls, limit: limits.handshake, turn: limits.handshake_turn, turns, metrics }
    }

    /// The encrypted stream and who is at its other end; `None` when there is none, or when `give_up` ends before the client
    /// has said anything.
    pub(in crate::serve) async fn complete(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        give_up: impl Future<Output = ()>,
    ) -> Option<(TlsStream<TcpStream>, Peer)> {
        let outcome = match timeout(self.limit, self.shake(stream, give_up)).await {
            Ok(Ok(stream)) => {
                let session = stream.get_ref().1;
                let chain = session.peer_certificates().unwrap_or_default();
                let chain = CertificateChain::new(chain.iter().map(|certificate| certificate.to_vec()));
                let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
                self.metrics.tls_handshake(if resumed {
                    HandshakeOutcome::Resumed
                } else {
                    HandshakeOutcome::Full
                });
                return Some((stream, Peer { address, certificates: chain.map(Arc::new), secure: true }));
            }
            Ok(Err(Failure::GaveUp)) => return None,
            Ok(Err(Failure::Io(error))) => {
                tracing::debug!(peer = %address, %error, "closed: no TLS handshake");
                match error.kind() {
                    // A load balancer that looks whether somebody listens; a client that does not trust us.
                    io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe => HandshakeOutcome::Abandoned,
                    _ => HandshakeOutcome::Failed,
                }
            }
            Err(_) => {
                tracing::debug!(peer = %address, "closed: the TLS handshake is late");
                HandshakeOutcome::Late
            }
        };
        self.metrics.tls_handshake(outcome);
        None
    }

    async fn shake(
        &self,
        stream: TcpStream,
        give_up: impl Future<Output = ()>,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let mut hello = pin!(LazyConfigAcceptor::new(Acceptor::default(), stream));
        let hello = tokio::select! {
            hello = hello.as_mut() => hello?,
            () = give_up => return Err(Failure::GaveUp),
        };
        let begun = Instant::now();
        // The semaphore is never closed.
        let turn = self.turns.acquire().await.map_err(|_| Failure::GaveUp)?;
        let mut rest = pin!(hello.into_stream(Arc::clone(&self.tls.config)));
        let stream = match timeout(self.turn, rest.as_mut()).await {
            Ok(stream) => stream?,
            Err(_) => {
                drop(turn);
                rest.await?
            }
        };
        self.metrics.tls_handshake_duration(begun.elapsed());
        Ok(stream)
    }
}

enum Failure {
    GaveUp,
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
