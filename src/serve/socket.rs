//! The byte stream under hyper, with three deadlines of its own.
//!
//! - *Head*: an HTTP/1 head must be complete within a time from its first byte. hyper's `header_read_timeout` also
//!   runs while a kept-alive connection is idle, which is allowed to take far longer.
//! - *Write stall*: a peer that takes no byte for a time loses the connection. hyper waits for ever.
//! - *Hang-up*: a peer that sends no more while it waits for an answer over HTTP/1 may have closed one direction only (RFC 9293
//!   §3.6), as `nc -N` does, or have left. hyper gives up at once; here it learns of it some time later, when most answers have
//!   been sent.
//!
//! The first two end as an `io::ErrorKind::TimedOut` of the read or write, so that hyper tears the connection down.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{activity::Activity, connection::Opening, length_field::LengthField};

/// How long it is believed that a peer which has closed its direction reads on. Longer than nearly all answers take, and no longer:
/// under load a good part of those who wait may have given up.
const HALF_CLOSED: Duration = Duration::from_millis(50);

/// A stream that first gives back the bytes that were read before, to tell its protocol or to notice that it goes on.
pub(super) struct Socket<S> {
    stream: S,
    /// What is not yet given back.
    ahead: Bytes,
    activity: Arc<Activity>,
    head: Option<Head>,
    write_stall: Duration,
    /// How long writes have been pending.
    stall: Deadline,
    /// How long a flush has been pending, which happens with TLS: it takes over what the socket has no room for.
    flush_stall: Deadline,
}

/// The HTTP/1 head that is being read.
struct Head {
    limit: Duration,
    deadline: Deadline,
    requests_seen: u64,
    length_field: LengthField,
    /// When it is said that the peer has closed its direction.
    hang_up: Deadline,
}

impl<S> Socket<S> {
    /// `header` bounds each request's head; without it heads are not timed.
    pub(super) fn new(
        stream: S,
        opening: &Opening,
        activity: Arc<Activity>,
        header: Option<Duration>,
        write_stall: Duration,
    ) -> Self {
        let head = header.map(|limit| {
            let mut deadline = Deadline::default();
            deadline.set(opening.began + limit);
            activity.set_reading_head(true);
            Head {
                limit,
                deadline,
                requests_seen: 0,
                length_field: LengthField::default(),
                hang_up: Deadline::default(),
            }
        });
        Self {
            stream,
            ahead: Bytes::copy_from_slice(&opening.bytes[..opening.length]),
            activity,
            head,
            write_stall,
            stall: Deadline::default(),
            flush_stall: Deadline::default(),
        }
    }

