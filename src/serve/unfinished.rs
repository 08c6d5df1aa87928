//! How much is kept of requests that have begun and not come to their end.
//!
//! Whoever begins requests and does not end them has the server keep what came of them. A connection may have a little of that, as
//! much as is reckoned for it in any case (`app::memory`). For more there is one store for all connections, and a request that finds
//! it empty is refused. What has come whole is not counted: it is being worked off, in queues that are bounded.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use axum::body::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::activity::Activity;
use crate::{refusal::RefusalReason, telemetry::RequestRecord};

/// Bytes that a connection may have without asking.
const OWN: usize = 16 * 1024;

/// Bytes beyond that for all connections together.
const COMMON: usize = 16 * 1024 * 1024;

/// What a request takes that has begun, each field of its head, and each piece of its body beside the bytes in it.
const PER_REQUEST: usize = 4 * 1024;
const PER_FIELD: usize = 160;
const PER_PIECE: usize = 64;

/// What all connections of a listener have taken of the common store.
#[derive(Debug, Default)]
pub(super) struct Unfinished(AtomicUsize);

impl Unfinished {
    fn take(&self, bytes: usize) -> bool {
        let taken = self.0.fetch_add(bytes, Relaxed);
        let is_there = taken + bytes <= COMMON;
        if !is_there {
            self.give_back(bytes);
        }
        is_there
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Relaxed);
    }
}

/// What is kept of one request.
#[derive(Debug)]
pub(super) struct Kept {
    common: Arc<Unfinished>,
    activity: Arc<Activity>,
    bytes: usize,
    of_common: usize,
}

impl Kept {
    /// Counts the head of a request that has a body; `None` when it may not be kept.
    pub(super) fn head(
        request: &Request<Incoming>,
        common: &Arc<Unfinished>,
        activity: &Arc<Activity>,
    ) -> Option<Self> {
        let (common, activity) = (Arc::clone(common), Arc::clone(activity));
        let mut kept = Self { common, activity, bytes: 0, of_common: 0 };
        let has_body = !request.body().is_end_stream();
        (!has_body || kept.more(PER_REQUEST + request.headers().len() * PER_FIELD)).then_some(kept)
    }

    /// Counts so many bytes. Returns whether they may be kept.
    fn more(&mut self, bytes: usize) -> bool {
        let before = self.activity.keep(bytes);
        let beyond = (before + bytes).max(OWN) - before.max(OWN);
        let may_keep = beyond == 0 || self.common.take(beyond);
        self.bytes += bytes;
        self.of_common += if may_keep { beyond } else { 0 };
        may_keep
    }

    fn let_go(&mut self) {
        self.activity.let_go(std::mem::take(&mut self.bytes));
        self.common.give_back(std::mem::take(&mut self.of_common));
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// The body of a request, counted until its end has come.
#[derive(Debug)]
pub(super) struct Counted {
    body: Incoming,
    kept: Kept,
    record: Arc<RequestRecord>,
}

impl Counted {
    /// The body of a request whose head is kept. That it may not be is told to the record, and the edge answers for it.
    pub(super) fn new(body: Incoming, kept: Kept, record: Arc<RequestRecord>) -> Self {
        Self { body, kept, record }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx)).transpose()?;
        let length = frame.as_ref().and_then(|frame| Some(frame.data_ref()?.len()));
        if frame.is_none() || this.body.is_end_stream() {
            this.kept.let_go();
        } else if length.is_some_and(|length| !this.kept.more(PER_PIECE + length)) {
            this.record.set_too_many(RefusalReason::Overloaded);
            return Poll::Ready(Some(Err("too much is unfinished".into())));
        }
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
