//! The administration: of a running server, on its ops listener, and of its store, for commands on the same host.

use std::sync::Arc;

use axum::Router;

use super::{
    Core, OpenedStore, StartError,
    core::{grpc_settings, policy},
    keys, stores,
};
use crate::{
    admin::{ClientAdmin, SigningKeyAdmin, clients, signing_keys},
    clock::{Clock, SystemClock},
    config::Config,
    grpc::{self, ClientMessages, ExplainMessages},
    jose::{SigningAlgorithm, SigningKey},
    oauth::{
        AuthorizationServer, Freshness, Keys, Revocations,
        authorization_server::Dependencies,
        client::{ClientDirectory, SecretHash, secret::SecretVerifier},
        replay::ReplayGuard,
        signing::SigningPool,
        store::Stores,
    },
    random::SystemRandom,
};

impl Core {
    /// The admin services, and health. The first belong on the ops listener and nowhere else (V-64).
    ///
    /// # Errors
    /// [`StartError::Reflection`].
    pub(super) fn admin_routes(&self, config: &Config, health: &grpc::Health) -> Result<Router, StartError> {
        let services = grpc::AdminServices {
            server: Arc::clone(&self.server),
            clients: Arc::clone(&self.client_admin),
            keys: Arc::clone(&self.key_admin),
        };
        Ok(grpc::admin_routes(&services, grpc_settings(config), health)?)
    }
}

/// The clients of a configuration's store, for whoever may open it: no server need run.
///
/// # Errors
/// [`StartError`]. A store in memory is refused: it ends with the process that has it.
pub async fn open_clients(config: &Config) -> Result<ClientMessages, StartError> {
    Ok(ClientMessages(Clients::open(config, &stores::open_store(config).await?).await?.admin))
}

/// What a configuration's server would answer a client of its store, for whoever may open it. Nothing is signed, so that no
/// key file is read.
///
/// # Errors
/// As [`open_clients`], and when a key of the store cannot be used.
pub async fn open_explainer(config: &Config) -> Result<ExplainMessages, StartError> {
    let opened = stores::open_store(config).await?;
    let clients = Clients::open(config, &opened).await?;
    let shared_secret = config.jwt_secret.as_ref().map(SigningKey::from_shared_secret).transpose()?;
    let keys =
        Keys::new(shared_secret.into_iter().collect(), Arc::clone(&opened.master), keys::timing(config))?
            .with_configured(configured_by_file(config));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // A key that cannot be opened does not sign, and that is what is explained then.
    keys.reload(&*opened.stores.keys, clock.now()).await?;
    let dependencies = Dependencies {
        clock,
        random: Arc::new(SystemRandom),
        clients: clients.directory,
        secrets: clients.secrets,
        keys: Arc::new(keys),
        revocations: Arc::default(),
        freshness: Arc::new(Freshness::always()),
        revocation_store: None,
        replays: Arc::new(ReplayGuard::new(None, config.replay)),
        uses: Arc::default(),
        published_keys: None,
        trust: Arc::default(),
        federation: None,
        signing_pool: Arc::new(SigningPool::new("signing", 1, config.limits.queue_wait)),
    };
    let server = Arc::new(AuthorizationServer::new(policy(config, None), dependencies)?);
    Ok(ExplainMessages { clients: clients.admin, server })
}

/// The clients of a store without a server.
struct Clients {
    admin: Arc<ClientAdmin>,
    directory: Arc<ClientDirectory>,
    secrets: Arc<SecretVerifier>,
}

impl Clients {
    async fn open(config: &Config, opened: &OpenedStore) -> Result<Self, StartError> {
        let key = stores::secret_hash_key(&*opened.stores.keys, &opened.master).await?;
        let secrets = Arc::new(SecretVerifier::with_key(&key, &SystemRandom, 1)?);
        // Who is configured matters here, and not with which secret.
        let configured = config.clients(|secret, form| Ok(SecretHash::stand_in(secret, form)))?;
        let directory = Arc::new(ClientDirectory::new(configured));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let admin =
            Arc::new(client_admin(config, &opened.stores, &secrets, &directory, &Arc::default(), &clock));
        Ok(Self { admin, directory, secrets })
    }
}

/// The algorithm whose key is in a file. That need not be read to know that there is one.
fn configured_by_file(config: &Config) -> Option<SigningAlgorithm> {
    config.rs256_key_files.is_some().then_some(SigningAlgorithm::RS256)
}

/// The signing keys of a configuration's store, for whoever may open it.
///
/// # Errors
/// [`StartError`].
pub async fn open_keys(config: &Config) -> Result<SigningKeyAdmin, StartError> {
    let opened = stores::open_store(config).await?;
    let keys = Keys::new(Vec::new(), Arc::clone(&opened.master), keys::timing(config))?;
    Ok(SigningKeyAdmin::new(signing_keys::Dependencies {
        store: opened.stores.keys,
        master: opened.master,
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        keys: Arc::new(keys.with_configured(configured_by_file(config))),
    }))
}

/// What manages the clients of a store.
pub(super) fn client_admin(
    config: &Config,
    stores: &Stores,
    secrets: &Arc<SecretVerifier>,
    directory: &Arc<ClientDirectory>,
    revoked: &Arc<Revocations>,
    clock: &Arc<dyn Clock>,
) -> ClientAdmin {
    ClientAdmin::new(clients::Dependencies {
        clock: Arc::clone(clock),
        random: Arc::new(SystemRandom),
        clients: Arc::clone(&stores.clients),
        revocations: Arc::clone(&stores.revocations),
        revoked: Arc::clone(revoked),
        max_staleness: config.store.max_staleness,
        secrets: Arc::clone(secrets),
        directory: Arc::clone(directory),
        defaults: config.tokens.defaults(),
        issuer: config.issuer.clone(),
        has_hs256_key: config.jwt_secret.is_some(),
    })
}
