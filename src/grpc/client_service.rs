//! `mintage.admin.v1.ClientService`: each method checks the token of the call and passes the message on.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    admin_auth::{authorise, finish},
    call::Call,
    client_messages::ClientMessages,
    explain_messages::ExplainMessages,
    pb::admin as pb,
};
use crate::{
    admin::ClientAdmin,
    oauth::{
        AuthorizationServer,
        bearer::{Authorised, Demand},
    },
};

/// The service, over the core.
#[derive(Debug)]
pub(super) struct ClientService {
    server: Arc<AuthorizationServer>,
    clients: ClientMessages,
    explain: ExplainMessages,
}

impl ClientService {
    pub(super) fn new(server: Arc<AuthorizationServer>, clients: Arc<ClientAdmin>) -> Self {
        let explain = ExplainMessages { clients: Arc::clone(&clients), server: Arc::clone(&server) };
        Self { server, clients: ClientMessages(clients), explain }
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
            Ok(self.explain.explain(message).await?)
        };
        finish(&call, result.await)
    }
}

/// Who changed something; what exactly is in the store.
fn note(method: &'static str, caller: &Authorised) {
    tracing::info!(method, by = caller.client_id().as_str(), "an administrator made a change");
}
