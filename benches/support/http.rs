//! HTTP/1.1 as cheaply as it can be spoken: requests are bytes made beforehand, and of an answer no more is read than its status
//! and where it ends. Every answer of the server has a `content-length`.

use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
};

use base64::engine::{Engine, general_purpose::STANDARD};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{Result, config::SECRET, load::Caller};

/// The bytes of a request.
pub type Request = Arc<[u8]>;

/// A connection that is kept.
pub struct Connection<S> {
    stream: S,
    buffer: Vec<u8>,
    /// Where the body of the last answer begins.
    body: usize,
}

/// What is read of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Whether it has `retry-after`.
    pub retry_after: bool,
    /// Whether the server ends the connection.
    pub last: bool,
}

impl Connection<TcpStream> {
    /// Connects, from a certain address if one is given.
    pub async fn open(address: SocketAddr, source: Option<IpAddr>) -> Result<Self> {
        let stream = match source {
            None => TcpStream::connect(address).await?,
            Some(source) => {
                let socket = TcpSocket::new_v4()?;
                socket.bind(SocketAddr::new(source, 0))?;
                socket.connect(address).await?
            }
        };
        stream.set_nodelay(true)?;
        Ok(Self::new(stream))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Speaks HTTP on a stream.
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::with_capacity(4096), body: 0 }
    }

    /// Makes a request and reads its answer whole.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the connection ended".into());
            }
            if let Some((answer, body, length)) = head(&self.buffer)?
                && self.buffer.len() >= body + length
            {
                self.body = body;
                return Ok(answer);
            }
        }
    }

    /// The body of the last answer.
    pub fn body(&self) -> &[u8] {
        self.buffer.get(self.body..).unwrap_or_default()
    }

    /// The access token in the last answer.
    pub fn token(&self) -> Result<String> {
        let json: serde_json::Value = serde_json::from_slice(self.body())?;
        Ok(json["access_token"].as_str().ok_or("no token in the answer")?.to_owned())
    }

    /// The stream, for whoever breaks the rules on it.
    pub fn into_stream(self) -> S {
        self.stream
    }
}

/// The answer, where its body begins and how long it is, once its head is there.
fn head(bytes: &[u8]) -> Result<Option<(Answer, usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end])?;
    let status = head.get(9..12).ok_or("no status")?.parse()?;
    let (mut length, mut answer) = (0, Answer { status, retry_after: false, last: false });
    for line in head.lines().skip(1) {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        } else if name.eq_ignore_ascii_case("retry-after") {
            answer.retry_after = true;
        } else if name.eq_ignore_ascii_case("connection") {
            answer.last = value.trim().eq_ignore_ascii_case("close");
        }
    }
    Ok(Some((answer, end + 4, length)))
}

/// A GET request.
pub fn get(path: &str) -> Request {
    format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").into_bytes().into()
}

/// A GET request with an access token.
pub fn get_with_token(path: &str, token: &str) -> Request {
    format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\r\n")
        .into_bytes()
        .into()
}

/// A form of a client that authenticates with [`SECRET`].
pub fn form(path: &str, client_id: &str, body: &str) -> Request {
    form_with_secret(path, client_id, SECRET, body)
}

/// A form of a client that authenticates with this secret.
pub fn form_with_secret(path: &str, client_id: &str, secret: &str, body: &str) -> Request {
    let basic = STANDARD.encode(format!("{client_id}:{secret}"));
    form_with_headers(path, &format!("authorization: Basic {basic}\r\n"), body)
}

/// A form with these header lines.
pub fn form_with_headers(path: &str, headers: &str, body: &str) -> Request {
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}content-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
    .into()
}

/// A request for a token of this client.
pub fn issue(client_id: &str) -> Request {
    form("/token", client_id, "grant_type=client_credentials")
}

/// A question of this client about a token.
pub fn introspect(client_id: &str, token: &str) -> Request {
    form("/introspect", client_id, &format!("token={token}"))
}

/// Makes the requests of a caller, one after another.
pub type Requests = Rc<dyn Fn() -> Result<Request>>;

/// The same request again and again.
pub fn again(request: &Request) -> Requests {
    let request = Arc::clone(request);
    Rc::new(move || Ok(Arc::clone(&request)))
}

/// A caller over plain TCP. A connection that ends is opened again.
pub struct HttpCaller {
    address: SocketAddr,
    source: Option<IpAddr>,
    connection: Option<Connection<TcpStream>>,
    requests: Requests,
}

impl HttpCaller {
    /// Callers that make these requests, each on a connection of its own that is open already.
    pub async fn many(count: usize, address: SocketAddr, requests: &Requests) -> Result<Vec<Self>> {
        Self::many_from(count, address, None, requests).await
    }

    /// The same from a certain address.
    pub async fn many_from(
        count: usize,
        address: SocketAddr,
        source: Option<IpAddr>,
        requests: &Requests,
    ) -> Result<Vec<Self>> {
        let mut callers = Vec::with_capacity(count);
        for _ in 0..count {
            let connection = Some(Connection::open(address, source).await?);
            callers.push(Self { address, source, connection, requests: Rc::clone(requests) });
        }
        Ok(callers)
    }
}

impl Caller for HttpCaller {
    async fn call(&mut self) -> Result<Answer> {
        let request = (self.requests)()?;
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.address, self.source).await?,
        };
        let answer = connection.ask(&request).await?;
        if !answer.last {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}

/// A caller over a stream that does not come again, such as TLS.
pub struct StreamCaller<S> {
    connection: Connection<S>,
    request: Request,
}

impl<S: AsyncRead + AsyncWrite + Unpin> StreamCaller<S> {
    /// Makes this request on this stream.
    pub fn new(stream: S, request: &Request) -> Self {
        Self { connection: Connection::new(stream), request: Arc::clone(request) }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Caller for StreamCaller<S> {
    async fn call(&mut self) -> Result<Answer> {
        self.connection.ask(&self.request).await
    }
}
