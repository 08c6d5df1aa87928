//! `mintage.admin.v1.ClientService`: each method checks the token of the call and passes the message on.

use std::{sync::Arc, time::Duration};

use tonic::{Request, Response, Status};

use super::{
    admin_auth::{Failure, authorise, finish},
    call::Call,
    client_authentication::non_empty,
    client_messages::{ClientMessages, to_pb_duration},
    json::to_struct,
    pb::admin as pb,
};
use crate::{
    admin::ClientAdmin,
    oauth::{
        AuthorizationServer,
        bearer::{Authorised, Demand},
        explain::{Decision, Explanation},
        grant::GrantType,
        issue::Wish,
        scope::RequestedScope,
    },
};

/// The service, over the core.
#[derive(Debug)]
pub(super) struct ClientService {
    server: Arc<AuthorizationServer>,
    clients: ClientMessages,
}

impl ClientService {
    pub(super) fn new(server: Arc<AuthorizationServer>, clients: Arc<ClientAdmin>) -> Self {
        Self { server, clients: ClientMessages(clients) }
    }
}

/// One method of the service: the log's name for it, what it demands, and the method that does it.
macro_rules! method {
    ($self:ident, $request:ident, $name:literal, $demand:ident, $method:ident) => {{
        let (call, message) = Call::begin($name, $request);
        let result = async {
            let caller = authorise(&$self.server, &call, Demand::$demand).await?;
            let answer = $self.clients.$method(message).await?;
            if Demand::$demand == Demand::Write {
                note($name, &caller);
            }
            Ok(answer)
        };
        finish(&call, result.await)
    }};
}

#[tonic::async_trait]
impl pb::client_service_server::ClientService for ClientService {
    async fn get_client(
        &self,
        request: Request<pb::GetClientRequest>,
    ) -> Result<Response<pb::GetClientResponse>, Status> {
        method!(self, request, "GetClient", Read, get)
    }

    async fn list_clients(
        &self,
        request: Request<pb::ListClientsRequest>,
    ) -> Result<Response<pb::ListClientsResponse>, Status> {
        method!(self, request, "ListClients", Read, list)
    }

    async fn create_client(
        &self,
        request: Request<pb::CreateClientRequest>,
    ) -> Result<Response<pb::CreateClientResponse>, Status> {
        method!(self, request, "CreateClient", Write, create)
    }

    async fn update_client(
        &self,
        request: Request<pb::UpdateClientRequest>,
    ) -> Result<Response<pb::UpdateClientResponse>, Status> {
        method!(self, request, "UpdateClient", Write, update)
    }

    async fn delete_client(
        &self,
        request: Request<pb::DeleteClientRequest>,
    ) -> Result<Response<pb::DeleteClientResponse>, Status> {
        method!(self, request, "DeleteClient", Write, delete)
    }

    async fn add_client_secret(
        &self,
        request: Request<pb::AddClientSecretRequest>,
    ) -> Result<Response<pb::AddClientSecretResponse>, Status> {
        method!(self, request, "AddClientSecret", Write, add_secret)
    }

    async fn list_client_secrets(
        &self,
        request: Request<pb::ListClientSecretsRequest>,
    ) -> Result<Response<pb::ListClientSecretsResponse>, Status> {
        method!(self, request, "ListClientSecrets", Read, list_secrets)
    }

    async fn retire_client_secret(
        &self,
        request: Request<pb::RetireClientSecretRequest>,
    ) -> Result<Response<pb::RetireClientSecretResponse>, Status> {
        method!(self, request, "RetireClientSecret", Write, retire_secret)
    }

    async fn revoke_client_tokens(
        &self,
        request: Request<pb::RevokeClientTokensRequest>,
    ) -> Result<Response<pb::RevokeClientTokensResponse>, Status> {
        method!(self, request, "RevokeClientTokens", Write, revoke_tokens)
    }

    async fn explain_token(
        &self,
        request: Request<pb::ExplainTokenRequest>,
    ) -> Result<Response<pb::ExplainTokenResponse>, Status> {
        let (call, message) = Call::begin("ExplainToken", request);
        let result = async {
            authorise(&self.server, &call, Demand::Read).await?;
            self.explain(message).await
        };
        finish(&call, result.await)
    }
}

impl ClientService {
    async fn explain(&self, message: pb::ExplainTokenRequest) -> Result<pb::ExplainTokenResponse, Failure> {
        let client = self.clients.0.find(&message.client_id).await?;
        let scope = (!message.scopes.is_empty()).then_some(RequestedScope::Tokens(message.scopes));
        let grant_type = non_empty(message.grant_type);
        let wish = Wish {
            grant_type: grant_type.as_deref().unwrap_or(GrantType::ClientCredentials.as_str()),
            scope: scope.as_ref(),
            resources: &message.resources,
            audiences: &message.audiences,
            lifetime: message.lifetime.map(|wish| wish.try_into().unwrap_or(Duration::ZERO)),
        };
        Ok(explain_response(self.server.explain(&client, &wish)?))
    }
}

/// Who changed something; what exactly is in the store.
fn note(method: &'static str, caller: &Authorised) {
    tracing::info!(method, by = caller.client_id().as_str(), "an administrator made a change");
}

fn explain_response(explanation: Explanation) -> pb::ExplainTokenResponse {
    let decisions = explanation.decisions.into_iter().map(to_pb_decision).collect();
    let Some(token) = explanation.token else {
        return pb::ExplainTokenResponse { decisions, ..Default::default() };
    };
    pb::ExplainTokenResponse {
        granted: true,
        decisions,
        scopes: token.scope.tokens().map(str::to_owned).collect(),
        audiences: token.audiences.iter().map(ToString::to_string).collect(),
        lifetime: Some(to_pb_duration(token.lifetime)),
        access_token_signing_alg: token.alg.as_str().to_owned(),
        claims: to_struct(&token.claims_json),
        claims_json: token.claims_json,
    }
}

fn to_pb_decision(decision: Decision) -> pb::Decision {
    pb::Decision {
        member: decision.member.to_owned(),
        refused: decision.refusal.is_some(),
        oauth_error: decision.refusal.map(|error| error.code().to_owned()).unwrap_or_default(),
        rule: decision.rule,
    }
}
