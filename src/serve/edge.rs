//! What happens to every request, in this order: it gets in or not, its peer is noted (or whom a proxy speaks for), it is
//! observed, it gets a deadline, and a panic of its handler stays its own.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use axum::{body::Body, routing::future::RouteFuture};
use http::{HeaderMap, HeaderValue, Request, Response, Version, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{task::yield_now, time::timeout};
use tracing::Instrument;

use super::{
    activity::{Activity, TrackedBody},
    inline,
    overload::{Admitted, Overload},
    proxy::Proxies,
    refusal::{
        FRAMED_TWICE, Form, HANDLER_PANICKED, NO_HOST, OVERLOADED, REQUEST_TIMED_OUT, Refusal, UNKNOWN_CODING,
    },
    router::Routes,
    shutdown::Shutdown,
    unfinished::{Counted, Kept, Unfinished},
};
use crate::{
    grpc,
    peer::Peer,
    refusal::RefusalReason,
    telemetry::{RequestRecord, Telemetry},
};

/// The most bytes of a body that are read to be thrown away.
const THROWN_AWAY: u64 = 64 * 1024;

/// How long they may take.
const AT_ONCE: Duration = Duration::from_millis(5);

/// The way to the routes, shared by all connections of a listener.
pub(super) struct Edge {
    routes: Routes,
    telemetry: Telemetry,
    request: Duration,
    proxies: Option<Proxies>,
    overload: Option<Arc<Overload>>,
    shutdown: Shutdown,
    unfinished: Arc<Unfinished>,
}

impl Edge {
    /// `request` bounds the time from a request's head to its answer's.
    pub(super) fn new(
        routes: Routes,
        telemetry: Telemetry,
        request: Duration,
        proxies: Option<Proxies>,
        overload: Option<Arc<Overload>>,
        shutdown: Shutdown,
    ) -> Self {
        Self { routes, telemetry, request, proxies, overload, shutdown, unfinished: Arc::default() }
    }

    /// The peer of a request that came over this connection.
    fn peer_of<B>(&self, connection: &Peer, request: &Request<B>) -> Peer {
        match &self.proxies {
            Some(proxies) => proxies.peer_of(connection, request.headers()),
            None => connection.clone(),
        }
    }

    pub(super) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Begins to answer a request. `lengths` counts its `Content-Length` lines, of which hyper may have removed some.
    fn begin(&self, request: Request<Body>, lengths: u8) -> Begun {
        let form = Form::of(request.headers());
        let limit = grpc_timeout(request.headers())
            .filter(|_| form != Form::Json)
            .map_or(self.request, |asked| asked.min(self.request));
        let is_http1 = request.version() <= Version::HTTP_11;
        // RFC 9112 §6.1: a chunked request that has a length as well is how a second one is smuggled past a proxy. It is
        // refused where it is noticed, and in any case no connection is used again after a chunked request.
        let close = is_http1 && request.headers().contains_key(header::TRANSFER_ENCODING);
        let is_framed_twice = lengths > 1 || close && lengths > 0;
        let way = if is_framed_twice {
            Way::Refusal(FRAMED_TWICE)
        } else if close && !is_chunked(request.headers()) {
            Way::Refusal(UNKNOWN_CODING)
        } else if lacks_host(&request) {
            Way::Refusal(NO_HOST)
        } else {
            self.routes.route(form, request).map_or_else(Way::Answer, Way::Route)
        };
        Begun { form, limit, is_http1, close, way }
    }

    /// Ends to answer it.
    async fn finish(
        &self,
        begun: &mut Begun,
        record: &RequestRecord,
        admitted: Option<Admitted>,
    ) -> Response<Body> {
        let answer = match &mut begun.way {
            Way::Route(route) => match timeout(begun.limit, isolate(route)).await {
                Ok(Ok(Ok(response))) => Ok(response),
                Ok(Ok(Err(never))) => match never {},
                Ok(Err(Panicked)) => Err(HANDLER_PANICKED),
                Err(_) => Err(REQUEST_TIMED_OUT),
            },
            Way::Answer(answer) => Ok(mem::take(&mut **answer)),
            Way::Refusal(refusal) => Err(*refusal),
        };
        let answer = match (record.too_many(), &self.overload, admitted) {
            // Its body was not read to the end, see `unfinished`.
            (Some(RefusalReason::Overloaded), ..) => Err(OVERLOADED),
            (Some(reason), Some(overload), Some(admitted)) => {
                overload.refused(admitted, reason);
                answer
            }
            _ => answer,
        };
        let mut close = begun.close;
        let mut response = answer.unwrap_or_else(|refusal| {
            record.set_error(refusal.error);
            // The rest of the request may be on its way still.
            close = begun.is_http1;
            refusal.answer(begun.form)
        });
        if begun.form != Form::Json
            && let Some(code) = grpc::explain(response.headers_mut())
        {
            record.set_error(code);
        }
        if close {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A request on its way to its answer.
struct Begun {
    form: Form,
    limit: Duration,
    is_http1: bool,
    /// Whether the connection ends with it.
    close: bool,
    way: Way,
}

/// Where its answer comes from.
#[expect(clippy::large_enum_variant, reason = "nearly all are the large one, which lies in a box already")]
enum Way {
    Route(RouteFuture<Infallible>),
    /// There is no route for such a request.
    Answer(Box<Response<Body>>),
    /// The request is not looked at.
    Refusal(Refusal),
}

/// The [`Edge`] as one connection sees it.
pub(super) struct EdgeService {
    edge: Arc<Edge>,
    peer: Peer,
    activity: Arc<Activity>,
}

impl EdgeService {
    pub(super) fn new(edge: Arc<Edge>, peer: Peer, activity: Arc<Activity>) -> Self {
        Self { edge, peer, activity }
    }
}

impl hyper::service::Service<Request<Incoming>> for EdgeService {
    type Response = Response<TrackedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let lengths = self.activity.lengths();
        let in_flight = self.activity.begin();
        let is_next_turn = request.version() <= Version::HTTP_11 && !inline::one_more();
        let edge = Arc::clone(&self.edge);
        let guard = edge.overload.as_ref();
        let admitted =
            guard.map(|guard| guard.admit(&self.peer, edge.proxies.as_ref(), &request)).transpose();
        let entered = admitted.and_then(|admitted| {
            let kept = Kept::head(&request, &edge.unfinished, &self.activity).ok_or(OVERLOADED)?;
            Ok((admitted, kept))
        });
        let (admitted, kept) = match entered {
            Ok(entered) => entered,
            Err(refusal) => {
                if let Some(reason) = refusal.too_many {
                    edge.telemetry.metrics().turned_away(reason);
                }
                let response = turn_away(request, refusal);
                return Box::pin(async move {
                    if is_next_turn {
                        yield_now().await;
                    }
                    Ok(response.await.map(|body| TrackedBody::new(body, in_flight)))
                });
            }
        };
        let peer = edge.peer_of(&self.peer, &request);
        request.extensions_mut().insert(peer);
        let observation = edge.telemetry.begin(&mut request);
        let record = Arc::clone(observation.record());
        let request = request.map(|body| Body::new(Counted::new(body, kept, record)));
        let mut begun = edge.begin(request, lengths);
        begun.close |= begun.is_http1 && (self.activity.is_retiring() || edge.shutdown.is_leaving());
        // What is here is used where it lies: the future of a request is moved several times.
        Box::pin(async move {
            if is_next_turn {
                yield_now().await;
            }
            let answered = edge.finish(&mut begun, observation.record(), admitted);
            let mut response = answered.instrument(observation.span()).await;
            observation.answered(&mut response);
            Ok(response.map(|body| TrackedBody::new(body, in_flight)))
        })
    }
}

/// Answers a request that does not get in. It is counted and not logged: what there is too much of must cost little. What
/// the caller has already sent is read and thrown away, so that it need not connect again. The head is let go of at once: others may
/// wait behind it to be looked at.
fn turn_away(request: Request<Incoming>, refusal: Refusal) -> impl Future<Output = Response<Body>> {
    let (form, is_http1) = (Form::of(request.headers()), request.version() <= Version::HTTP_11);
    // Reading the body would ask for it.
    let is_waiting = request.headers().contains_key(header::EXPECT);
    let body = request.into_body();
    async move {
        let is_read = !is_waiting && is_read_at_once(body).await;
        let mut response = refusal.answer(form);
        if is_http1 && !is_read {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Whether a short body was there to its end, or nearly.
async fn is_read_at_once(mut body: Incoming) -> bool {
    if body.size_hint().upper().is_none_or(|length| length > THROWN_AWAY) {
        return false;
    }
    let read = async {
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return false;
            }
        }
        true
    };
    timeout(AT_ONCE, read).await.unwrap_or(false)
}

struct Panicked;

/// The output of `future`, or word that it panicked. What it shares with other requests must bear that: locks here
/// guard single assignments.
async fn isolate<F: Future + Unpin>(future: &mut F) -> Result<F::Output, Panicked> {
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *future).poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => {
            // The payload may quote the request; the panic hook has told where it happened.
            tracing::error!("a handler panicked");
            Poll::Ready(Err(Panicked))
        }
    })
    .await
}

/// Whether an HTTP/1.1 request has no Host or several (RFC 9112 §3.2): two parties could take it for different ones.
fn lacks_host<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11 && request.headers().get_all(header::HOST).iter().count() != 1
}

