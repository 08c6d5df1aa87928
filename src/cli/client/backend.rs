//! Where a command does its work: straight on the store of the configuration, or through the admin services of a running
//! server. The messages are the same.

use std::{fs, path::PathBuf, time::Duration};

use clap::Args;
use tonic::{Code, Request, Status, transport::Channel};

use crate::{
    admin::AdminError,
    app,
    cli::{output::Failure, store},
    config::{Config, sources::TOKEN_VARIABLE},
    grpc::{
        ClientMessages,
        pb::admin::{self as pb, client_service_client::ClientServiceClient},
    },
    secret::Secret,
};

/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A token is shorter than this; a file that is longer holds something else.
const MAX_TOKEN_FILE: u64 = 64 * 1024;

/// What a command works on.
#[derive(Args, Clone, Debug)]
pub(super) struct Target {
    /// TOML file that names the store [environment: MINTAGE_CONFIG]
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    config: Option<PathBuf>,
    /// Ops address of a running server, such as http://127.0.0.1:9000 [default: straight on the store]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// File with an access token of scope mintage:admin for --server [environment: MINTAGE_TOKEN holds one]
    #[arg(long, value_name = "FILE", requires = "server")]
    token_file: Option<PathBuf>,
}

/// Where the messages go.
pub(super) enum Backend {
    Store(ClientMessages),
    Server(Box<Server>),
}

/// A running server.
pub(super) struct Server {
    client: ClientServiceClient<Channel>,
    authorization: Secret<String>,
}

impl Target {
    /// The configuration that names the store.
    fn config(&self) -> Result<Config, Failure> {
        let config = store::load(self.config.clone())?;
        if config.store.location.is_private() {
            return Err(Failure::failed(
                "the store is in memory and belongs to the server that runs; pass --server with its ops address, or set \
                 database_url",
            ));
        }
        Ok(config)
    }
}

impl Backend {
    pub(super) async fn open(target: &Target) -> Result<Self, Failure> {
        match &target.server {
            Some(url) => Ok(Self::Server(Box::new(Server::connect(url, target.token_file.as_ref()).await?))),
            None => Ok(Self::Store(
                app::open_clients(&target.config()?).await.map_err(|error| not_opened(&error))?,
            )),
        }
    }

    /// What a token would say. On the store this takes more than its clients: its keys, and the server's settings.
    pub(super) async fn explain(
        target: &Target,
        message: pb::ExplainTokenRequest,
    ) -> Result<pb::ExplainTokenResponse, Failure> {
        match &target.server {
            Some(url) => {
                let mut server = Server::connect(url, target.token_file.as_ref()).await?;
                let response = server.client.explain_token(server.request(message)?).await;
                response.map(tonic::Response::into_inner).map_err(|status| from_server(&status))
            }
            None => {
                let explainer = app::open_explainer(&target.config()?).await;
                let explainer = explainer.map_err(|error| not_opened(&error))?;
                explainer.explain(message).await.map_err(|error| from_core(&error))
            }
        }
    }
}

fn not_opened(error: &app::StartError) -> Failure {
    Failure::failed(error.to_string())
}

/// One method: the same message, whichever way it takes.
macro_rules! methods {
    ($($name:ident, $rpc:ident: $request:ident -> $response:ident;)*) => {
        impl Backend {
            $(pub(super) async fn $name(&mut self, message: pb::$request) -> Result<pb::$response, Failure> {
                match self {
                    Self::Store(clients) => clients.$name(message).await.map_err(|error| from_core(&error)),
                    Self::Server(server) => {
                        let request = server.request(message)?;
                        let response = server.client.$rpc(request).await;
                        response.map(tonic::Response::into_inner).map_err(|status| from_server(&status))
                    }
                }
            })*
        }
    };
}

methods! {
    get, get_client: GetClientRequest -> GetClientResponse;
    list, list_clients: ListClientsRequest -> ListClientsResponse;
    create, create_client: CreateClientRequest -> CreateClientResponse;
    update, update_client: UpdateClientRequest -> UpdateClientResponse;
    delete, delete_client: DeleteClientRequest -> DeleteClientResponse;
    add_secret, add_client_secret: AddClientSecretRequest -> AddClientSecretResponse;
    list_secrets, list_client_secrets: ListClientSecretsRequest -> ListClientSecretsResponse;
    retire_secret, retire_client_secret: RetireClientSecretRequest -> RetireClientSecretResponse;
    revoke_tokens, revoke_client_tokens: RevokeClientTokensRequest -> RevokeClientTokensResponse;
}

impl Server {
    async fn connect(url: &str, token_file: Option<&PathBuf>) -> Result<Self, Failure> {
        let misused = || Failure::misused("--server must be a plain URL such as http://127.0.0.1:9000");
        if !url.starts_with("http://") {
            return Err(misused());
        }
        let authorization = read_token(token_file)?;
        let endpoint = Channel::from_shared(url.to_owned()).map_err(|_| misused())?;
        let channel = endpoint.connect_timeout(TIMEOUT).timeout(TIMEOUT).connect().await.map_err(|_| {
            Failure::failed(format!("{url} does not answer; start the server or correct --server"))
        })?;
        Ok(Self { client: ClientServiceClient::new(channel), authorization })
    }

    fn request<T>(&self, message: T) -> Result<Request<T>, Failure> {
        let mut request = Request::new(message);
        let mut value: tonic::metadata::MetadataValue<_> = format!("Bearer {}", self.authorization.expose())
            .parse()
            .map_err(|_| Failure::failed("the access token is not one; pass a JWT of this server"))?;
        value.set_sensitive(true);
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

/// The access token for a server. Never an argument: those are in the list of processes.
fn read_token(file: Option<&PathBuf>) -> Result<Secret<String>, Failure> {
    let text = match file {
        Some(path) => {
            let name = path.display();
            let length = fs::metadata(path).map(|metadata| metadata.len());
            if length.is_ok_and(|length| length > MAX_TOKEN_FILE) {
                return Err(Failure::failed(format!("{name} holds more than a token; correct --token-file")));
            }
            Secret::new(fs::read_to_string(path).map_err(|error| {
                Failure::failed(format!("{name} cannot be read ({error}); correct --token-file"))
            })?)
        }
        None => Secret::new(std::env::var(TOKEN_VARIABLE).unwrap_or_default()),
    };
    let token = text.expose().trim();
    if token.is_empty() {
        return Err(Failure::misused(format!(
            "--server needs an access token with the scope mintage:admin; pass --token-file or set {TOKEN_VARIABLE}"
        )));
    }
    Ok(Secret::from(token))
}

fn from_core(error: &AdminError) -> Failure {
    match error {
        AdminError::InvalidArgument(_) => Failure::misused(error.to_string()),
        AdminError::Unavailable { cause, .. } | AdminError::Internal(cause) => {
            Failure::failed(format!("{error} ({cause})"))
        }
        _ => Failure::failed(error.to_string()),
    }
}

fn from_server(status: &Status) -> Failure {
    let message = status.message();
    match status.code() {
        Code::InvalidArgument => Failure::misused(message),
        Code::Unauthenticated => Failure::failed(format!(
            "{message}; pass a valid one with the scope mintage:admin by --token-file or {TOKEN_VARIABLE}"
        )),
        Code::PermissionDenied => Failure::failed(format!(
            "{message}; its client must be registered with the scope mintage:admin (mintage client create --admin)"
        )),
        Code::Unimplemented => {
            Failure::failed("the server has no admin services there; pass its ops address to --server")
        }
        _ if message.is_empty() => Failure::failed(format!("the server did not answer ({})", status.code())),
        _ => Failure::failed(message),
    }
}
