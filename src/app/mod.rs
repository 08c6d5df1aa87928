//! The composition root: a checked configuration becomes a running server.
//!
//! - `stores`: the store, and what opens its secrets
//! - `admin`: the administration of a running server, and of its store
//! - `keys`: which signing keys are configured
//! - `start`, `snapshot`: what it knows when it starts, with or without its store
//! - `follow`: what goes on beside the requests
//! - `reload`: SIGHUP replaces the configured clients
//! - `ops`: what the ops listener serves

mod admin;
mod follow;
mod keys;
mod ops;
mod reload;
mod snapshot;
mod start;
mod stores;

use std::{
    fmt,
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    thread,
};

use tokio::net::TcpListener;

use crate::{
    admin::{AdminError, ClientAdmin, SigningKeyAdmin, signing_keys},
    clock::{Clock, SystemClock},
    config::{Config, ConfigErrors, LogFormat},
    grpc,
    jose::{key_ring::DuplicateKey, verification_key::InvalidKey},
    key_file::KeyFileError,
    oauth::{
        AuthorizationServer, Freshness, Keys, Policy, Replica, Revocations,
        authorization_server::Dependencies,
        client::{ClientDirectory, directory::StoredClients, secret::SecretVerifier, uses::SecretUses},
        replica,
        store::{ClientQuery, ClientStore, StoreError},
        throttle::Rate,
    },
    random::{RandomError, SystemRandom},
    readiness::Readiness,
    rest,
    serve::{self, Limits, Shutdown, router::Routes},
    store::OpenError,
    telemetry::{self, Metrics, Telemetry, logging::LoggingError},
};
pub use admin::{open_clients, open_keys};
pub use follow::follow;
use start::Start;
pub use stores::{OpenedStore, open_store};

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
    /// The store cannot be opened.
    #[error("{0}")]
    Store(#[from] OpenError),
    /// The store failed while the server started.
    #[error("{0}; start the database, or set store.snapshot_file so that a replica can start without it")]
    StoreFailed(#[from] StoreError),
    /// What is sealed in the store cannot be opened.
    #[error("master key: {0}")]
    MasterKey(String),
    /// The signing keys could not be brought up to date.
    #[error("the signing keys could not be prepared: {0}")]
    SigningKeys(#[from] AdminError),
    /// The snapshot cannot stand in for the store.
    #[error("{0}")]
    Snapshot(String),
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
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let core = Core::build(&config, Arc::new(SystemClock), &std::env::temp_dir()).await?;
        serve_until_signal(config, core).await
    })
}

/// Everything that exists before the first socket.
pub struct Core {
    /// The service that both transports call.
    pub server: Arc<AuthorizationServer>,
    /// Its clients, of which a reload replaces the configured ones.
    pub clients: Arc<ClientDirectory>,
    /// What manages the clients of the store.
    pub client_admin: Arc<ClientAdmin>,
    /// Its signing keys.
    pub keys: Arc<Keys>,
    /// What rotates them.
    pub key_admin: Arc<SigningKeyAdmin>,
    /// What keeps all of it true.
    pub replica: Arc<Replica>,
    /// Where it is kept.
    pub store: OpenedStore,
    secrets: Arc<SecretVerifier>,
    clock: Arc<dyn Clock>,
}

