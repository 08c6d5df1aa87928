//! One connection, from its first byte to its end.
//!
//! The protocol is told by the first bytes before hyper sees any: the detection built into hyper-util has no deadline,
//! so silence, a single `P` or half a preface would hold a connection for ever. From then on a connection ends by
//! itself, or because it is idle, old, stalled, or the listener drains.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    activity::Activity,
    again::Again,
    edge::{Edge, EdgeService},
    inline::{self, Inline},
    limits::Limits,
    places::Places,
    shutdown::Shutdown,
    socket::Socket,
};
use crate::{peer::Peer, telemetry::Protocol};

/// What an HTTP/2 client sends first (RFC 9113 §3.4). No HTTP/1 request begins so.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a connection without a byte may hold up the draining of the listener.
const SILENT_GRACE: Duration = Duration::from_millis(500);

/// How long an HTTP/1 connection is kept ready for its next request before it rests: who asks less often pays for two buffers with
/// each request.
const READY: Duration = Duration::from_millis(100);

/// How long one is at most that has not rested for as long, and each time it has not is kept ready twice as long as before.
const LONGEST_READY: Duration = Duration::from_secs(1);

/// How long one that does not rest is not looked at again, once it has not for a while: each time costs a microsecond.
const LONGEST_NAP: Duration = Duration::from_secs(1);

/// How long a connection that rests is as good as one that is ready, when some must make room.
const RECENT: Duration = Duration::from_secs(1);

/// How long a connection that makes room for another may take to say goodbye.
const ROOM_GRACE: Duration = Duration::from_secs(1);

/// What the connections of a listener have in common.
pub(super) struct Connections {
    edge: Arc<Edge>,
    limits: Limits,
    shutdown: Shutdown,
    places: Arc<Places>,
    http1: http1::Builder,
    http2: http2::Builder<Inline>,
}

