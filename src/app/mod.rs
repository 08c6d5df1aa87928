//! The composition root: a checked configuration becomes a running server.
//!
//! - `keys`: which signing keys it starts with
//! - `reload`: SIGHUP replaces the clients
//! - `ops`: what the ops listener serves

mod keys;
mod ops;
mod reload;
mod snapshot;

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    thread,
};

use tokio::net::TcpListener;

use crate::{
    clock::{Clock, SystemClock},
    config::{Config, ConfigErrors, LogFormat},
    grpc,
    jose::{SigningAlgorithm, key_ring::DuplicateKey, verification_key::InvalidKey},
    key_file::KeyFileError,
    oauth::{
        AuthorizationServer, Policy,
        authorization_server::Dependencies,
        client::{Client, ClientDirectory, ClientId, secret::SecretVerifier},
        freshness::Freshness,
        throttle::Rate,
    },
    random::{RandomError, SystemRandom},
    readiness::Readiness,
    rest,
    serve::{self, Limits, Shutdown, router::Routes},
    telemetry::{self, Metrics, Telemetry, logging::LoggingError},
};

/// Why the server did not start. Each is one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Logging could not be set up.
    #[error("{0}")]
    Logging(#[from] LoggingError),
    /// A secret of the configuration could not be hashed.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// A key file cannot be used.
    #[error("{0}")]
    KeyFile(#[from] KeyFileError),
    /// A signing key cannot be used or generated.
    #[error("a signing key could not be prepared: {0}")]
    Key(#[from] InvalidKey),
    /// Two signing keys are one.
    #[error("{0}; configure another key file")]
    DuplicateKey(#[from] DuplicateKey),
    /// The system's random generator failed.
    #[error("{0}; no key can be made on this system")]
    Random(#[from] RandomError),
    /// A document of the server cannot be rendered.
    #[error("a document could not be rendered: {0}")]
    Document(#[from] serde_json::Error),
    /// The descriptor set of reflection cannot be read.
    #[error("reflection could not be set up: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// An address is taken or not ours.
    #[error("{setting} {address} cannot be listened on ({source}); free it or choose another address")]
    Listen {
        /// Which setting names the address.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The runtime or its signal handlers could not be set up.
    #[error("the process could not be set up: {0}")]
    Process(#[from] io::Error),
}

/// Why a reload was refused. The old clients stay in use.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration is not valid.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// Keys are made when the process starts.
    #[error("{client_id:?} signs with {alg}, for which this process has no key; restart it to make one")]
    MissingKey {
        /// The client that would have no key.
        client_id: ClientId,
        /// Its algorithm.
        alg: SigningAlgorithm,
    },
}

/// Runs the server until a signal ends it, then returns.
///
/// # Errors
/// [`StartError`]; once it serves, it ends well.
pub fn run(config: Config) -> Result<(), StartError> {
    let format = match config.log_format {
        LogFormat::Text => telemetry::Format::Text,
        LogFormat::Json => telemetry::Format::Json,
    };
    telemetry::logging::init(&config.log, format)?;
    let core = Core::build(&config, Arc::new(SystemClock), &std::env::temp_dir())?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve_until_signal(config, core))
}

/// Everything that exists before the first socket.
#[derive(Debug)]
pub struct Core {
    /// The service that both transports call.
    pub server: Arc<AuthorizationServer>,
    /// Its clients, which a reload replaces.
    pub clients: Arc<ClientDirectory>,
    secrets: Arc<SecretVerifier>,
}

impl Core {
    /// Hashes secrets, loads or makes keys (generated key files lie in `key_directory`), and puts the service together.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn build(config: &Config, clock: Arc<dyn Clock>, key_directory: &Path) -> Result<Self, StartError> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let secrets = Arc::new(SecretVerifier::new(&SystemRandom, cores)?);
        let clients = config.clients(|secret| secrets.hash(secret, &SystemRandom))?;
        let keys::Provisioned { keys, generated } = keys::provision(config, &clients, key_directory)?;
        warn_about(config, &clients, &generated);

        let clients = Arc::new(ClientDirectory::new(clients));
        let policy = Policy {
            issuer: config.issuer.clone(),
            max_lifetime: config.tokens.max_lifetime,
            max_revocation_age: std::time::Duration::from_secs(30),
            failed_auth_rate: config
                .limits
                .failed_auth_rate
                .map(|rate| Rate { count: rate.count.get(), period: rate.window }),
            registration: false,
        };
        let dependencies = Dependencies {
            clock,
            random: Arc::new(SystemRandom),
            clients: Arc::clone(&clients),
            secrets: Arc::clone(&secrets),
            keys: Arc::new(keys),
            revocations: Arc::default(),
            freshness: Arc::new(Freshness::always()),
            revocation_store: None,
            uses: Arc::default(),
        };
        Ok(Self { server: Arc::new(AuthorizationServer::new(policy, dependencies)), clients, secrets })
    }

    /// Reads the configuration again and replaces the clients, or leaves them as they are. Returns how many there are.
    ///
    /// # Errors
    /// [`ReloadError`].
    pub fn reload(&self, config: &Config) -> Result<usize, ReloadError> {
        let clients = config.reload()?.clients(|secret| self.secrets.hash(secret, &SystemRandom))?;
        if let Some(client) =
            clients.iter().find(|client| !self.server.can_sign(client.access_token_signing_alg))
        {
            let (client_id, alg) = (client.client_id.clone(), client.access_token_signing_alg);
            return Err(ReloadError::MissingKey { client_id, alg });
        }
        let count = clients.len();
        self.clients.replace(clients);
        Ok(count)
    }

    /// What the one port serves, REST and gRPC, and the switch of the health service.
    ///
    /// # Errors
    /// [`StartError::Document`] and [`StartError::Reflection`].
    pub fn routes(
        &self,
        config: &Config,
        readiness: &Readiness,
    ) -> Result<(Routes, grpc::Health), StartError> {
        let rest = rest::Settings {
            max_body_bytes: config.limits.max_body_bytes,
            jwks_max_age: config.jwks_max_age,
        };
        let rest = rest::routes(&self.server, readiness, &rest)?;
        let grpc =
            grpc::Settings { max_message_bytes: config.limits.max_body_bytes, reflection: config.reflection };
        let (grpc, health) = grpc::routes(&self.server, grpc)?;
        Ok((serve::router(rest, grpc), health))
    }
}

/// What an operator must know and might not expect.
fn warn_about(config: &Config, clients: &[Client], generated: &[SigningAlgorithm]) {
    if config.dev {
        tracing::warn!(
            "--dev: the built-in clients, their secrets and JWT_SECRET are public; never use them in production"
        );
    } else if !generated.is_empty() {
        let algorithms = generated.iter().map(|alg| alg.as_str()).collect::<Vec<_>>().join(" ");
        tracing::warn!(
            algorithms,
            "these signing keys exist in memory only: tokens signed with them do not outlive this process; set \
             RS256_PRIVATE_KEY_PATH for an RS256 key that lasts"
        );
    }
    if clients.is_empty() {
        tracing::warn!(
            "no client is registered, so nobody can get a token; add a [[clients]] table with client_id, client_secret and \
             scope to the configuration file and send SIGHUP"
        );
    }
}

async fn serve_until_signal(config: Config, core: Core) -> Result<(), StartError> {
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    let readiness = Readiness::default();
    let started = std::time::UNIX_EPOCH + SystemClock.now().since(crate::clock::Timestamp::from_seconds(0));
    let telemetry = Telemetry::new(Metrics::new(env!("CARGO_PKG_VERSION"), started));

    let (routes, health) = core.routes(&config, &readiness)?;
    let ops_routes = serve::router(ops::routes(telemetry.metrics().clone(), &readiness), axum::Router::new());

    let public = listen("listen", config.listen).await?;
    let ops = listen_ops(&config).await?;
    let limits = Limits {
        max_connections: config.limits.max_connections,
        max_header_bytes: u32::try_from(config.limits.max_header_bytes).unwrap_or(u32::MAX),
        ..Limits::default()
    };
    announce(&config, public.local_addr()?, ops.as_ref().map(TcpListener::local_addr).transpose()?);
    reload::on_hangup(config, core)?;

    readiness.set(true);
    health.set_serving(true).await;
    let leave = async {
        shutdown.draining().await;
        readiness.set(false);
        health.set_serving(false).await;
    };
    tokio::join!(
        leave,
        serve::serve(public, routes, limits.clone(), telemetry.clone(), shutdown.clone()),
        async {
            if let Some(ops) = ops {
                serve::serve(ops, ops_routes, limits, telemetry, shutdown.clone()).await;
            }
        },
    );
    tracing::info!("stopped");
    Ok(())
}

async fn listen(setting: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { setting, address, source })
}

/// The ops listener. A second `--dev` server on one machine does without it rather than not start.
async fn listen_ops(config: &Config) -> Result<Option<TcpListener>, StartError> {
    match listen("ops_listen", config.ops_listen).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if config.dev => {
            tracing::warn!(%error, "--dev: metrics are not served; set MINTAGE_OPS_LISTEN to a free address");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The one line that is not a log record: where the server is and what it is.
fn announce(config: &Config, listen: SocketAddr, ops: Option<SocketAddr>) {
    let version = env!("CARGO_PKG_VERSION");
    let ops = ops.map(|ops| format!(" and http://{ops} (ops)")).unwrap_or_default();
    // A closed stdout is no reason not to serve.
    let _ = writeln!(
        io::stdout(),
        "mintage {version} listens on http://{listen} (REST and gRPC){ops}, issuer {}, store in memory",
        config.issuer
    );
}