impl Core {
    /// Opens the store, hashes secrets, loads or makes keys (generated key files lie in `key_directory`), and puts the
    /// service together. While the store is away a snapshot stands in for it.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn build(
        config: &Config,
        clock: Arc<dyn Clock>,
        key_directory: &Path,
    ) -> Result<Self, StartError> {
        let store = stores::connect(config).await?;
        let keys = {
            let (config, master, directory) =
                (config.clone(), Arc::clone(&store.master), key_directory.to_owned());
            // A generated key file takes a while.
            blocking(move || keys::configured(&config, master, &directory)).await??
        };
        let keys = Arc::new(keys);
        let start = Start::from_store_or_snapshot(config, &store).await?;

        let cores = thread::available_parallelism().map_or(1, usize::from);
        let secrets = Arc::new(SecretVerifier::with_key(&start.secret_hash_key, &SystemRandom, cores)?);
        let clients = {
            let (config, secrets) = (config.clone(), Arc::clone(&secrets));
            blocking(move || config.clients(|secret| secrets.hash(secret, &SystemRandom))).await??
        };
        warn_about(config);

        let freshness = Arc::new(if config.store.location.is_private() {
            Freshness::always()
        } else {
            Freshness::never()
        });
        let stored = StoredClients {
            store: Arc::clone(&store.stores.clients),
            defaults: config.tokens.defaults(),
            freshness: Arc::clone(&freshness),
            clock: Arc::clone(&clock),
            capacity: config.store.client_cache,
            max_staleness: config.store.max_staleness,
        };
        let clients = Arc::new(ClientDirectory::with_store(clients, stored));
        let (revocations, uses) = (Arc::<Revocations>::default(), Arc::<SecretUses>::default());
        let replica = Arc::new(Replica::new(
            store.stores.clone(),
            Arc::clone(&clock),
            Arc::clone(&clients),
            Arc::clone(&revocations),
            Arc::clone(&freshness),
            Arc::clone(&uses),
            install_into(&keys, &clock),
        ));
        let key_admin = Arc::new(SigningKeyAdmin::new(signing_keys::Dependencies {
            store: Arc::clone(&store.stores.keys),
            master: Arc::clone(&store.master),
            clock: Arc::clone(&clock),
            random: Arc::new(SystemRandom),
            keys: Arc::clone(&keys),
        }));
        start.fill(&replica, &key_admin, &keys::stored(&keys)).await?;
        warn_when_empty(&clients, &*store.stores.clients).await;

        let policy = Policy {
            issuer: config.issuer.clone(),
            max_lifetime: config.tokens.max_lifetime,
            max_revocation_age: config.store.max_revocation_age,
            failed_auth_rate: config
                .limits
                .failed_auth_rate
                .map(|rate| Rate { count: rate.count.get(), period: rate.window }),
            registration: config.registration,
        };
        let dependencies = Dependencies {
            clock: Arc::clone(&clock),
            random: Arc::new(SystemRandom),
            clients: Arc::clone(&clients),
            secrets: Arc::clone(&secrets),
            keys: Arc::clone(&keys),
            revocations,
            freshness,
            revocation_store: Some(Arc::clone(&store.stores.revocations)),
            uses,
        };
        let server = Arc::new(AuthorizationServer::new(policy, dependencies));
        let client_admin = admin::client_admin(config, &store.stores, &secrets, &clients, &clock);
        let client_admin = Arc::new(client_admin);
        Ok(Self { server, clients, client_admin, keys, key_admin, replica, store, secrets, clock })
    }

    /// Reads the configuration again and replaces the configured clients, or leaves them as they are. Returns how many
    /// there are.
    ///
    /// # Errors
    /// [`ConfigErrors`]; the old clients stay in use.
    pub fn reload(&self, config: &Config) -> Result<usize, ConfigErrors> {
        let clients = config.reload()?.clients(|secret| self.secrets.hash(secret, &SystemRandom))?;
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
        let settings = rest::Settings {
            max_body_bytes: config.limits.max_body_bytes,
            jwks_max_age: config.jwks_max_age,
        };
        let mut rest = rest::routes(&self.server, readiness, &settings)?;
        if config.registration {
            rest = rest.merge(rest::registration(&self.server, &self.client_admin, &settings));
        }
        let (grpc, health) = grpc::routes(&self.server, grpc_settings(config))?;
        Ok((serve::router(rest, grpc), health))
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("server", &self.server).finish_non_exhaustive()
    }
}

