//! Replicas over a store in memory that can be made to fail: what happens when the store does what no test could have a
//! database do at the right moment.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use mintage::{
    clock::{Clock, TestClock, Timestamp},
    grpc,
    jose::{SigningAlgorithm, SigningKey},
    oauth::{
        AuthorizationServer, Issuer, Keys, Policy,
        authorization_server::Dependencies,
        client::{
            ClientDirectory, ClientId, ClientRegistration, TokenEndpointAuthMethod,
            directory::StoredClients,
            document::{ClientDocument, SecretRecord},
            registration::RegistrationDefaults,
            secret::SecretVerifier,
        },
        dpop::DpopPolicy,
        freshness::Freshness,
        replay::{Replay, ReplayGuard},
        replica::Replica,
        signing::SigningPool,
        store::{
            Change, ChangeFeed, Changes, ClientQuery, ClientRecord, ClientStore, KeyRecord, KeyStore,
            KeyWrite, NewRevocation, ReplayKey, ReplayStore, Revocation, RevocationStore, Revoked, SecretUse,
            Sequence, State, StoreError, Stores,
        },
    },
    random::SystemRandom,
    readiness::Readiness,
    rest,
    secret::Secret,
    serve::{self, Limits, Shutdown},
    telemetry::{Metrics, Telemetry},
};
use tokio::{net::TcpListener, runtime::Handle, task::JoinHandle};

use super::{
    patience::PATIENCE,
    server::{ISSUER, NOW},
};

/// How the store behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Up,
    /// Reads work, writes do not.
    ReadOnly,
    Down,
    /// It accepts what it is asked, and never answers.
    Frozen,
}

/// A store in memory.
#[derive(Debug, Default)]
pub struct FakeStore(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    mode: Mode,
    changes: Vec<Change>,
    clients: HashMap<String, ClientRecord>,
    revocations: Vec<Revocation>,
    replays: HashMap<ReplayKey, Timestamp>,
}

impl FakeStore {
    pub fn set(&self, mode: Mode) {
        self.0.lock().unwrap().mode = mode;
    }

    /// How many revocations it keeps.
    pub fn revocations(&self) -> usize {
        self.0.lock().unwrap().revocations.len()
    }

    /// Registers a client, or replaces it; each secret with its identifier.
    pub fn register(&self, client_id: &str, enabled: bool, secrets: &[(&str, SecretRecord)]) {
        let registration = ClientRegistration {
            client_id: client_id.to_owned(),
            introspect: (client_id == "resource-server").then(|| "any".to_owned()),
            ..Default::default()
        };
        self.put(registration, enabled, secrets.iter().map(|(_, record)| record.clone()).collect());
    }

    /// The same for a client with these members.
    pub fn put(&self, registration: ClientRegistration, enabled: bool, secrets: Vec<SecretRecord>) {
        let client_id = registration.client_id.clone();
        let document = ClientDocument { registration, secrets, registration_access_token_hash: None };
        let at = Timestamp::from_seconds(NOW);
        let id = ClientId::parse(&client_id).unwrap();
        let record = ClientRecord {
            client_id: id.clone(),
            enabled,
            document: document.to_json().unwrap(),
            revision: 1,
            created_at: at,
            updated_at: at,
        };
        let mut inner = self.0.lock().unwrap();
        inner.clients.insert(client_id, record);
        inner.changes.push(Change::Client(id));
    }

    async fn answer<T>(
        &self,
        writes: bool,
        answer: impl FnOnce(&mut Inner) -> T + Send,
    ) -> Result<T, StoreError> {
        let mode = self.0.lock().unwrap().mode;
        match mode {
            Mode::Frozen => std::future::pending().await,
            Mode::Down => Err(StoreError::Unavailable("down".to_owned())),
            Mode::ReadOnly if writes => Err(StoreError::Unavailable("read-only".to_owned())),
            Mode::Up | Mode::ReadOnly => Ok(answer(&mut self.0.lock().unwrap())),
        }
    }
}

#[async_trait::async_trait]
impl RevocationStore for FakeStore {
    async fn revoke(&self, new: &NewRevocation) -> Result<Revocation, StoreError> {
        self.answer(true, |inner| {
            let kept = inner
                .revocations
                .iter()
                .find(|kept| kept.revoked == new.revoked && kept.expires_at >= new.expires_at);
            if let Some(kept) = kept {
                return kept.clone();
            }
            let NewRevocation { revoked, revoked_at, expires_at } = new.clone();
            let sequence = inner.changes.len() as Sequence + 1;
            let revocation = Revocation { sequence, revoked, revoked_at, expires_at };
            inner.changes.push(Change::Revocation(revocation.clone()));
            inner.revocations.push(revocation.clone());
            revocation
        })
        .await
    }