    /// Whether there is anything to give back.
    pub(super) fn has_more(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Takes back what was read last, to be read once more: a head that has begun, if it is anything.
    pub(super) fn give_back(&mut self, bytes: Bytes) {
        // Even without a byte in it, it would keep the whole buffer it was read into.
        self.ahead = if bytes.is_empty() { Bytes::new() } else { bytes };
        if let Some(head) = &mut self.head {
            head.length_field = LengthField::default();
        }
        if self.has_more() {
            self.begin_head();
        }
    }

    fn begin_head(&mut self) {
        if let Some(head) = &mut self.head
            && !head.deadline.is_set()
        {
            head.deadline.set(Instant::now() + head.limit);
            self.activity.set_reading_head(true);
        }
    }

    fn note_blocked(&self) {
        self.activity.set_blocked(self.stall.is_set() || self.flush_stall.is_set());
    }
}

/// Passes on the outcome of a write, or an error once it has been pending for too long.
fn watch<T>(
    stall: &mut Deadline,
    limit: Duration,
    cx: &mut Context<'_>,
    written: Poll<io::Result<T>>,
) -> Poll<io::Result<T>> {
    if written.is_ready() {
        stall.clear();
    } else {
        if !stall.is_set() {
            stall.set(Instant::now() + limit);
        }
        if stall.poll(cx) {
            return Poll::Ready(Err(timed_out("the peer does not read")));
        }
    }
    written
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let given = this.ahead.split_to(this.ahead.len().min(buf.remaining()));
        buf.put_slice(&given);
        let mut read = Poll::Ready(Ok(()));
        if given.is_empty() {
            read = Pin::new(&mut this.stream).poll_read(cx, buf);
        } else if !this.has_more() && buf.remaining() > 0 {
            // What follows comes along if it is there: given the two one after the other, hyper would double its buffer. A read that
            // fails does so again.
            let _ = Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let Some(head) = &mut this.head else { return read };

        if head.requests_seen != this.activity.requests() {
            head.requests_seen = this.activity.requests();
            head.deadline.clear();
            head.length_field = LengthField::default();
            this.activity.set_reading_head(false);
        }
        if this.activity.is_busy() {
            let is_closed =
                matches!(read, Poll::Ready(Ok(()))) && buf.filled().len() == before && buf.remaining() > 0;
            if is_closed && !head.hang_up.is_set() {
                head.hang_up.set(Instant::now() + HALF_CLOSED);
            }
            return if is_closed && !head.hang_up.poll(cx) { Poll::Pending } else { read };
        }
        head.length_field.feed(&buf.filled()[before..]);
        this.activity.set_lengths(head.length_field.count());
        if head.deadline.is_set() {
            // Asked on every read, not only on a pending one: a peer may drip faster than we poll.
            if head.deadline.poll(cx) {
                return Poll::Ready(Err(timed_out("the request's head is late")));
            }
        } else if buf.filled().len() > before {
            this.begin_head();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        let written = watch(&mut this.stall, this.write_stall, cx, written);
        this.note_blocked();
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        let written = watch(&mut this.stall, this.write_stall, cx, written);
        this.note_blocked();
        written
    }

    fn is_write_vectored(&self) -> bool {
        // h2 would send a DATA frame of 256 bytes or more in a write of its own and the trailers of a gRPC call in another.
        // For a stream that takes one slice at a time it copies frames up to 1 KiB, and an answer is one write.
        self.head.is_some() && self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Timed apart from writes: the flush of a plain socket is always ready and says nothing about them.
        let this = &mut *self;
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        let flushed = watch(&mut this.flush_stall, this.write_stall, cx, flushed);
        this.note_blocked();
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
        watch(&mut this.stall, this.write_stall, cx, shut)
    }
}

/// A timer that costs nothing until it is waited for.
#[derive(Default)]
struct Deadline {
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    fn is_set(&self) -> bool {
        self.at.is_some()
    }

    fn set(&mut self, at: Instant) {
        self.at = Some(at);
    }

    fn clear(&mut self) {
        self.at = None;
    }

    /// Whether the deadline has passed; if it is set and has not, the task is woken when it does.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(at) = self.at else { return false };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx).is_ready()
    }
}

fn timed_out(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, reason)
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use axum::body::Bytes;
    use http::{HeaderMap, Request, Response};
    use http_body_util::{BodyExt, Full};
    use hyper::{body::Incoming, server::conn::http2, service::service_fn};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::{serve::connection::PREFACE, telemetry::Protocol};

    fn opening() -> Opening {
        Opening { bytes: *PREFACE, length: 0, protocol: Protocol::Http2, began: Instant::now() }
    }

    /// Takes everything and gets nothing sent, like TLS over a socket that is full.
    struct Hoard;

    impl AsyncWrite for Hoard {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    // F-22
    #[tokio::test(start_paused = true)]
    async fn what_is_taken_over_and_not_sent_is_a_stall_too() {
        let limit = Duration::from_secs(15);
        let mut socket = Socket::new(Hoard, &opening(), Activity::new(), None, limit);
        socket.write_all(b"answer").await.unwrap();
        let begun = Instant::now();
        assert_eq!(socket.flush().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), limit.as_secs());
    }
    /// Counts the writes, each of which a socket of the system would make a call.
    struct Counted(DuplexStream, Arc<AtomicUsize>);

    impl AsyncRead for Counted {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Counted {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.1.fetch_add(1, Relaxed);
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            slices: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.1.fetch_add(1, Relaxed);
            Pin::new(&mut self.0).poll_write_vectored(cx, slices)
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    #[tokio::test]
    async fn the_answer_to_a_call_is_one_write() {
        let (client, server) = duplex(64 * 1024);
        let writes = Arc::<AtomicUsize>::default();
        let stream = Counted(server, Arc::clone(&writes));
        let socket = Socket::new(stream, &opening(), Activity::new(), None, Duration::from_secs(15));
        // As a token is answered: headers, a message, trailers.
        let answer = service_fn(|_: Request<Incoming>| async {
            let trailers = async { Some(Ok::<_, Infallible>(HeaderMap::new())) };
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(vec![0; 700])).with_trailers(trailers)))
        });
        let connection =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), answer);
        tokio::spawn(connection);

        let (caller, connection) = h2::client::handshake(client).await.unwrap();
        tokio::spawn(connection);
        let mut before = 0;
        // The first call shares its writes with the settings of the connection.
        for _ in 0..2 {
            before = writes.load(Relaxed);
            let mut caller = caller.clone().ready().await.unwrap();
            let request = Request::post("http://localhost/").body(()).unwrap();
            let mut body = caller.send_request(request, true).unwrap().0.await.unwrap().into_body();
            while let Some(data) = body.data().await {
                body.flow_control().release_capacity(data.unwrap().len()).unwrap();
            }
            body.trailers().await.unwrap();
        }
        assert_eq!(writes.load(Relaxed) - before, 1);
    }
}
