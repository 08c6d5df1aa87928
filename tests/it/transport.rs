//! The listener itself, seen through real sockets: deadlines, limits, routing, refusals, telemetry, shutdown.
//!
//! Routes and services here are stand-ins; limits are shortened to a few hundred milliseconds. `V-n`, `F-n` and
//! `CHK-n` name entries of the project's security list.

mod deadlines;
mod limits;
mod logging;
mod messages;
#[path = "support/raw.rs"]
mod raw;
mod routing;
mod shutdown;
mod tls;

use std::{
    net::SocketAddr,
    sync::Arc,
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
use tokio::{net::TcpListener, task::JoinHandle, time::sleep};

/// A body larger than every buffer between the server and a peer that does not read.
const LARGE: usize = 32 * 1024 * 1024;

struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    metrics: Metrics,
    task: JoinHandle<usize>,
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
        let routes = serve::router(rest(), grpc().await);
        let telemetry = Telemetry::new(metrics.clone());
        let task = tokio::spawn(serve::serve(on(listener), routes, limits, telemetry, shutdown.clone()));
        Self { address, shutdown, metrics, task }
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
        let name = format!("mintage_connections{{protocol=\"{protocol}\"}}");
        for _ in 0..500 {
            if self.metric(&name) == count {
                return true;
            }
            sleep(Duration::from_millis(20)).await;
        }
        false
    }
}

/// Limits short enough to wait for.
fn quick() -> Limits {
    Limits {
        handshake: Duration::from_millis(300),
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

fn rest() -> Router {
    Router::new()
        .route("/hello", get(async || "hello"))
        .route("/peer", get(async |Extension(peer): Extension<Peer>| peer.address.to_string()))
        .route("/certificate", get(certificate))
        .route("/echo", post(async |body: String| body))
        .route("/slow", get(slow))
        .route("/never", get(std::future::pending::<String>))
        .route("/panic", get(async || -> &'static str { panic!("on purpose") }))
        .route("/large", get(async || Bytes::from(vec![0; LARGE])))
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

async fn slow() -> &'static str {
    sleep(Duration::from_millis(250)).await;
    "slow"
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
async fn grpc() -> Router {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
    tonic::service::Routes::new(health)
        .into_axum_router()
        .route("/test.Service/Never", post(std::future::pending::<String>))
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
