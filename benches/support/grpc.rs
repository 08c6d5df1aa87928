//! Callers of the token service.

use std::{net::SocketAddr, rc::Rc};

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use mintage::grpc::pb::token::{self as pb, token_service_client::TokenServiceClient};
use prost::Message;
use tokio::{net::TcpStream, task::spawn_local};
use tonic::{Code, transport::Channel};

use super::{Result, config::SECRET, http::Answer, load::Caller};

/// What is called.
#[derive(Clone)]
pub enum Call {
    Issue(pb::IssueRequest),
    Introspect(pb::IntrospectRequest),
    UserInfo(pb::UserInfoRequest),
}

impl Call {
    /// The name of the method, and its message.
    fn encode(&self) -> (&'static str, Vec<u8>) {
        match self {
            Self::Issue(request) => ("Issue", request.encode_to_vec()),
            Self::Introspect(request) => ("Introspect", request.encode_to_vec()),
            Self::UserInfo(request) => ("UserInfo", request.encode_to_vec()),
        }
    }

    /// A token for this client.
    pub fn issue(client_id: &str) -> Self {
        Self::Issue(pb::IssueRequest {
            client_authentication: Some(pb::issue_request::ClientAuthentication::ClientSecret(secret(
                client_id,
            ))),
            ..Default::default()
        })
    }

    /// A question of this client about a token.
    pub fn introspect(client_id: &str, token: &str) -> Self {
        Self::Introspect(pb::IntrospectRequest {
            token: token.to_owned(),
            client_authentication: Some(pb::introspect_request::ClientAuthentication::ClientSecret(secret(
                client_id,
            ))),
            ..Default::default()
        })
    }

    /// The claims of a token.
    pub fn userinfo(token: &str) -> Self {
        Self::UserInfo(pb::UserInfoRequest { access_token: token.to_owned() })
    }
}

fn secret(client_id: &str) -> pb::ClientSecret {
    pb::ClientSecret { client_id: client_id.to_owned(), client_secret: SECRET.to_owned() }
}

/// Makes the calls of a caller, one after another.
pub type Calls = Rc<dyn Fn() -> Result<Call>>;

/// The same call again and again.
pub fn again(call: Call) -> Calls {
    Rc::new(move || Ok(call.clone()))
}

fn answer(status: Code) -> Result<Answer> {
    let status = match status {
        Code::Ok => 200,
        Code::ResourceExhausted => 429,
        Code::Unavailable => 503,
        code => return Err(code.description().into()),
    };
    Ok(Answer { status, retry_after: false, last: false })
}

/// A caller with a connection of its own, which sends a call as grpc-go, grpc-java and the C core do: at once, and the end of the
/// stream in the frame of the message (RFC 9113 §8.1).
pub struct GrpcCaller {
    connection: SendRequest<Bytes>,
    authority: String,
    calls: Calls,
}

impl GrpcCaller {
    /// Callers that are connected already.
    pub async fn many(count: usize, address: SocketAddr, calls: &Calls) -> Result<Vec<Self>> {
        let mut callers = Vec::with_capacity(count);
        for _ in 0..count {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (connection, driver) = h2::client::handshake(stream).await?;
            // Ends with its last caller.
            spawn_local(driver);
            callers.push(Self { connection, authority: address.to_string(), calls: Rc::clone(calls) });
        }
        Ok(callers)
    }
}

impl Caller for GrpcCaller {
    async fn call(&mut self) -> Result<Answer> {
        let (method, message) = (self.calls)()?.encode();
        let mut frame = BytesMut::with_capacity(5 + message.len());
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len())?);
        frame.put_slice(&message);
        let request =
            http::Request::post(format!("http://{}/mintage.token.v1.TokenService/{method}", self.authority))
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(())?;
        let (response, mut stream) = self.connection.clone().ready().await?.send_request(request, false)?;
        stream.send_data(frame.freeze(), true)?;
        let (head, mut body) = response.await?.into_parts();
        while let Some(data) = body.data().await {
            body.flow_control().release_capacity(data?.len())?;
        }
        let trailers = body.trailers().await?.unwrap_or(head.headers);
        answer(Code::from_bytes(trailers.get("grpc-status").ok_or("no status")?.as_bytes()))
    }
}

/// A caller with tonic's client, which sends the headers, the message and the end of the stream one after the other.
pub struct TonicCaller {
    stub: TokenServiceClient<Channel>,
    calls: Calls,
}

impl TonicCaller {
    /// Callers that are connected already.
    pub async fn many(count: usize, address: SocketAddr, calls: &Calls) -> Result<Vec<Self>> {
        let mut callers = Vec::with_capacity(count);
        for _ in 0..count {
            let channel = Channel::from_shared(format!("http://{address}"))?.connect().await?;
            callers.push(Self { stub: TokenServiceClient::new(channel), calls: Rc::clone(calls) });
        }
        Ok(callers)
    }
}

impl Caller for TonicCaller {
    async fn call(&mut self) -> Result<Answer> {
        let done = match (self.calls)()? {
            Call::Issue(request) => self.stub.issue(request).await.map(drop),
            Call::Introspect(request) => self.stub.introspect(request).await.map(drop),
            Call::UserInfo(request) => self.stub.user_info(request).await.map(drop),
        };
        answer(done.map_or_else(|status| status.code(), |()| Code::Ok))
    }
}
