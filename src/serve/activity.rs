//! What one connection is doing, for the deadlines that hyper does not have.
//!
//! Written by the connection's socket, its request service and its response bodies, which for HTTP/2 run in tasks of
//! their own; read by the task that drives the connection. Counters are independent hints for timeouts: no other
//! memory is published through them, hence the relaxed ordering.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

/// The state of one connection. Instants are kept as milliseconds since it was opened.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    requests: AtomicU64,
    in_flight: AtomicU32,
    idle_since: AtomicU64,
    /// Responses of which hyper holds a piece that the peer has not yet made room for.
    unsent: AtomicU32,
    sent_at: AtomicU64,
    /// How many `Content-Length` lines the HTTP/1 head being read has.
    lengths: AtomicU8,
    /// Whether an HTTP/1 head has begun and not ended.
    reading_head: AtomicBool,
    /// Whether the socket had no room for what was to be written last.
    blocked: AtomicBool,
    /// Whether an HTTP/1 connection ends with its next answer.
    retiring: AtomicBool,
    /// Bytes that are kept of requests which have not come to their end.
    kept: AtomicUsize,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            requests: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            unsent: AtomicU32::new(0),
            sent_at: AtomicU64::new(0),
            lengths: AtomicU8::new(0),
            reading_head: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            retiring: AtomicBool::new(false),
            kept: AtomicUsize::new(0),
        })
    }

    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// How many requests have begun: their heads were read whole.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Whether a request is between its head and the end of its answer.
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight.load(Relaxed) > 0
    }

    /// Since when there has been no request in progress; `None` while there is one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (!self.is_busy()).then(|| self.at(&self.idle_since))
    }

    /// Since when the peer has taken nothing of any answer; `None` while nothing waits for it.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        (self.unsent.load(Relaxed) > 0).then(|| self.at(&self.sent_at))
    }

    /// Whether there has been neither a request, nor the beginning of one, nor anything to write for this long.
    pub(super) fn rests_for(&self, time: Duration) -> bool {
        let is_waiting = self.blocked.load(Relaxed) || self.reading_head.load(Relaxed);
        !is_waiting && self.idle_since().is_some_and(|since| since.elapsed() >= time)
    }

    /// Notes whether an HTTP/1 head has begun.
    pub(super) fn set_reading_head(&self, begun: bool) {
        self.reading_head.store(begun, Relaxed);
    }

    /// Notes whether something waits for room in the socket.
    pub(super) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Relaxed);
    }

    /// Has an HTTP/1 connection end with its next answer, which says so. To close it while it is idle would cut off a request that
    /// is on its way, and nobody repeats a POST (RFC 9112 §9.6).
    pub(super) fn retire(&self) {
        self.retiring.store(true, Relaxed);
    }

    /// Whether it ends with its next answer.
    pub(super) fn is_retiring(&self) -> bool {
        self.retiring.load(Relaxed)
    }

    /// Notes how many `Content-Length` lines the HTTP/1 head read last has.
    pub(super) fn set_lengths(&self, count: u8) {
        self.lengths.store(count, Relaxed);
    }

    /// How many `Content-Length` lines the HTTP/1 head read last has, those included that hyper removed.
    pub(super) fn lengths(&self) -> u8 {
        self.lengths.load(Relaxed)
    }

    /// Notes that so many bytes are kept; returns how many were before.
    pub(super) fn keep(&self, bytes: usize) -> usize {
        self.kept.fetch_add(bytes, Relaxed)
    }

    /// Notes that so many of them are not any more.
    pub(super) fn let_go(&self, bytes: usize) {
        self.kept.fetch_sub(bytes, Relaxed);
    }

    /// Notes that a request's head was read; it is in progress until the returned value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.requests.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }

    fn at(&self, millis: &AtomicU64) -> Instant {
        self.opened + Duration::from_millis(millis.load(Relaxed))
    }

    fn note_now(&self, millis: &AtomicU64) {
        millis.store(u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }
}

/// A request in progress.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        // Noted first: whoever sees the count at zero must see an instant of now, not of the last lull.
        self.0.note_now(&self.0.idle_since);
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// A response body that tells when hyper comes for its next piece, which it does once the last one found room in the
/// peer's flow-control window and the socket. While hyper stays away, the peer is not reading.
pub(super) struct TrackedBody {
    body: Body,
    request: InFlight,
    unsent: bool,
}

impl TrackedBody {
    pub(super) fn new(body: Body, request: InFlight) -> Self {
        let mut tracked = Self { body, request, unsent: false };
        tracked.set_unsent(true);
        tracked
    }

    fn set_unsent(&mut self, unsent: bool) {
        let activity = &*self.request.0;
        if unsent != self.unsent {
            self.unsent = unsent;
            activity.note_now(&activity.sent_at);
            if unsent {
                activity.unsent.fetch_add(1, Relaxed);
            } else {
                activity.unsent.fetch_sub(1, Relaxed);
            }
        }
    }
}

impl http_body::Body for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.set_unsent(false);
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.set_unsent(frame.is_some());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        self.set_unsent(false);
    }
}
