//! gRPC by hand: any path, any metadata, any bytes in place of a message.

use std::{collections::HashMap, net::SocketAddr};

use base64::engine::{Engine, general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use h2::client::SendRequest;
use prost::Message;
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::TestServer;

pub const ISSUE: &str = "/mintage.token.v1.TokenService/Issue";
pub const INTROSPECT: &str = "/mintage.token.v1.TokenService/Introspect";

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub http_status: u16,
    /// `grpc-status` of the trailers, or of the headers when there is no body.
    pub grpc_status: Option<u16>,
    /// Headers and trailers.
    pub metadata: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The OAuth code of a refusal, and the reason of its ErrorInfo.
    pub fn told(&self) -> (&str, String) {
        let details = STANDARD_NO_PAD.decode(&self.metadata["grpc-status-details-bin"]).unwrap();
        let status = Status::with_details(Code::Unknown, "", details.into());
        (&self.metadata["oauth-error"], status.get_details_error_info().unwrap().reason)
    }
}

/// A connection of HTTP/2 by prior knowledge.
pub struct Connection(SendRequest<Bytes>);

impl Connection {
    pub async fn open(server: &TestServer) -> Self {
        Self::to(server.address).await
    }

    /// The same to any address.
    pub async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Self(sender.ready().await.unwrap())
    }

    /// One request with the headers of gRPC and these; `Err` when the stream or the connection was ended.
    pub async fn call(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, h2::Error> {
        let mut request = http::Request::post(format!("http://mintage.test{path}")).header("te", "trailers");
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut sender = self.0.clone().ready().await?;
        let (response, mut stream) = sender.send_request(request.body(()).unwrap(), false)?;
        // The server may have refused by now, in which case the body has nowhere to go.
        let _ = stream.send_data(body.into(), true);
        read(response.await?).await
    }
}

async fn read(response: http::Response<h2::RecvStream>) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let mut answer = Answer {
        http_status: head.status.as_u16(),
        grpc_status: None,
        metadata: HashMap::new(),
        body: Vec::new(),
    };
    while let Some(chunk) = stream.data().await {
        let chunk = chunk?;
        stream.flow_control().release_capacity(chunk.len())?;
        answer.body.extend_from_slice(&chunk);
    }
    let trailers = stream.trailers().await?;
    for (name, value) in head.headers.iter().chain(trailers.iter().flatten()) {
        answer.metadata.insert(name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    answer.grpc_status = answer.metadata.get("grpc-status").map(|code| code.parse().unwrap());
    Ok(answer)
}

/// One length-prefixed message (gRPC over HTTP/2, Length-Prefixed-Message).
pub fn frame(message: &[u8]) -> Vec<u8> {
    prefixed(0, u32::try_from(message.len()).unwrap(), message)
}

/// The same with the flag and the length that the test says.
pub fn prefixed(flag: u8, length: u32, bytes: &[u8]) -> Vec<u8> {
    [&[flag][..], &length.to_be_bytes(), bytes].concat()
}

/// A message in its frame.
pub fn framed(message: &impl Message) -> Vec<u8> {
    frame(&message.encode_to_vec())
}
