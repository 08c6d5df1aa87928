//! The listener itself, seen through real sockets: deadlines, limits, routing, refusals, telemetry, shutdown.
//!
//! Routes and services here are stand-ins; limits are shortened to a few hundred milliseconds. `V-n`, `F-n` and
//! `CHK-n` name entries of the project's security list.

mod deadlines;
mod limits;
mod logging;
mod messages;
mod routing;
mod shutdown;
mod tls;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{
    Extension, Router,
    body::Bytes,
    routing::{get, post},
};
use http::{HeaderMap, Request, Response};
use mintage::{
    peer::Peer,
    serve::{self, Limits, Listener, Shutdown},
    telemetry::{Metrics, RequestRecord, Telemetry},
};
use tokio::{
    net::TcpListener,
    sync::Notify,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::support::raw;

/// A body larger than every buffer between the server and a peer that does not read.
const LARGE: usize = 32 * 1024 * 1024;

struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    metrics: Metrics,
    held: Held,
    task: JoinHandle<usize>,
}

/// Requests to `/held` and `/never`, `/large` and their gRPC twins.
#[derive(Clone, Default)]
struct Held {
    /// How many have reached their handler.
    begun: Arc<AtomicUsize>,
    /// Lets those to `/held` go on.
    end: Arc<Notify>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        Self::start_on(limits, Listener::from).await
    }

    async fn start_on(limits: Limits, on: impl FnOnce(TcpListener) -> Listener) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        #[expect(clippy::disallowed_methods, reason = "the start of this process")]
        let metrics = Metrics::new("test", SystemTime::now());
        let shutdown = Shutdown::new();
        let held = Held::default();
        let routes = serve::router(rest(&held), grpc(&held).await);
        let telemetry = Telemetry::new(metrics.clone());
        let task = tokio::spawn(serve::serve(on(listener), routes, limits, telemetry, shutdown.clone()));
        Self { address, shutdown, metrics, held, task }
    }

    /// Whether a fresh connection gets its answer.
    async fn is_serving(&self) -> bool {
        let answer = raw::request(self.address, "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
        answer.is_some_and(|answer| answer.status == 200 && answer.body == "hello")
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.metrics.encode().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or(" 0");
        line.trim().parse().unwrap()
    }

    /// Waits until `count` connections of `protocol` are open.
    async fn has_open(&self, protocol: &str, count: u64) -> bool {
        let name = format!("mintage_connections{{protocol=\"{protocol}\",tls=\"false\"}}");
        let is_so = || self.metric(&name) == count;
        timeout(raw::PATIENCE, until(is_so)).await.is_ok()
    }

    /// Waits until so many requests have reached a handler that holds them.
    async fn has_begun(&self, count: usize) {
        let is_so = || self.held.begun.load(Ordering::SeqCst) == count;
        timeout(raw::PATIENCE, until(is_so)).await.expect("the requests begin");
    }
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        sleep(Duration::from_millis(10)).await;
    }
}

/// Limits short enough to wait for.
fn quick() -> Limits {
    Limits {
        first_byte: Duration::from_millis(300),
        header: Duration::from_millis(300),
        request: Duration::from_millis(500),
        http1_idle: Duration::from_millis(1500),
        http2_idle: Duration::from_millis(1500),
        write_stall: Duration::from_millis(300),
        drain: Duration::from_millis(1500),
        ..Limits::default()
    }
}

fn rest(held: &Held) -> Router {
    let (slow, never, large) = (held.clone(), held.clone(), held.clone());
    Router::new()
        .route("/hello", get(async || "hello"))
        .route("/peer", get(async |Extension(peer): Extension<Peer>| peer.address.to_string()))
        .route("/certificate", get(certificate))
        .route("/echo", post(async |body: String| body))
        .route("/held", get(async move || slow.until_end().await))
        .route("/never", get(async move || never.for_ever().await))
        .route("/panic", get(async || -> &'static str { panic!("on purpose") }))
        .route("/large", get(async move || large.with(Bytes::from(vec![0; LARGE]))))
        .route("/token", post(token))
        .fallback(async || "a fallback that must not survive")
}

/// The leaf the peer presented, in DER, and how many certificates came with it.
async fn certificate(Extension(peer): Extension<Peer>) -> impl axum::response::IntoResponse {
    let (leaf, more) = match peer.certificates.as_deref() {
        Some(chain) => (chain.leaf.clone(), chain.intermediates.len()),
        None => (Vec::new(), 0),
    };
    ([("x-secure", peer.secure.to_string()), ("x-intermediates", more.to_string())], leaf)
}

impl Held {
    fn with<T>(&self, answer: T) -> T {
        self.begun.fetch_add(1, Ordering::SeqCst);
        answer
    }

    async fn until_end(&self) -> &'static str {
        let end = self.end.notified();
        self.with(end).await;
        "held"
    }

    async fn for_ever(&self) -> String {
        self.with(std::future::pending()).await
    }
}

/// Reports whatever the caller names, as no real handler would.
async fn token(Extension(record): Extension<Arc<RequestRecord>>, client: String) -> http::StatusCode {
    record.set_endpoint("token");
    record.set_client_id(&client);
    record.set_grant("client_credentials");
    record.set_error("invalid_client");
    tracing::warn!(client, "inside the handler");
    http::StatusCode::UNAUTHORIZED
}

/// The real health service, and calls that take their time or panic.
async fn grpc(held: &Held) -> Router {
    let never = held.clone();
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
    tonic::service::Routes::new(health)
        .into_axum_router()
        .route("/test.Service/Never", post(async move || never.for_ever().await))
        .route("/test.Service/Panic", post(async || -> &'static str { panic!("on purpose") }))
        .route("/test.Service/Large", post(async || Bytes::from(vec![0; LARGE])))
        .route("/test.Service/Read", post(async |body: Bytes| body))
}

/// An HTTP/2 client, its connection driven in the background.
async fn http2(address: SocketAddr) -> h2::client::SendRequest<Bytes> {
    http2_with(address, &h2::client::Builder::new()).await
}

async fn http2_with(address: SocketAddr, builder: &h2::client::Builder) -> h2::client::SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (client, connection) = builder.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client.ready().await.unwrap()
}

/// A request on `client`, its whole answer read.
async fn call(
    client: &h2::client::SendRequest<Bytes>,
    request: Request<()>,
    body: &'static [u8],
) -> Result<Response<String>, h2::Error> {
    let mut client = client.clone().ready().await?;
    let (response, mut send) = client.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        send.send_data(Bytes::from_static(body), true)?;
    }
    let (parts, mut body) = response.await?.into_parts();
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        text.extend(data);
    }
    let mut response = Response::from_parts(parts, String::from_utf8_lossy(&text).into_owned());
    if let Some(trailers) = body.trailers().await? {
        response.headers_mut().extend(trailers);
    }
    Ok(response)
}

fn grpc_request(path: &str) -> http::request::Builder {
    Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
}

fn grpc_status(headers: &HeaderMap) -> Option<&str> {
    headers.get("grpc-status")?.to_str().ok()
}

/// An empty message in gRPC's framing.
const EMPTY_MESSAGE: &[u8] = &[0; 5];
