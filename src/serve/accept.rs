//! The accept loop: it outlives every error and every connection.

use std::{future::poll_fn, io, net::SocketAddr, sync::Arc, task::Poll, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    connection::Connections,
    edge::Edge,
    limits::Limits,
    overload::Overload,
    places::{Place, Places},
    proxy::Proxies,
    router::Routes,
    shutdown::Shutdown,
    tls::{Handshakes, Tls},
};
use crate::{
    peer::Peer,
    telemetry::{Metrics, Telemetry},
};

/// A pause after an accept error, long enough not to spin and short beside what a caller waits for.
const PAUSE: Duration = Duration::from_millis(50);

/// The least time between two log lines about accept errors.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// A socket that listens, and what is spoken on it.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    tls: Option<Tls>,
    proxies: Option<Proxies>,
    overload: Option<Arc<Overload>>,
}

impl Listener {
    /// Nothing but TLS: whoever speaks anything else is hung up on, without a redirect (CHK-29).
    pub fn tls(socket: TcpListener, tls: Tls) -> Self {
        Self { socket, tls: Some(tls), proxies: None, overload: None }
    }

    /// The same, with these proxies in front of it.
    #[must_use]
    pub fn behind(self, proxies: Proxies) -> Self {
        Self { proxies: Some(proxies), ..self }
    }

    /// The same, where not everybody gets in while there is too much to do.
    #[must_use]
    pub fn guarded(self, overload: Arc<Overload>) -> Self {
        Self { overload: Some(overload), ..self }
    }

    /// Its address, with the port that the system chose for port 0.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// A listener without TLS.
impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self { socket, tls: None, proxies: None, overload: None }
    }
}

/// Serves `routes` on `listener` until `shutdown` drains and every connection is done, for at most
/// [`Limits::drain`]. Returns how many connections had to be dropped.
pub async fn serve(
    listener: impl Into<Listener>,
    routes: Routes,
    limits: Limits,
    telemetry: Telemetry,
    shutdown: Shutdown,
) -> usize {
    let Listener { socket: listener, tls, proxies, overload } = listener.into();
    let drain = limits.drain;
    let metrics = telemetry.metrics().clone();
    let places = Arc::new(Places::new(&limits));
    let edge = Edge::new(routes, telemetry, limits.request, proxies.clone(), overload, shutdown.clone());
    let handshakes = tls.map(|tls| Arc::new(Handshakes::new(tls, &limits, metrics.clone())));
    let mut open = Open {
        handshakes,
        connections: Arc::new(Connections::new(edge, limits, shutdown.clone(), Arc::clone(&places))),
        proxies,
        metrics: metrics.clone(),
        tasks: JoinSet::new(),
        accepted: 0,
    };
    let mut errors = AcceptErrors { metrics, last_logged: None, unlogged: 0 };

    while let Some(permit) = or_draining(&shutdown, places.free()).await {
        match or_draining(&shutdown, listener.accept()).await {
            Some(Ok((stream, address))) => open.admit(stream, address, permit, &places),
            Some(Err(error)) => errors.outlive(&error).await,
            None => break,
        }
    }

    // Peers in the backlog believe that they are connected: they are served, not reset.
    while let Some(permit) = places.free_now() {
        match poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await {
            Poll::Ready(Ok((stream, address))) => open.admit(stream, address, permit, &places),
            Poll::Ready(Err(_)) | Poll::Pending => break,
        }
    }
    drop(listener);
    open.drain(drain, &shutdown).await
}

/// The output of `future`, or `None` once the service drains.
async fn or_draining<F: Future>(shutdown: &Shutdown, future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        () = shutdown.draining() => None,
        output = future => Some(output),
    }
}

/// The connections of a listener.
struct Open {
    handshakes: Option<Arc<Handshakes>>,
    connections: Arc<Connections>,
    proxies: Option<Proxies>,
    metrics: Metrics,
    tasks: JoinSet<()>,
    accepted: u64,
}

impl Open {
    /// Begins with a connection, or closes it when its host has enough of them.
    fn admit(
        &mut self,
        stream: TcpStream,
        address: SocketAddr,
        permit: OwnedSemaphorePermit,
        places: &Places,
    ) {
        while let Some(ended) = self.tasks.try_join_next() {
            report_panic(ended);
        }
        self.metrics.connection_accepted();
        match places.take(permit, address, self.proxies.as_ref()) {
            Some(place) => self.spawn(stream, address, place),
            None => {
                tracing::debug!(peer = %address, "closed: its host has as many connections as it may");
                self.metrics.connection_dropped("source");
            }
        }
    }

    fn spawn(&mut self, stream: TcpStream, address: SocketAddr, place: Place) {
        self.accepted += 1;
        let number = self.accepted;
        let connections = Arc::clone(&self.connections);
        let handshakes = self.handshakes.clone();
        self.tasks.spawn(async move {
            // Nagle's algorithm would hold back the second small write of a gRPC answer for 40 ms. The option
            // cannot be set on a connection that is already gone, which the first read finds out.
            let _ = stream.set_nodelay(true);
            match handshakes {
                None => connections.drive(stream, Peer::plain(address), number).await,
                Some(handshakes) => {
                    let silence = connections.drained_in_silence();
                    // Boxed, both: a task takes as much memory as the most it ever holds, for as long as it lives.
                    let handshake = Box::pin(handshakes.complete(stream, address, silence));
                    if let Some(Some((stream, peer))) = connections.or_made_room(handshake).await {
                        connections.drive(Box::new(stream), peer, number).await;
                    }
                }
            }
            drop(place);
        });
    }

    async fn drain(mut self, limit: Duration, shutdown: &Shutdown) -> usize {
        tokio::select! {
            () = async { while let Some(ended) = self.tasks.join_next().await { report_panic(ended) } } => {}
            () = sleep(limit) => {}
            () = shutdown.forced() => {}
        }
        let dropped = self.tasks.len();
        if dropped > 0 {
            tracing::warn!(dropped, "connections were dropped while draining");
        }
        self.tasks.shutdown().await;
        dropped
    }
}

fn report_panic(ended: Result<(), tokio::task::JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a connection's task panicked");
    }
}

/// Failures to accept: of one peer (it reset the connection first) or of the host (descriptors, memory).
struct AcceptErrors {
    metrics: Metrics,
    last_logged: Option<Instant>,
    unlogged: u64,
}

impl AcceptErrors {
    async fn outlive(&mut self, error: &io::Error) {
        self.metrics.accept_error();
        if self.last_logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            tracing::warn!(%error, unlogged = self.unlogged, "a connection could not be accepted");
            self.last_logged = Some(Instant::now());
            self.unlogged = 0;
        } else {
            self.unlogged += 1;
        }
        let of_the_peer = matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
        );
        if !of_the_peer {
            sleep(PAUSE).await;
        }
    }
}
