//! HTTP/1.1 by hand: what a test sends is exactly what the server gets, and the answer is kept byte for byte.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::TestServer;

/// The media type of a form.
pub const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// A whole response.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads one response that fills `bytes`.
    pub fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_else(|| {
            panic!("no response head in {:?}", String::from_utf8_lossy(bytes));
        });
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| {
                let (name, value) = line.split_once(':').expect("a header line has a colon");
                (name.to_ascii_lowercase(), value.trim().to_owned())
            })
            .collect();
        let mut body = bytes[end + 4..].to_vec();
        if headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked") {
            body = unchunk(&body);
        }
        Self { status, headers, body }
    }

    /// The only header of this name, or none. Two are a failure, unless they are challenges for bearer tokens and for DPoP,
    /// of which this is the first.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values =
            self.headers.iter().filter(|(header, _)| header == name).map(|(_, value)| value.as_str());
        let first = values.next();
        let is_dpop = |value: &str| name == "www-authenticate" && value.starts_with("DPoP algs=");
        assert_eq!(values.find(|value| !is_dpop(value)), None, "{name} came twice");
        first
    }

    /// Whether any header's name starts so.
    pub fn has_header_like(&self, prefix: &str) -> bool {
        self.headers.iter().any(|(name, _)| name.starts_with(prefix))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.text()))
    }

    /// The `error` member.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_else(|| panic!("no error in {}", self.text())).to_owned()
    }

    /// Status and `error`.
    pub fn refusal(&self) -> (u16, String) {
        (self.status, self.error())
    }
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(at) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..at]).unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend_from_slice(&rest[at + 2..at + 2 + size]);
        rest = &rest[at + 2 + size + 2..];
    }
    body
}

/// Sends bytes and reads until the server closes the connection.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A server that refuses a request early may reset the connection after its answer.
    let _ = stream.read_to_end(&mut answer).await;
    Reply::parse(&answer)
}

/// Sends one request on a connection of its own. `Host`, `Connection` and `Content-Length` are added unless given.
pub async fn send(
    server: &TestServer,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    exchange(server.address, &request(server.address, method, target, headers, body)).await
}

/// The bytes of a request.
pub fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let given = |name: &str| headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
    let mut text = format!("{method} {target} HTTP/1.1\r\n");
    if !given("host") {
        text += &format!("host: {address}\r\n");
    }
    if !given("connection") {
        text += "connection: close\r\n";
    }
    if !given("content-length") && !given("transfer-encoding") && (!body.is_empty() || method == "POST") {
        text += &format!("content-length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += "\r\n";
    [text.as_bytes(), body].concat()
}

/// GET without more.
pub async fn get(server: &TestServer, target: &str) -> Reply {
    send(server, "GET", target, &[], b"").await
}

/// POST of a form.
pub async fn post(server: &TestServer, target: &str, headers: &[(&str, &str)], form: &str) -> Reply {
    send(server, "POST", target, &[&[FORM], headers].concat(), form.as_bytes()).await
}

/// POST of a form by a client of `support::server::CLIENTS`, with Basic.
pub async fn post_as(server: &TestServer, client_id: &str, target: &str, form: &str) -> Reply {
    let basic = super::auth::basic(client_id, &super::auth::secret_of(client_id));
    post(server, target, &[("authorization", &basic)], form).await
}

/// A token that must be granted.
pub async fn token(server: &TestServer, client_id: &str) -> String {
    let reply = post_as(server, client_id, "/token", "grant_type=client_credentials").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["access_token"].as_str().unwrap().to_owned()
}
