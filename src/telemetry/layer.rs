//! Around every request: its id, its trace, one log line, its metrics.
//!
//! The line is written once the response's head is known, or when the request is given up before that. A gRPC status
//! that follows a body travels in the trailers, after the line: a handler that fails so reports it by
//! [`RequestRecord::set_error`]. What is logged is parsed or from a closed set; a path, a query and header values may
//! hold anything, secrets included, and are never logged.

use std::{
    hash::{BuildHasher, RandomState},
    mem, str,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use tracing::Span;

use super::{metrics::Metrics, request::RequestRecord, trace_context::TraceId};
use crate::refusal::RefusalReason;

/// Names a request in answers and logs; accepted from the caller when it is 1 to 128 of `A-Z a-z 0-9 . _ -`.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Observes requests; clones are cheap and share the metrics.
#[derive(Clone, Debug)]
pub struct Telemetry {
    metrics: Metrics,
}

impl Telemetry {
    /// An observer that counts into `metrics`.
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics }
    }

    /// The metrics this observer counts into.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Begins to observe a request, which gets an `Arc<RequestRecord>` among its extensions.
    pub fn begin<B>(&self, request: &mut Request<B>) -> Observation {
        let record = Arc::new(RequestRecord::new());
        let observation = Observation {
            metrics: self.metrics.clone(),
            record: Arc::clone(&record),
            request_id: request_id(request.headers()),
            trace_id: trace_id(request.headers()),
            method: method_name(request.method()),
            started: Instant::now(),
            reported: false,
        };
        request.extensions_mut().insert(record);
        observation
    }
}

/// A request on its way to being reported: with its answer, or as cancelled when this is dropped before.
pub struct Observation {
    metrics: Metrics,
    record: Arc<RequestRecord>,
    request_id: HeaderValue,
    trace_id: Option<TraceId>,
    method: &'static str,
    started: Instant,
    reported: bool,
}

impl Observation {
    /// What is known of the request.
    pub fn record(&self) -> &Arc<RequestRecord> {
        &self.record
    }

    /// The context of what is logged while the request is answered.
    pub fn span(&self) -> Span {
        tracing::info_span!(
            "request",
            request_id = self.request_id.to_str().unwrap_or_default(),
            trace_id = self.trace_id.as_ref().map(TraceId::as_str),
        )
    }

    /// Reports the answer, which gets the request id.
    pub fn answered<B>(mut self, response: &mut Response<B>) {
        self.report(None, Some(response.status().as_u16()), grpc_status(response.headers()));
        let mut request_id = mem::replace(&mut self.request_id, HeaderValue::from_static(""));
        // It never comes again: no table of HPACK need keep it (RFC 7541 §6.2.3).
        request_id.set_sensitive(true);
        response.headers_mut().insert(REQUEST_ID, request_id);
    }

    /// The one log line. `outcome` is what happened if no answer tells it.
    fn report(&mut self, outcome: Option<&'static str>, status: Option<u16>, grpc_status: Option<u16>) {
        self.reported = true;
        let facts = self.record.take();
        let outcome = outcome.unwrap_or_else(|| outcome_of(status, grpc_status, facts.error, facts.too_many));
        let duration = self.started.elapsed();
        self.metrics.request(facts.endpoint, facts.grant.unwrap_or_default(), outcome, duration);
        if let Some(reason) = facts.too_many {
            self.metrics.refused(reason);
        }
        for alg in facts.issued {
            self.metrics.token_issued(alg);
        }
        // Outside the request's span, which would repeat the two ids.
        tracing::info!(
            target: "mintage::request",
            parent: None,
            request_id = self.request_id.to_str().unwrap_or_default(),
            trace_id = self.trace_id.as_ref().map(TraceId::as_str),
            method = self.method,
            endpoint = facts.endpoint,
            client_id = facts.client_id.as_deref(),
            grant = facts.grant,
            outcome,
            error = facts.error,
            detail = facts.detail.as_deref(),
            too_many = facts.too_many.map(RefusalReason::as_str),
            status,
            grpc_status,
            duration_us = micros(duration),
            "request"
        );
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        if !self.reported {
            self.report(Some("cancelled"), None, None);
        }
    }
}