impl Connections {
    pub(super) fn new(edge: Edge, limits: Limits, shutdown: Shutdown, places: Arc<Places>) -> Self {
        let head = usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX);
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(None) // see `socket`
            .max_header_size(head)
            .max_buf_size(head.saturating_mul(2));
        let mut http2 = http2::Builder::new(Inline);
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(limits.max_header_bytes)
            .max_concurrent_streams(limits.max_concurrent_streams)
            .max_local_error_reset_streams(limits.max_local_resets)
            .max_pending_accept_reset_streams(limits.max_pending_accept_resets)
            .keep_alive_interval(limits.ping_interval)
            .keep_alive_timeout(limits.ping_timeout)
            // A request is at most 64 KiB, so that one stream's window holds it; the connection's bounds the sum.
            .initial_stream_window_size(64 * 1024)
            .initial_connection_window_size(256 * 1024)
            .max_send_buf_size(64 * 1024);
        Self { edge: Arc::new(edge), limits, shutdown, places, http1, http2 }
    }

    /// Serves connection `number` until it ends.
    pub(super) async fn drive<S>(&self, mut stream: S, peer: Peer, number: u64)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let activity = Activity::new();
        let opening = self.or_made_room(timeout(self.limits.first_byte, Opening::read(&mut stream)));
        let opening = tokio::select! {
            opening = opening => opening,
            () = self.drained_in_silence() => return,
        };
        let Some(Ok(Ok(opening))) = opening else {
            tracing::debug!(peer = %peer.address, "closed: no request line and no preface");
            return;
        };

        let _open = self.edge.telemetry().metrics().connection_open(opening.protocol, peer.secure);
        let service = EdgeService::new(Arc::clone(&self.edge), peer.clone(), Arc::clone(&activity));
        let head = (opening.protocol == Protocol::Http1).then_some(self.limits.header);
        let socket = Socket::new(stream, &opening, Arc::clone(&activity), head, self.limits.write_stall);
        // Boxed, so that a connection of one protocol does not take the memory of either.
        let ended = match opening.protocol {
            Protocol::Http1 => Box::pin(self.http1(socket, service, &activity, number)).await,
            Protocol::Http2 => {
                let connection = Box::pin(self.http2.serve_connection(TokioIo::new(socket), service));
                self.supervise(connection, &activity, number, self.limits.http2_idle, None).await.map(drop)
            }
        };
        if let Err(reason) = ended {
            tracing::debug!(peer = %peer.address, %reason, "closed");
        }
    }

    /// HTTP/1 until it ends. While a kept-alive connection rests, hyper is put away with its two buffers of 8 KiB.
    async fn http1<S>(
        &self,
        mut socket: Socket<S>,
        mut service: EdgeService,
        activity: &Activity,
        number: u64,
    ) -> Result<(), End>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let idle = self.limits.http1_idle;
        let mut ready = READY;
        loop {
            let connection = Box::pin(self.http1.serve_connection(TokioIo::new(socket), service));
            let rests = self.supervise(connection, activity, number, idle, Some(ready)).await?;
            let Some(connection) = rests else { return Ok(()) };
            let parts = Pin::into_inner(connection).into_parts();
            (socket, service) = (parts.io.into_inner(), parts.service);
            socket.give_back(parts.read_buf);
            if socket.has_more() {
                continue;
            }
            let since = Instant::now();
            let ends = activity.idle_since().map_or(since, |idle_since| idle_since + idle);
            let mut first = [0; 64];
            let read = tokio::select! {
                read = self.or_made_room_after(|| activity.rests_for(RECENT), socket.read(&mut first)) => read,
                () = self.shutdown.draining() => None,
                () = sleep_until(ends) => None,
            };
            match read {
                Some(Ok(length)) if length > 0 => {
                    socket.give_back(Bytes::copy_from_slice(&first[..length]));
                    let is_soon = since.elapsed() < LONGEST_READY;
                    ready = if is_soon { LONGEST_READY.min(ready * 2) } else { READY };
                }
                _ => {
                    // Nobody is left to be told why the peer cannot be.
                    let _ = socket.shutdown().await;
                    return Ok(());
                }
            }
        }
    }

    /// Waits until the listener drains, and a little longer: for a connection on which nothing was said yet.
    pub(super) async fn drained_in_silence(&self) {
        self.shutdown.draining().await;
        sleep(SILENT_GRACE).await;
    }

    /// The output of `future`, on which a connection without a request waits; `None` when it is to make room instead.
    pub(super) async fn or_made_room<F: Future>(&self, future: F) -> Option<F::Output> {
        self.or_made_room_after(|| true, future).await
    }

    /// The same, and it does not make room before this holds.
    async fn or_made_room_after<F: Future>(&self, holds: impl Fn() -> bool, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                biased;
                output = future.as_mut() => return Some(output),
                () = self.places.looked_at() => if holds() {
                    self.edge.telemetry().metrics().connection_dropped("idle");
                    return None;
                }
            }
        }
    }

    /// Drives `connection` until it ends or has to be dropped, or gives it back once it has been resting for `rest`.
    async fn supervise<C: Graceful>(
        &self,
        mut connection: Pin<Box<C>>,
        activity: &Activity,
        number: u64,
        idle: Duration,
        rest: Option<Duration>,
    ) -> Result<Option<Pin<Box<C>>>, End> {
        let limits = &self.limits;
        // Deadlines only ever move away while the timer runs, but for a stall and for rest: they are looked for this often.
        let longest_nap = limits.write_stall.min(idle).min(rest.map_or(Duration::MAX, |_| LONGEST_NAP));
        let mut nap = longest_nap.min(rest.unwrap_or(Duration::MAX));
        let is_http1 = rest.is_some();
        let again = Again::new();
        let mut draining = pin!(self.shutdown.draining());
        let oldest = activity.opened() + limits.age_of(number);
        let retire_if_old = |now| {
            if is_http1 && oldest <= now {
                activity.retire();
            }
        };
        retire_if_old(Instant::now());
        let mut timer = pin!(sleep_until(oldest.min(Instant::now() + nap)));
        let mut looked_at = pin!(self.places.looked_at());
        let (mut requests_seen, mut seen_at) = (0, Instant::now());
        let mut finishing = false;
        let mut overdue: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                ended = poll_fn(|cx| inline::turn(|| again.poll(connection.as_mut(), cx))) => {
                    return ended.map(|()| None).map_err(End::Protocol);
                }
                // The listener itself drops what is left once it has drained for long enough.
                () = draining.as_mut(), if !finishing => {
                    finishing = true;
                    connection.as_mut().finish();
                }
                () = timer.as_mut() => {
                    let now = Instant::now();
                    let stalls = activity.stalled_since().map(|since| since + limits.write_stall);
                    if stalls.is_some_and(|at| at <= now) {
                        return Err(End::Stalled);
                    }
                    if overdue.is_some_and(|at| at <= now) {
                        return Err(End::Overdue);
                    }
                    // An idle connection of HTTP/1 does not end for its age: see `Activity::retire`.
                    retire_if_old(now);
                    let retires = match activity.idle_since().map(|since| since + idle) {
                        Some(idle) if is_http1 => idle,
                        idle => idle.map_or(oldest, |idle| oldest.min(idle)),
                    };
                    if retires <= now && !finishing {
                        finishing = true;
                        overdue = Some(now + limits.drain);
                        connection.as_mut().finish();
                    }
                    if !finishing && rest.is_some_and(|rest| activity.rests_for(rest)) {
                        return Ok(Some(connection));
                    }
                    let next = if finishing { overdue } else { Some(retires) };
                    let next = [next, stalls].into_iter().flatten().fold(now + nap, Instant::min);
                    nap = longest_nap.min(nap * 2);
                    timer.as_mut().reset(next);
                }
                () = looked_at.as_mut(), if !finishing => {
                    looked_at.set(self.places.looked_at());
                    let requests = activity.requests();
                    if requests != requests_seen {
                        (requests_seen, seen_at) = (requests, Instant::now());
                    } else if !activity.is_busy() || seen_at.elapsed() > limits.request {
                        self.edge.telemetry().metrics().connection_dropped("idle");
                        finishing = true;
                        let at = Instant::now() + ROOM_GRACE;
                        overdue = Some(at);
                        timer.as_mut().reset(at);
                        connection.as_mut().finish();
                    }
                }
            }
        }
    }
}