/// Whether `chunked` is the only transfer coding. hyper undoes no other and would take coded bytes for the body.
fn is_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    codings.next().is_some_and(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
        && codings.next().is_none()
}

/// The deadline a gRPC caller asks for: at most eight digits and a unit (gRPC over HTTP/2, Timeout). A malformed one
/// is as good as none; our own bound holds in any case.
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let (unit, digits) = headers.get("grpc-timeout")?.as_bytes().split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(value * 3600)),
        b'M' => Some(Duration::from_secs(value * 60)),
        b'S' => Some(Duration::from_secs(value)),
        b'm' => Some(Duration::from_millis(value)),
        b'u' => Some(Duration::from_micros(value)),
        b'n' => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, HeaderMap, grpc_timeout};

    fn parse(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", value.parse().unwrap());
        grpc_timeout(&headers)
    }

    #[test]
    fn a_grpc_timeout_is_digits_and_a_unit() {
        assert_eq!(parse("1m"), Some(Duration::from_millis(1)));
        assert_eq!(parse("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(parse("0n"), Some(Duration::ZERO));
        for malformed in ["", "m", "1", "1s", "-1S", "1 S", "123456789m", "1.5S"] {
            assert_eq!(parse(malformed), None, "{malformed:?}");
        }
    }
}
