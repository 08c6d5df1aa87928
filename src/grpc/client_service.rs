//! `mintage.admin.v1.ClientService`: each method checks the token of the call and passes the message on.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    admin_auth::method, client_messages::ClientMessages, explain_messages::ExplainMessages, pb::admin as pb,
};
use crate::{admin::ClientAdmin, oauth::AuthorizationServer};

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

#[tonic::async_trait]
impl pb::client_service_server::ClientService for ClientService {
    async fn get_client(
        &self,
        request: Request<pb::GetClientRequest>,
    ) -> Result<Response<pb::GetClientResponse>, Status> {
        method!(self, request, pb::client_service_server::SERVICE_NAME, "GetClient", Read, |message| self
            .clients
            .get(message)
            .await?)
    }

    async fn list_clients(
        &self,
        request: Request<pb::ListClientsRequest>,
    ) -> Result<Response<pb::ListClientsResponse>, Status> {
        method!(self, request, pb::client_service_server::SERVICE_NAME, "ListClients", Read, |message| self
            .clients
            .list(message)
            .await?)
    }

    async fn create_client(
        &self,
        request: Request<pb::CreateClientRequest>,
    ) -> Result<Response<pb::CreateClientResponse>, Status> {
        method!(self, request, pb::client_service_server::SERVICE_NAME, "CreateClient", Write, |message| self
            .clients
            .create(message)
            .await?)
    }

    async fn update_client(
        &self,
        request: Request<pb::UpdateClientRequest>,
    ) -> Result<Response<pb::UpdateClientResponse>, Status> {
        method!(self, request, pb::client_service_server::SERVICE_NAME, "UpdateClient", Write, |message| self
            .clients
            .update(message)
            .await?)
    }

    async fn delete_client(
        &self,
        request: Request<pb::DeleteClientRequest>,
    ) -> Result<Response<pb::DeleteClientResponse>, Status> {
        method!(self, request, pb::client_service_server::SERVICE_NAME, "DeleteClient", Write, |message| self
            .clients
            .delete(message)
            .await?)
    }

    async fn add_client_secret(
        &self,
        request: Request<pb::AddClientSecretRequest>,
    ) -> Result<Response<pb::AddClientSecretResponse>, Status> {
        method!(self, request, pb::client_service_server::SERVICE_NAME, "AddClientSecret", Write, |message| {
            self.clients.add_secret(message).await?
        })
    }

    async fn list_client_secrets(
        &self,
        request: Request<pb::ListClientSecretsRequest>,
    ) -> Result<Response<pb::ListClientSecretsResponse>, Status> {
        method!(
            self,
            request,
            pb::client_service_server::SERVICE_NAME,
            "ListClientSecrets",
            Read,
            |message| self.clients.list_secrets(message).await?
        )
    }

    async fn retire_client_secret(
        &self,
        request: Request<pb::RetireClientSecretRequest>,
    ) -> Result<Response<pb::RetireClientSecretResponse>, Status> {
        method!(
            self,
            request,
            pb::client_service_server::SERVICE_NAME,
            "RetireClientSecret",
            Write,
            |message| self.clients.retire_secret(message).await?
        )
    }

    async fn revoke_client_tokens(
        &self,
        request: Request<pb::RevokeClientTokensRequest>,
    ) -> Result<Response<pb::RevokeClientTokensResponse>, Status> {
        method!(
            self,
            request,
            pb::client_service_server::SERVICE_NAME,
            "RevokeClientTokens",
            Write,
            |message| self.clients.revoke_tokens(message).await?
        )
    }

    async fn explain_token(
        &self,
        request: Request<pb::ExplainTokenRequest>,
    ) -> Result<Response<pb::ExplainTokenResponse>, Status> {
        method!(self, request, pb::client_service_server::SERVICE_NAME, "ExplainToken", Read, |message| self
            .explain
            .explain(message)
            .await?)
    }
}