/// Why a connection was dropped.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("{0}")]
    Protocol(hyper::Error),
    #[error("the peer takes nothing of its answers")]
    Stalled,
    #[error("requests did not finish in time")]
    Overdue,
}

/// A connection that can be asked to finish what it has begun and take on nothing new.
trait Graceful: Future<Output = hyper::Result<()>> {
    fn finish(self: Pin<&mut Self>);
}

impl<I> Graceful for http1::Connection<I, EdgeService>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I> Graceful for http2::Connection<I, EdgeService, Inline>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// The first bytes of a connection and what they tell.
pub(super) struct Opening {
    pub(super) bytes: [u8; PREFACE.len()],
    pub(super) length: usize,
    pub(super) protocol: Protocol,
    /// When the first byte was there.
    pub(super) began: Instant,
}

impl Opening {
    /// Reads until `stream` is known to open with the HTTP/2 preface or with anything else.
    ///
    /// # Errors
    ///
    /// Whatever a read gives, and `UnexpectedEof` when the stream ends first.
    async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Self> {
        let mut bytes = [0; PREFACE.len()];
        let mut length = stream.read(&mut bytes).await?;
        let began = Instant::now();
        while length > 0 && PREFACE.starts_with(&bytes[..length]) {
            if length == PREFACE.len() {
                return Ok(Self { bytes, length, protocol: Protocol::Http2, began });
            }
            match stream.read(&mut bytes[length..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => length += more,
            }
        }
        match length {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(Self { bytes, length, protocol: Protocol::Http1, began }),
        }
    }
}
