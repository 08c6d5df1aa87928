//! TLS on the listener: what is spoken, who is let in, and what a hostile or a slow peer gets.

mod certificates;
mod hello;
mod hostile;
mod protocol;
mod turns;

use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use mintage::serve::tls::ClientAuth;
use rustls::ClientConfig;

use super::{Bytes, Limits, Listener, Server, raw};
use crate::support::tls::{Pair, TestCa, client_config, connect};

/// A server that speaks TLS, and the authority of its certificate.
struct Encrypted {
    server: Server,
    ca: TestCa,
}

impl Encrypted {
    async fn start(limits: Limits, client_auth: ClientAuth) -> Self {
        let ca = TestCa::new();
        let tls = ca.server().tls(client_auth);
        Self { server: Server::start_on(limits, |socket| Listener::tls(socket, tls)).await, ca }
    }

    /// A caller that speaks HTTP/1.1 and shows `client` if it is asked.
    fn caller(&self, client: Option<&Pair>) -> Arc<ClientConfig> {
        Arc::new(client_config(&self.ca, client, &["http/1.1"]))
    }

    /// GET over HTTP/1.1 on a connection of its own.
    async fn get(&self, config: &Arc<ClientConfig>, path: &str) -> Option<Answer> {
        let stream = connect(self.server.address, config).await.ok()?;
        let resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.ok()?;
        let driven = tokio::spawn(connection);
        let request = http::Request::get(path).header("host", "localhost").body(Full::default()).unwrap();
        let (head, body) = sender.send_request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        drop(sender);
        let _ = driven.await;
        Some(Answer { status: head.status.as_u16(), headers: head.headers, body: body.to_vec(), resumed })
    }

    async fn is_serving(&self) -> bool {
        self.get(&self.caller(None), "/hello").await.is_some_and(|answer| answer.body == b"hello")
    }

    fn handshakes(&self, outcome: &str) -> u64 {
        self.server.metric(&format!("mintage_tls_handshakes_total{{outcome=\"{outcome}\"}}"))
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Vec<u8>,
    resumed: bool,
}