    async fn client_refused_until(&self, client_id: &ClientId) -> Result<Option<Timestamp>, StoreError> {
        self.answer(false, |inner| {
            inner.revocations.iter().rev().find_map(|revocation| match &revocation.revoked {
                Revoked::Client { client_id: id, issued_until } if id == client_id => Some(*issued_until),
                _ => None,
            })
        })
        .await
    }

    async fn purge(&self, _: Timestamp) -> Result<u64, StoreError> {
        self.answer(true, |_| 0).await
    }
}

#[async_trait::async_trait]
impl ReplayStore for FakeStore {
    async fn claim(&self, key: &ReplayKey, expires_at: Timestamp, _: Timestamp) -> Result<bool, StoreError> {
        self.answer(true, |inner| inner.replays.insert(*key, expires_at).is_none()).await
    }

    async fn purge_replays(&self, _: Timestamp) -> Result<u64, StoreError> {
        self.answer(true, |_| 0).await
    }
}

#[async_trait::async_trait]
impl ChangeFeed for FakeStore {
    async fn state(&self, _: Timestamp) -> Result<State, StoreError> {
        self.answer(false, |inner| State {
            incarnation: "one".to_owned(),
            sequence: inner.changes.len() as Sequence,
            keys: Vec::new(),
            revocations: inner.revocations.clone(),
        })
        .await
    }

    async fn changes(&self, _: &str, after: Sequence) -> Result<Changes, StoreError> {
        self.answer(false, |inner| {
            let changes: Vec<_> =
                (1..).zip(inner.changes.iter().cloned()).filter(|(sequence, _)| *sequence > after).collect();
            Changes::After { changes, sequence: inner.changes.len() as Sequence }
        })
        .await
    }

    async fn hint(&self) {
        std::future::pending::<()>().await;
    }
}

#[async_trait::async_trait]
impl ClientStore for FakeStore {
    async fn get(&self, client_id: &ClientId) -> Result<Option<ClientRecord>, StoreError> {
        self.answer(false, |inner| inner.clients.get(client_id.as_str()).cloned()).await
    }

    async fn list(&self, _: &ClientQuery) -> Result<Vec<ClientRecord>, StoreError> {
        Err(StoreError::NotFound)
    }

    async fn create(&self, _: &ClientRecord, _: Option<&str>) -> Result<Sequence, StoreError> {
        Err(StoreError::Conflict)
    }

    async fn created_by(&self, _: &str) -> Result<Option<ClientId>, StoreError> {
        Err(StoreError::NotFound)
    }

    async fn update(&self, _: &ClientRecord) -> Result<Sequence, StoreError> {
        Err(StoreError::Conflict)
    }

    async fn delete(&self, _: &ClientId, _: Option<u64>) -> Result<Sequence, StoreError> {
        Err(StoreError::NotFound)
    }

    async fn record_uses(&self, _: &[SecretUse]) -> Result<(), StoreError> {
        self.answer(true, |_| ()).await
    }

    async fn uses(&self, _: &ClientId) -> Result<Vec<SecretUse>, StoreError> {
        Err(StoreError::NotFound)
    }
}

#[async_trait::async_trait]
impl KeyStore for FakeStore {
    async fn list(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.answer(false, |_| Vec::new()).await
    }

    async fn write(&self, _: &[KeyWrite], _: &[NewRevocation]) -> Result<Sequence, StoreError> {
        Err(StoreError::Conflict)
    }

    async fn sealed_value(&self, _: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Err(StoreError::NotFound)
    }

    async fn keep_sealed_value(&self, _: &str, _: &[u8]) -> Result<Vec<u8>, StoreError> {
        Err(StoreError::Conflict)
    }

    async fn sealed_values(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        Err(StoreError::NotFound)
    }

    async fn reseal(&self, _: &[(String, Vec<u8>)], _: &[(String, Vec<u8>)]) -> Result<Sequence, StoreError> {
        Err(StoreError::Conflict)
    }
}

/// What replicas share: the store, the signing key, the key of secret hashes. Their clients are those of the store.
pub struct Cluster {
    pub store: Arc<FakeStore>,
    keys: Arc<Keys>,
    /// The setting of its replicas.
    pub replay: Replay,
}

impl Cluster {
    /// A store with the clients `a`, `b` and `resource-server`.
    pub fn new() -> Self {
        let key = SigningKey::generate(SigningAlgorithm::ES256).unwrap();
        let keys = Arc::new(Keys::fixed(vec![key]).unwrap());
        let cluster = Self { store: Arc::default(), keys, replay: Replay::Strict };
        for client_id in ["a", "b", "resource-server"] {
            cluster.store.register(client_id, true, &[("1", Self::secret(client_id, 1))]);
        }
        cluster
    }

    /// The secret of a client with this number.
    pub fn secret_text(client_id: &str, number: u32) -> String {
        format!("mint_{:_<43.43}", format!("{client_id}-{number}"))
    }

