//! A server for tests of the administration: who may what, and the admin services as one of them.

use std::{net::SocketAddr, ops::Deref};

use mintage::grpc::pb::{
    admin::{self as pb, client_service_client::ClientServiceClient},
    token as token_pb,
    token::token_service_client::TokenServiceClient,
};
use tonic::{Code, Request, Status, transport::Channel};

use super::{TestServer, auth::basic, http::Reply, patience::patiently, server};

pub const ISSUER: &str = server::ISSUER;

/// Who may what. Secrets have the form of generated ones, so that tests need not wait for Argon2id.
pub const CLIENTS: &str = r#"
[limits]
failed_auth_rate = "off"

[tokens]
signing_alg = "ES256"

[[clients]]
client_id = "operator"
client_secret = "mint_0000000000000000000000000000000000000000000"
scope = "mintage:admin mintage:admin.read read"

[[clients]]
client_id = "viewer"
client_secret = "mint_0000000000000000000000000000000000000000000"
scope = "mintage:admin.read"

[[clients]]
client_id = "registrar"
client_secret = "mint_0000000000000000000000000000000000000000000"
scope = "mintage:register read write"
audiences = ["https://id.example", "https://api.example"]

[[clients]]
client_id = "plain"
client_secret = "mint_0000000000000000000000000000000000000000000"
scope = "read"

[[clients]]
client_id = "elsewhere"
client_secret = "mint_0000000000000000000000000000000000000000000"
scope = "mintage:admin"
audiences = ["https://api.example"]

[[clients]]
client_id = "resource-server"
client_secret = "mint_0000000000000000000000000000000000000000000"
grant_types = []
introspect = "any"
"#;

/// The secret of every client in [`CLIENTS`].
pub const SECRET: &str = "mint_0000000000000000000000000000000000000000000";

/// A key set with one public key: that of RFC 7517 App. A.1, with another use.
pub const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"sig","kid":"1"}]}"#;

/// A server with [`CLIENTS`], at which clients may register themselves.
pub struct AdminServer(TestServer);

impl Deref for AdminServer {
    type Target = TestServer;

    fn deref(&self) -> &TestServer {
        &self.0
    }
}

impl AdminServer {
    pub async fn start() -> Self {
        Self::with_environment(&[]).await
    }

    /// The same with these variables.
    pub async fn with_environment(variables: &[(&str, &str)]) -> Self {
        let environment = [&[("JWT_SECRET", ""), ("MINTAGE_ADMIN_REGISTRATION", "true")], variables].concat();
        Self(TestServer::with_environment(CLIENTS, &environment).await)
    }

    pub async fn channel(&self, address: SocketAddr) -> Channel {
        Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
    }

    /// The admin services for whoever calls with this token.
    pub async fn as_bearer(&self, token: &str) -> Admin {
        Admin { client: ClientServiceClient::new(self.channel(self.ops).await), token: token.to_owned() }
    }

    /// The admin services for a client of [`CLIENTS`].
    pub async fn as_client(&self, client_id: &str) -> Admin {
        let token = self.token(client_id, SECRET).await.unwrap();
        self.as_bearer(&token).await
    }

    pub async fn operator(&self) -> Admin {
        self.as_client("operator").await
    }

    /// An access token for a client.
    pub async fn token(&self, client_id: &str, secret: &str) -> Result<String, Status> {
        let mut client = TokenServiceClient::new(self.channel(self.address).await);
        let mut request = Request::new(token_pb::IssueRequest::default());
        request.metadata_mut().insert("authorization", basic(client_id, secret).parse().unwrap());
        Ok(client.issue(request).await?.into_inner().access_token)
    }

    /// What the resource server learns of a token.
    pub async fn is_active(&self, token: &str) -> bool {
        self.core.replica.sync().await.unwrap();
        let mut client = TokenServiceClient::new(self.channel(self.address).await);
        let mut request =
            Request::new(token_pb::IntrospectRequest { token: token.to_owned(), ..Default::default() });
        request.metadata_mut().insert("authorization", basic("resource-server", SECRET).parse().unwrap());
        client.introspect(request).await.unwrap().into_inner().active
    }

    /// A request to the public port.
    pub async fn http(&self, method: &str, target: &str, bearer: Option<&str>, json: Option<&str>) -> Reply {
        let authorization = bearer.map(|token| format!("Bearer {token}"));
        let mut headers = Vec::new();
        if let Some(authorization) = &authorization {
            headers.push(("authorization", authorization.as_str()));
        }
        if json.is_some() {
            headers.push(("content-type", "application/json"));
        }
        let body = json.unwrap_or_default().as_bytes();
        super::http::exchange(
            self.address,
            &super::http::request(self.address, method, target, &headers, body),
        )
        .await
    }
}

/// A caller of the admin services.
pub struct Admin {
    client: ClientServiceClient<Channel>,
    pub token: String,
}

macro_rules! methods {
    ($($name:ident: $request:ident -> $response:ident;)*) => {
        impl Admin {
            $(pub async fn $name(&mut self, message: pb::$request) -> Result<pb::$response, Status> {
                let request = self.request(message);
                self.client.$name(request).await.map(tonic::Response::into_inner)
            })*
        }
    };
}

methods! {
    get_client: GetClientRequest -> GetClientResponse;
    list_clients: ListClientsRequest -> ListClientsResponse;
    create_client: CreateClientRequest -> CreateClientResponse;
    update_client: UpdateClientRequest -> UpdateClientResponse;
    delete_client: DeleteClientRequest -> DeleteClientResponse;
    add_client_secret: AddClientSecretRequest -> AddClientSecretResponse;
    list_client_secrets: ListClientSecretsRequest -> ListClientSecretsResponse;
    retire_client_secret: RetireClientSecretRequest -> RetireClientSecretResponse;
    revoke_client_tokens: RevokeClientTokensRequest -> RevokeClientTokensResponse;
    explain_token: ExplainTokenRequest -> ExplainTokenResponse;
}

impl Admin {
    /// The admin services at an address.
    pub async fn at(address: SocketAddr, token: &str) -> Self {
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { client: ClientServiceClient::new(channel), token: token.to_owned() }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if !self.token.is_empty() {
            let value = format!("Bearer {}", self.token).parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        request
    }

    /// A client with these members, which must be registered; its secret.
    pub async fn create(&mut self, client: pb::Client) -> (pb::Client, String) {
        let client_id = client.client_id.clone();
        let request = pb::CreateClientRequest { client: Some(client), ..Default::default() };
        let mut put_off = false;
        let created = patiently!(self.create_client(request.clone()).await, |created: &_| {
            put_off |= is_put_off(created);
            is_put_off(created)
        });
        match created {
            // Done all the same, though nobody was told so in time; nor was the secret told.
            Err(status) if put_off && status.code() == Code::AlreadyExists => {
                let secret =
                    pb::AddClientSecretRequest { client_id: client_id.clone(), ..Default::default() };
                let secret = self.add_client_secret(secret).await.unwrap().client_secret;
                let client = self.get_client(pb::GetClientRequest { client_id }).await.unwrap().client;
                (client.unwrap(), secret)
            }
            created => {
                let created = created.unwrap();
                (created.client.unwrap(), created.client_secret)
            }
        }
    }
}

/// Whether a busy store was the reason.
pub fn is_put_off<T>(result: &Result<T, Status>) -> bool {
    result.as_ref().is_err_and(|status| status.code() == Code::Unavailable)
}

/// A client with an identifier and a scope.
pub fn client(client_id: &str, scope: &str) -> pb::Client {
    pb::Client { client_id: client_id.to_owned(), scope: scope.to_owned(), ..Default::default() }
}
