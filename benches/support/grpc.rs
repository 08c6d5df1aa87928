//! Callers of the token service.

use std::net::SocketAddr;

use mintage::grpc::pb::token::{self as pb, token_service_client::TokenServiceClient};
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

/// A caller with a connection of its own.
pub struct GrpcCaller {
    stub: TokenServiceClient<Channel>,
    call: Call,
}

impl GrpcCaller {
    /// Callers that are connected already.
    pub async fn many(count: usize, address: SocketAddr, call: &Call) -> Result<Vec<Self>> {
        let mut callers = Vec::with_capacity(count);
        for _ in 0..count {
            let channel = Channel::from_shared(format!("http://{address}"))?.connect().await?;
            callers.push(Self { stub: TokenServiceClient::new(channel), call: call.clone() });
        }
        Ok(callers)
    }
}

impl Caller for GrpcCaller {
    async fn call(&mut self) -> Result<Answer> {
        let done = match self.call.clone() {
            Call::Issue(request) => self.stub.issue(request).await.map(drop),
            Call::Introspect(request) => self.stub.introspect(request).await.map(drop),
            Call::UserInfo(request) => self.stub.user_info(request).await.map(drop),
        };
        let status = match done.map_err(|status| status.code()) {
            Ok(()) => 200,
            Err(Code::ResourceExhausted) => 429,
            Err(Code::Unavailable) => 503,
            Err(code) => return Err(code.description().into()),
        };
        Ok(Answer { status, retry_after: false, last: false })
    }
}
