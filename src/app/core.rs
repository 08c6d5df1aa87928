//! Everything a server consists of, put together in one place.

use std::{fmt, path::Path, sync::Arc, thread};

use super::{
    OpenedStore, StartError, admin, authorities, blocking, federation, keys, start::Start, stores,
    watch::Watched,
};
use crate::{
    admin::{ClientAdmin, SigningKeyAdmin, signing_keys},
    clock::Clock,
    config::{Config, ConfigErrors},
    grpc,
    oauth::{
        AuthorizationServer, Freshness, Keys, Policy, Replica, Revocations,
        authorization_server::Dependencies,
        client::{ClientDirectory, directory::StoredClients, secret::SecretVerifier, uses::SecretUses},
        dpop::DpopPolicy,
        replay::ReplayGuard,
        signing::SigningPool,
        store::{ClientQuery, ClientStore},
    },
    random::SystemRandom,
    readiness::Readiness,
    rest,
    secret::Secret,
    serve::{self, router::Routes},
};

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
    /// What sees to it that what may be used once is.
    pub replays: Arc<ReplayGuard>,
    /// What rotates them.
    pub key_admin: Arc<SigningKeyAdmin>,
    /// What keeps all of it true.
    pub replica: Arc<Replica>,
    /// The threads that sign what takes long.
    pub signing_pool: Arc<SigningPool>,
    /// Where it is kept.
    pub store: OpenedStore,
    /// The files that must be read again when they change.
    pub watched: Vec<Watched>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) secrets: Arc<SecretVerifier>,
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
            blocking(move || config.clients(|secret, form| secrets.keep(secret, form, &SystemRandom)))
                .await??
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
            Arc::clone(&keys),
        ));
        let key_admin = Arc::new(SigningKeyAdmin::new(signing_keys::Dependencies {
            store: Arc::clone(&store.stores.keys),
            master: Arc::clone(&store.master),
            clock: Arc::clone(&clock),
            random: Arc::new(SystemRandom),
            keys: Arc::clone(&keys),
        }));
        let policy = policy(config, Some(&start.secret_hash_key));
        start.fill(&replica, &key_admin, &keys::stored(&keys)).await?;
        warn_when_empty(&clients, &*store.stores.clients).await;

        let replays = Arc::new(ReplayGuard::new(Some(Arc::clone(&store.stores.replays)), config.replay));
        let fetcher = federation::fetcher(config, &clock);
        let (federation, mut watched) = federation::from_config(config, &fetcher, &replays)?;
        let (trust, files) = authorities::from_files(config)?;
        watched.extend(files);
        let signing_pool = Arc::new(SigningPool::new("signing", cores, config.limits.queue_wait));
        let dependencies = Dependencies {
            clock: Arc::clone(&clock),
            random: Arc::new(SystemRandom),
            clients: Arc::clone(&clients),
            secrets: Arc::clone(&secrets),
            keys: Arc::clone(&keys),
            revocations: Arc::clone(&revocations),
            freshness,
            revocation_store: Some(Arc::clone(&store.stores.revocations)),
            replays: Arc::clone(&replays),
            uses,
            published_keys: Some(fetcher),
            trust,
            federation,
            signing_pool: Arc::clone(&signing_pool),
        };
        let server = Arc::new(AuthorizationServer::new(policy, dependencies)?);
        let client_admin =
            admin::client_admin(config, &store.stores, &secrets, &clients, &revocations, &clock);
        let client_admin = Arc::new(client_admin);
        Ok(Self {
            server,
            clients,
            client_admin,
            keys,
            replays,
            key_admin,
            replica,
            signing_pool,
            store,
            watched,
            secrets,
            clock,
        })
    }

    /// Reads the configuration again and replaces the configured clients, or leaves them as they are. Returns how many
    /// there are.
    ///
    /// # Errors
    /// [`ConfigErrors`]; the old clients stay in use.
    pub fn reload(&self, config: &Config) -> Result<usize, ConfigErrors> {
        let clients =
            config.reload()?.clients(|secret, form| self.secrets.keep(secret, form, &SystemRandom))?;
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

/// What the operator decided, as the core knows it. The replicas share the secret; whoever accepts no proofs needs none.
pub(super) fn policy(config: &Config, shared_secret: Option<&Secret<[u8; 32]>>) -> Policy {
    Policy {
        issuer: config.issuer.clone(),
        max_lifetime: config.tokens.max_lifetime,
        max_revocation_age: config.store.max_revocation_age,
        failed_auth_rate: config.limits.failed_auth_rate,
        client_rate: config.limits.client_rate,
        registration: config.registration,
        signing_alg: config.tokens.signing_alg,
        methods: config.methods.offered.clone(),
        certificates: config.methods.certificates,
        dpop: DpopPolicy {
            max_age: config.dpop.max_age,
            nonce_secret: shared_secret.filter(|_| config.dpop.nonce_required).cloned(),
        },
    }
}

/// What every gRPC service of this server is told.
pub(super) const fn grpc_settings(config: &Config) -> grpc::Settings {
    grpc::Settings {
        max_message_bytes: config.limits.max_body_bytes,
        reflection: config.reflection,
        jwks_max_age: config.jwks_max_age,
    }
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