/// `ok`, `refused` (the caller's fault) or `failed` (ours); when there were too many, [`RefusalReason::outcome`]. A
/// status alone tells those apart in REST, where 503 is `failed` unless its reason is known, and not in gRPC.
fn outcome_of(
    status: Option<u16>,
    grpc_status: Option<u16>,
    error: Option<&str>,
    too_many: Option<RefusalReason>,
) -> &'static str {
    if let Some(reason) = too_many {
        return reason.outcome();
    }
    if status == Some(429) || grpc_status == Some(8) {
        return "limited";
    }
    // INTERNAL is also what gRPC calls a message that cannot be read.
    let is_callers_fault = error == Some("invalid_request");
    // UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS
    let grpc_failed = matches!(grpc_status, Some(2 | 4 | 13..=15)) && !is_callers_fault;
    let failed_error = matches!(error, Some("server_error" | "temporarily_unavailable"));
    match status {
        _ if grpc_failed || failed_error => "failed",
        // The caller speaks an HTTP that is not served.
        Some(501 | 505) => "refused",
        Some(500..) => "failed",
        Some(400..) => "refused",
        _ if error.is_some() || grpc_status.is_some_and(|code| code != 0) => "refused",
        _ => "ok",
    }
}

/// The caller's request id if it is fit to be logged and sent back, else one of our own.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let fit = |value: &&HeaderValue| {
        (1..=128).contains(&value.len())
            && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
    };
    headers.get(REQUEST_ID).filter(fit).cloned().unwrap_or_else(unique_id)
}

/// 128 bits that nobody can count requests by: a keyed hash of their number, at a fraction of what random bytes cost.
fn unique_id() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);

    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let halves = [0_u64, 1].map(|half| KEYS.hash_one((number, half)).to_be_bytes());
    let mut hex = [0; 32];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(halves.as_flattened()) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    HeaderValue::from_bytes(&hex).unwrap_or_else(|_| HeaderValue::from_static("unnamed"))
}

/// The trace id of the only `traceparent`; two of them are as good as none (W3C Trace Context §4.3).
fn trace_id(headers: &HeaderMap) -> Option<TraceId> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let only = values.next()?;
    values.next().is_none().then(|| TraceId::from_traceparent(only.as_bytes())).flatten()
}

/// The status of a gRPC response without a body, which comes among the headers (gRPC over HTTP/2, Trailers-Only).
fn grpc_status(headers: &HeaderMap) -> Option<u16> {
    str::from_utf8(headers.get(GRPC_STATUS)?.as_bytes()).ok()?.parse().ok()
}

/// A method may be any token; only the registered ones that reach a handler are named.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfit_request_id_is_replaced() {
        let id_for = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
            request_id(&headers)
        };
        assert_eq!(id_for(b"a.B_9-z"), "a.B_9-z");
        assert_eq!(id_for(&[b'a'; 128]).len(), 128);
        for unfit in [&b""[..], b"a b", b"a\"b", b"\xff", &[b'a'; 129]] {
            let made = id_for(unfit);
            assert!(made.len() == 32 && made.as_bytes().iter().all(u8::is_ascii_hexdigit), "{made:?}");
        }
        assert_ne!(unique_id(), unique_id());
    }

    #[test]
    fn an_outcome_tells_whose_fault_it_was() {
        assert_eq!(outcome_of(Some(200), None, None, None), "ok");
        assert_eq!(outcome_of(Some(200), Some(0), None, None), "ok");
        assert_eq!(outcome_of(Some(304), None, None, None), "ok");
        assert_eq!(outcome_of(Some(401), None, Some("invalid_client"), None), "refused");
        assert_eq!(outcome_of(Some(200), Some(16), None, None), "refused");
        assert_eq!(outcome_of(Some(200), None, Some("invalid_token"), None), "refused");
        assert_eq!(outcome_of(Some(503), None, None, None), "failed");
        assert_eq!(outcome_of(Some(200), Some(13), None, None), "failed");
        assert_eq!(outcome_of(Some(200), Some(13), Some("invalid_request"), None), "refused");
        assert_eq!(outcome_of(Some(505), None, None, None), "refused");
        assert_eq!(outcome_of(Some(200), None, Some("server_error"), None), "failed");
        assert_eq!(outcome_of(Some(429), None, Some("temporarily_unavailable"), None), "limited");
        assert_eq!(outcome_of(Some(200), Some(8), Some("temporarily_unavailable"), None), "limited");
        let busy = |reason| outcome_of(Some(503), Some(8), Some("temporarily_unavailable"), Some(reason));
        assert_eq!(busy(RefusalReason::FailedAuthRate), "limited");
        assert_eq!(busy(RefusalReason::QueueFull), "shed");
    }

    #[test]
    fn two_trace_parents_are_none() {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        headers.append(TRACEPARENT, value.clone());
        assert!(trace_id(&headers).is_some());
        headers.append(TRACEPARENT, value);
        assert!(trace_id(&headers).is_none());
    }
}