    /// Its record.
    pub fn secret(client_id: &str, number: u32) -> SecretRecord {
        let secret = Secret::new(Self::secret_text(client_id, number));
        SecretRecord {
            secret_id: number.to_string(),
            hash: Self::verifier().hash(&secret, &SystemRandom).unwrap().to_text(),
            created_at: NOW,
            not_before: None,
            expires_at: None,
        }
    }

    fn verifier() -> SecretVerifier {
        SecretVerifier::with_key(&Secret::new([7; 32]), &SystemRandom, 2).unwrap()
    }

    /// A running replica that has read the store. It follows it when told to.
    pub async fn replica(&self) -> TestReplica {
        let clock = Arc::new(TestClock::at(NOW));
        let freshness = Arc::new(Freshness::never());
        let stored = StoredClients {
            store: Arc::<FakeStore>::clone(&self.store),
            defaults: RegistrationDefaults {
                signing_alg: SigningAlgorithm::ES256,
                lifetime: Duration::from_secs(3600),
                max_lifetime: Duration::from_secs(86400),
            },
            freshness: Arc::clone(&freshness),
            clock: Arc::<TestClock>::clone(&clock),
            capacity: 1000,
            max_staleness: Duration::from_secs(86400),
        };
        let clients = Arc::new(ClientDirectory::with_store(Vec::new(), stored));
        let (revocations, uses) = (Arc::default(), Arc::default());
        let policy = Policy {
            registration: false,
            signing_alg: SigningAlgorithm::ES256,
            dpop: DpopPolicy { max_age: Duration::from_secs(60), nonce_secret: None },
            issuer: Issuer::parse(ISSUER).unwrap(),
            max_lifetime: Duration::from_secs(86400),
            max_revocation_age: Duration::from_secs(30),
            failed_auth_rate: None,
            client_rate: None,
            methods: TokenEndpointAuthMethod::ALL[..4].to_vec(),
            certificates: false,
        };
        let dependencies = Dependencies {
            clock: Arc::<TestClock>::clone(&clock),
            random: Arc::new(SystemRandom),
            clients: Arc::clone(&clients),
            secrets: Arc::new(Self::verifier()),
            keys: Arc::clone(&self.keys),
            revocations: Arc::clone(&revocations),
            freshness: Arc::clone(&freshness),
            revocation_store: Some(Arc::<FakeStore>::clone(&self.store)),
            replays: Arc::new(ReplayGuard::new(Some(Arc::<FakeStore>::clone(&self.store)), self.replay)),
            uses: Arc::clone(&uses),
            published_keys: None,
            trust: Arc::default(),
            federation: None,
            signing_pool: Arc::new(SigningPool::new("signing", 2, PATIENCE)),
        };
        let server = Arc::new(AuthorizationServer::new(policy, dependencies).unwrap());
        let stores = Stores {
            clients: Arc::<FakeStore>::clone(&self.store),
            keys: Arc::<FakeStore>::clone(&self.store),
            revocations: Arc::<FakeStore>::clone(&self.store),
            replays: Arc::<FakeStore>::clone(&self.store),
            changes: Arc::<FakeStore>::clone(&self.store),
        };
        let shared: Arc<dyn Clock> = Arc::<TestClock>::clone(&clock);
        let replica =
            Replica::new(stores, shared, clients, revocations, freshness, uses, Arc::clone(&self.keys));
        replica.load().await.unwrap();

        let settings = rest::Settings { max_body_bytes: 65536, jwks_max_age: Duration::from_secs(300) };
        let rest = rest::routes(&server, &Readiness::default(), &settings).unwrap();
        let settings = grpc::Settings {
            max_message_bytes: 65536,
            reflection: false,
            jwks_max_age: Duration::from_secs(300),
        };
        let (grpc, _health) = grpc::routes(&server, settings).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let telemetry = Telemetry::new(Metrics::new("test", std::time::UNIX_EPOCH));
        let routes = serve::router(rest, grpc);
        let limits = Limits { request: PATIENCE, ..Limits::default() };
        let serving = serve::serve(listener, routes, limits, telemetry, shutdown.clone());
        let task = Handle::current().spawn(serving);
        TestReplica { address, clock, replica, shutdown, task }
    }
}

/// A running replica. It ends when dropped.
pub struct TestReplica {
    pub address: SocketAddr,
    pub clock: Arc<TestClock>,
    pub replica: Replica,
    shutdown: Shutdown,
    task: JoinHandle<usize>,
}

impl TestReplica {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Catches up with a store that answers.
    pub async fn sync(&self) {
        self.replica.sync().await.unwrap();
    }
}

impl Drop for TestReplica {
    fn drop(&mut self) {
        self.shutdown.force();
        self.task.abort();
    }
}
