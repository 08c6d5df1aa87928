//! A server with a store: the public port, the ops listener with the admin services, and a clock that stands still.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use mintage::{
    admin::{ClientAdmin, SigningKeyAdmin, clients, signing_keys},
    clock::TestClock,
    config::{self, Environment, Sources},
    grpc::{
        self,
        pb::{
            admin::{self as pb, client_service_client::ClientServiceClient},
            token as token_pb,
            token::token_service_client::TokenServiceClient,
        },
    },
    jose::{KeyTiming, SigningAlgorithm},
    oauth::{
        AuthorizationServer, Keys, Policy,
        authorization_server::Dependencies,
        client::{ClientDirectory, directory::StoredClients, secret::SecretVerifier, uses::SecretUses},
        freshness::Freshness,
        replica::Replica,
        revocations::Revocations,
        store::Stores,
    },
    random::SystemRandom,
    readiness::Readiness,
    rest,
    sealing::MasterKeys,
    secret::Secret,
    serve::{self, Limits, Shutdown},
    store::{Options, Store},
    telemetry::{Metrics, Telemetry},
};
use tokio::net::TcpListener;
use tonic::{Request, Status, transport::Channel};

use super::{auth::basic, http::Reply, server};

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

pub struct AdminServer {
    pub public: SocketAddr,
    pub ops: SocketAddr,
    pub clock: Arc<TestClock>,
    pub stores: Stores,
    pub replica: Arc<Replica>,
    shutdown: Shutdown,
}

impl AdminServer {
    pub async fn start() -> Self {
        Self::with(CLIENTS).await
    }

    pub async fn with(toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("mintage.toml");
        std::fs::write(&file, toml).unwrap();
        let environment: Environment =
            [("ISSUER_URL", ISSUER), ("MINTAGE_DATABASE_URL", "sqlite::memory:")].into_iter().collect();
        let sources = Sources { config_file: Some(file), environment, ..Sources::default() };
        let config = config::load(&sources).unwrap_or_else(|errors| panic!("{errors}"));

        let clock = Arc::new(TestClock::at(server::NOW));
        let stores = Store::open(&config.store.location, Options::default()).await.unwrap().stores();
        let secrets = Arc::new(SecretVerifier::with_key(&Secret::new([7; 32]), &SystemRandom, 2).unwrap());
        let configured = config.clients(|secret| secrets.hash(secret, &SystemRandom)).unwrap();
        let freshness = Arc::new(Freshness::always());
        let stored = StoredClients {
            store: Arc::clone(&stores.clients),
            defaults: config.tokens.defaults(),
            freshness: Arc::clone(&freshness),
            clock: Arc::<TestClock>::clone(&clock),
            capacity: 1000,
            max_staleness: Duration::from_secs(86400),
        };
        let directory = Arc::new(ClientDirectory::with_store(configured, stored));
        let (revocations, uses) = (Arc::new(Revocations::default()), Arc::new(SecretUses::default()));
        let master = Arc::new(MasterKeys::parse(&MasterKeys::generate(&SystemRandom).unwrap()).unwrap());
        let keys = Arc::new(Keys::new(Vec::new(), Arc::clone(&master), KeyTiming::default()).unwrap());
        let key_admin = Arc::new(SigningKeyAdmin::new(signing_keys::Dependencies {
            store: Arc::clone(&stores.keys),
            master,
            clock: Arc::<TestClock>::clone(&clock),
            random: Arc::new(SystemRandom),
            keys: Arc::clone(&keys),
        }));
        key_admin.ensure(&[SigningAlgorithm::ES256, SigningAlgorithm::EdDSA]).await.unwrap();
        let policy = Policy {
            issuer: config.issuer.clone(),
            max_lifetime: config.tokens.max_lifetime,
            max_revocation_age: Duration::from_secs(30),
            failed_auth_rate: None,
            registration: true,
        };
        let dependencies = Dependencies {
            clock: Arc::<TestClock>::clone(&clock),
            random: Arc::new(SystemRandom),
            clients: Arc::clone(&directory),
            secrets: Arc::clone(&secrets),
            keys,
            revocations: Arc::clone(&revocations),
            freshness: Arc::clone(&freshness),
            revocation_store: Some(Arc::clone(&stores.revocations)),
            uses: Arc::clone(&uses),
        };
        let authorization = Arc::new(AuthorizationServer::new(policy, dependencies));
        let admin = Arc::new(ClientAdmin::new(clients::Dependencies {
            clock: Arc::<TestClock>::clone(&clock),
            random: Arc::new(SystemRandom),
            clients: Arc::clone(&stores.clients),
            revocations: Arc::clone(&stores.revocations),
            secrets,
            directory: Arc::clone(&directory),
            defaults: config.tokens.defaults(),
            issuer: config.issuer.clone(),
            has_hs256_key: false,
        }));
        let replica = Arc::new(Replica::new(
            stores.clone(),
            Arc::<TestClock>::clone(&clock),
            directory,
            revocations,
            freshness,
            uses,
            Box::new(|_| Ok(())),
        ));
        replica.load().await.unwrap();

        let settings = rest::Settings { max_body_bytes: 65536, jwks_max_age: Duration::from_secs(300) };
        let grpc_settings = grpc::Settings {
            max_message_bytes: 65536,
            reflection: true,
            jwks_max_age: Duration::from_secs(300),
        };
        let readiness = Readiness::default();
        let public_rest = rest::routes(&authorization, &readiness, &settings)
            .unwrap()
            .merge(rest::registration(&authorization, &admin, &settings));
        let (public_grpc, _) = grpc::routes(&authorization, grpc_settings).unwrap();
        let services = grpc::AdminServices { server: authorization, clients: admin, keys: key_admin };
        let ops_grpc = grpc::admin_routes(&services, grpc_settings).unwrap();
        let shutdown = Shutdown::new();
        let public = listen(serve::router(public_rest, public_grpc), &shutdown).await;
        let ops = listen(serve::router(rest::health(&readiness), ops_grpc), &shutdown).await;
        Self { public, ops, clock, stores, replica, shutdown }
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
        let mut client = TokenServiceClient::new(self.channel(self.public).await);
        let mut request = Request::new(token_pb::IssueRequest::default());
        request.metadata_mut().insert("authorization", basic(client_id, secret).parse().unwrap());
        Ok(client.issue(request).await?.into_inner().access_token)
    }

    /// What the resource server learns of a token.
    pub async fn is_active(&self, token: &str) -> bool {
        self.replica.sync().await.unwrap();
        let mut client = TokenServiceClient::new(self.channel(self.public).await);
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
        super::http::exchange(self.public, &super::http::request(self.public, method, target, &headers, body))
            .await
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.shutdown.force();
    }
}

async fn listen(routes: serve::router::Routes, shutdown: &Shutdown) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let telemetry = Telemetry::new(Metrics::new("test", std::time::UNIX_EPOCH));
    tokio::spawn(serve::serve(listener, routes, Limits::default(), telemetry, shutdown.clone()));
    address
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
        let request = pb::CreateClientRequest { client: Some(client), ..Default::default() };
        let response = self.create_client(request).await.unwrap();
        (response.client.unwrap(), response.client_secret)
    }
}

/// A client with an identifier and a scope.
pub fn client(client_id: &str, scope: &str) -> pb::Client {
    pb::Client { client_id: client_id.to_owned(), scope: scope.to_owned(), ..Default::default() }
}