/// What every gRPC service of this server is told.
const fn grpc_settings(config: &Config) -> grpc::Settings {
    grpc::Settings {
        max_message_bytes: config.limits.max_body_bytes,
        reflection: config.reflection,
        jwks_max_age: config.jwks_max_age,
    }
}

/// Keys that cannot be used are named, and the others are used.
fn install_into(keys: &Arc<Keys>, clock: &Arc<dyn Clock>) -> replica::KeysHook {
    let (keys, clock) = (Arc::clone(keys), Arc::clone(clock));
    Box::new(move |records| {
        if let Err(error) = keys.install(&records, clock.now()) {
            tracing::error!(%error, "signing keys of the store cannot be used");
        }
        Ok(())
    })
}

/// Runs what blocks where it holds nobody up.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// An unconfigured server says how to create the first client.
async fn warn_when_empty(clients: &ClientDirectory, store: &dyn ClientStore) {
    let one = ClientQuery { limit: 1, ..ClientQuery::default() };
    if clients.configured().is_empty() && store.list(&one).await.is_ok_and(|found| found.is_empty()) {
        tracing::warn!(
            "no client is registered, so nobody can get a token; run `mintage client create`, or add a [[clients]] table to \
             the configuration file and send SIGHUP"
        );
    }
}

/// What an operator must know and might not expect.
fn warn_about(config: &Config) {
    if config.dev {
        tracing::warn!(
            "--dev: the built-in clients, their secrets and JWT_SECRET are public; never use them in production"
        );
    } else if config.store.location.is_private() {
        tracing::warn!(
            "the store is in memory: clients, keys and revocations do not outlive this process; set database_url to keep them"
        );
    }
}

/// How long the last writes may take.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(1);

async fn serve_until_signal(config: Config, core: Core) -> Result<(), StartError> {
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    let readiness = Readiness::default();
    let started = std::time::UNIX_EPOCH + SystemClock.now().since(crate::clock::Timestamp::from_seconds(0));
    let telemetry = Telemetry::new(Metrics::new(env!("CARGO_PKG_VERSION"), started));

    let (routes, health) = core.routes(&config, &readiness)?;
    let ops_routes =
        serve::router(ops::routes(telemetry.metrics().clone(), &readiness), core.admin_routes(&config)?);

    let public = listen("listen", config.listen).await?;
    let ops = listen_ops(&config).await?;
    let limits = Limits {
        max_connections: config.limits.max_connections,
        max_header_bytes: u32::try_from(config.limits.max_header_bytes).unwrap_or(u32::MAX),
        ..Limits::default()
    };
    announce(&config, public.local_addr()?, ops.as_ref().map(TcpListener::local_addr).transpose()?);
    let core = Arc::new(core);
    let beside = follow(&core, &config, &readiness, telemetry.metrics());
    let snapshot_file = config.store.snapshot_file.clone();
    reload::on_hangup(config, Arc::clone(&core))?;

    readiness.set(true);
    health.set_serving(true).await;
    let leave = async {
        shutdown.draining().await;
        readiness.set(false);
        health.set_serving(false).await;
        health.end_streams();
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
    drop(beside);
    // A store that is away does not hold up the end.
    let _ = tokio::time::timeout(FAREWELL, farewell(&core, snapshot_file.as_deref())).await;
    tracing::info!("stopped");
    Ok(())
}

/// What the next start is glad of.
async fn farewell(core: &Core, snapshot_file: Option<&Path>) {
    if core.replica.freshness.is_failing() {
        return;
    }
    if let Err(error) = core.replica.flush_uses().await {
        tracing::warn!(%error, "uses of secrets were not written");
    }
    if let Some(Err(error)) = match snapshot_file {
        Some(file) => Some(core.save_snapshot(file).await),
        None => None,
    } {
        tracing::warn!(%error, "the snapshot was not written");
    }
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
        "mintage {version} listens on http://{listen} (REST and gRPC){ops}, issuer {}, store {}",
        config.issuer,
        config.store.location
    );
}
