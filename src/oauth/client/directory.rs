//! The clients that are known now: those of the configuration, and those of the store that were asked for lately.
//!
//! Configured clients are replaced as a whole, so a request sees one registration or the other, and they win over the store.
//! Those of the store are read when first asked for and kept until somebody says that they changed, as many as fit. What
//! is in memory is answered without waiting for anything.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use quick_cache::sync::Cache;
use tokio::sync::{Semaphore, watch};

use super::{
    Client, ClientId,
    document::{ClientDocument, InvalidDocument},
    registration::RegistrationDefaults,
};
use crate::{
    clock::Clock,
    oauth::{
        Error,
        freshness::Freshness,
        store::{ClientRecord, ClientStore},
    },
};

/// How long a request waits for the store.
pub const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// How long a read may go on after everybody has stopped waiting: what it finds is there for the next request.
const LONGEST_READ: Duration = Duration::from_secs(5);

/// How many reads the store gets at once.
const READS_AT_ONCE: usize = 32;

/// How many identifiers may be waited for; a flood of unknown ones ends here.
const MAX_READS: usize = 1024;

/// How many identifiers are remembered to be no client's. They have a place of their own: a flood of them pushes out
/// nothing but others.
const UNKNOWN: usize = 4096;

/// How old the copy of the store may be to say that a client does not exist: it may have been created since.
const UNKNOWN_STALENESS: Duration = Duration::from_secs(30);

/// When a caller whose client could not be looked up should come back.
const RETRY: Duration = Duration::from_secs(1);

/// Looks clients up by identifier.
#[derive(Debug, Default)]
pub struct ClientDirectory {
    configured: ArcSwap<HashMap<ClientId, Arc<Client>>>,
    stored: Option<Arc<Stored>>,
}

/// What a directory needs to know the clients of a store.
pub struct StoredClients {
    /// The store.
    pub store: Arc<dyn ClientStore>,
    /// What a registration that leaves members out gets instead.
    pub defaults: RegistrationDefaults,
    /// How old the copy is.
    pub freshness: Arc<Freshness>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How many clients are kept in memory.
    pub capacity: usize,
    /// How old the copy may be to be used.
    pub max_staleness: Duration,
}

/// Why nobody knows whether there is such a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// The store did not answer in time.
    Unavailable,
    /// What the store holds of it cannot be read as a client.
    Unreadable,
}

impl From<LookupError> for Error {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Unavailable => Self::TemporarilyUnavailable { retry_after: RETRY },
            LookupError::Unreadable => {
                Self::ServerError("the stored client cannot be read; see the log, and update it".to_owned())
            }
        }
    }
}

type Found = Result<Option<Arc<Client>>, LookupError>;

impl ClientDirectory {
    /// A directory of these clients alone. Of two with one identifier the later wins; the configuration refuses such a
    /// pair.
    pub fn new(clients: Vec<Client>) -> Self {
        let directory = Self::default();
        directory.replace(clients);
        directory
    }

    /// A directory of these clients and those of a store.
    pub fn with_store(clients: Vec<Client>, stored: StoredClients) -> Self {
        Self { stored: Some(Arc::new(Stored::new(stored))), ..Self::new(clients) }
    }

    /// Replaces all configured clients at once.
    pub fn replace(&self, clients: Vec<Client>) {
        let clients =
            clients.into_iter().map(|client| (client.client_id.clone(), Arc::new(client))).collect();
        self.configured.store(Arc::new(clients));
    }

    /// The client with this identifier.
    ///
    /// # Errors
    /// [`LookupError`], for a client that is neither configured nor in memory.
    pub async fn find(&self, client_id: &str) -> Found {
        if let Some(client) = self.configured.load().get(client_id) {
            return Ok(Some(Arc::clone(client)));
        }
        match &self.stored {
            Some(stored) => stored.find(client_id).await,
            None => Ok(None),
        }
    }

    /// Whether [`ClientDirectory::find`] would ask the store for this client now.
    pub fn needs_store(&self, client_id: &str) -> bool {
        let configured = || self.configured.load().contains_key(client_id);
        self.stored.as_ref().is_some_and(|stored| stored.would_read(client_id)) && !configured()
    }

    /// Begins to look up clients that will be asked for one after another, so that the store is waited for once.
    pub fn expect<'a>(&self, client_ids: impl Iterator<Item = &'a str>) {
        let Some(stored) = &self.stored else { return };
        let configured = self.configured.load();
        for client_id in client_ids.filter(|client_id| !configured.contains_key(*client_id)) {
            if stored.would_read(client_id) {
                let _ = stored.read(client_id);
            }
        }
    }

    /// The configured clients as they are now.
    pub fn configured(&self) -> Arc<HashMap<ClientId, Arc<Client>>> {
        self.configured.load_full()
    }

    /// Forgets what the store says of a client: it changed. A read that goes on meanwhile is not kept. Returns whether the
    /// client was in memory.
    pub fn invalidate(&self, client_id: &str) -> bool {
        let Some(stored) = &self.stored else { return false };
        let mut reads = stored.reads();
        reads.going.remove(client_id);
        stored.unknown.remove(client_id);
        stored.known.remove(client_id).is_some()
    }

    /// Forgets everything that came from the store.
    pub fn clear(&self) {
        if let Some(stored) = &self.stored {
            let mut reads = stored.reads();
            reads.going.clear();
            stored.known.clear();
            stored.unknown.clear();
        }
    }

    /// Takes clients as they were written down earlier, for a start without the store. What cannot be read is left out.
    pub fn warm(&self, records: &[ClientRecord]) {
        let Some(stored) = &self.stored else { return };
        for record in records {
            if let Ok(client) = stored.settings.to_client(record) {
                stored.known.insert(record.client_id.as_str().into(), Arc::new(client));
            }
        }
    }

    /// How many clients of the store are in memory.
    pub fn cached_count(&self) -> usize {
        self.stored.as_ref().map_or(0, |stored| stored.known.len())
    }

    /// The clients of the store that are in memory.
    pub fn cached(&self) -> Vec<Arc<Client>> {
        self.stored
            .as_ref()
            .map(|stored| stored.known.iter().map(|(_, client)| client).collect())
            .unwrap_or_default()
    }
}

/// The clients of a store.
struct Stored {
    settings: StoredClients,
    known: Cache<Box<str>, Arc<Client>>,
    /// No client's, or one that cannot be read.
    unknown: Cache<Box<str>, Result<(), LookupError>>,
    reads: Mutex<Reads>,
    permits: Arc<Semaphore>,
}

/// Reads that go on, one for each identifier.
#[derive(Default)]
struct Reads {
    begun: u64,
    going: HashMap<Box<str>, Read>,
}

#[derive(Clone)]
struct Read {
    number: u64,
    found: watch::Receiver<Option<Found>>,
}

impl Stored {
    fn new(settings: StoredClients) -> Self {
        Self {
            known: Cache::new(settings.capacity),
            unknown: Cache::new(UNKNOWN),
            reads: Mutex::default(),
            permits: Arc::new(Semaphore::new(READS_AT_ONCE)),
            settings,
        }
    }

    async fn find(self: &Arc<Self>, client_id: &str) -> Found {
        if let Some(found) = self.in_memory(client_id) {
            return found;
        }
        if self.settings.freshness.is_failing() {
            return Err(LookupError::Unavailable);
        }
        let mut read = self.read(client_id)?;
        let found = async {
            let found = read.wait_for(Option::is_some).await.ok()?;
            found.clone()
        };
        let found = tokio::time::timeout(LONGEST_WAIT, found).await;
        found.ok().flatten().unwrap_or(Err(LookupError::Unavailable))
    }

    fn would_read(&self, client_id: &str) -> bool {
        self.in_memory(client_id).is_none() && !self.settings.freshness.is_failing()
    }

    /// What is known without the store.
    fn in_memory(&self, client_id: &str) -> Option<Found> {
        let now = self.settings.clock.now();
        let fresh = |bound| self.settings.freshness.is_fresh_for(bound, now);
        if let Some(client) = self.known.get(client_id) {
            return fresh(self.settings.max_staleness).then_some(Ok(Some(client)));
        }
        let unknown = self.unknown.get(client_id)?;
        fresh(UNKNOWN_STALENESS).then_some(unknown.map(|()| None))
    }

    /// Joins the read of this client, or begins one. It goes on when nobody waits any more: a store that is slow for once,
    /// or must be connected to first, gets somewhere.
    fn read(self: &Arc<Self>, client_id: &str) -> Result<watch::Receiver<Option<Found>>, LookupError> {
        // What cannot be an identifier is no client's.
        let Ok(parsed) = ClientId::parse(client_id) else { return Ok(watch::channel(Some(Ok(None))).1) };
        let mut reads = self.reads();
        if let Some(read) = reads.going.get(client_id) {
            return Ok(read.found.clone());
        }
        if reads.going.len() >= MAX_READS {
            return Err(LookupError::Unavailable);
        }
        let (sender, found) = watch::channel(None);
        reads.begun += 1;
        let number = reads.begun;
        reads.going.insert(client_id.into(), Read { number, found: found.clone() });
        drop(reads);

        let going = Going { stored: Arc::clone(self), client_id: parsed, number };
        tokio::spawn(async move {
            let read = tokio::time::timeout(LONGEST_READ, going.ask()).await;
            let found = read.unwrap_or(Err(LookupError::Unavailable));
            going.keep(&found);
            sender.send_replace(Some(found));
        });
        Ok(found)
    }

    // Every change leaves the map whole.
    fn reads(&self) -> MutexGuard<'_, Reads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One read. Whatever becomes of it, it makes room for the next.
struct Going {
    stored: Arc<Stored>,
    client_id: ClientId,
    number: u64,
}

impl Going {
    async fn ask(&self) -> Found {
        let _permit = self.stored.permits.acquire().await.map_err(|_| LookupError::Unavailable)?;
        let record = self.stored.settings.store.get(&self.client_id).await.map_err(|error| {
            tracing::debug!(client_id = %self.client_id, %error, "a client could not be looked up");
            LookupError::Unavailable
        })?;
        let client = record.map(|record| self.stored.settings.to_client(&record)).transpose();
        client.map(|client| client.map(Arc::new)).map_err(|error| {
            tracing::error!(client_id = %self.client_id, %error, "the stored client cannot be read; update it");
            LookupError::Unreadable
        })
    }

    /// Keeps what was found, unless the client changed since the read began.
    fn keep(&self, found: &Found) {
        let reads = self.stored.reads();
        if !self.is_current(&reads) {
            return;
        }
        let key: Box<str> = self.client_id.as_str().into();
        match found {
            Ok(Some(client)) => {
                self.stored.unknown.remove(&key);
                self.stored.known.insert(key, Arc::clone(client));
            }
            Ok(None) => {
                self.stored.known.remove(&key);
                self.stored.unknown.insert(key, Ok(()));
            }
            Err(LookupError::Unreadable) => {
                self.stored.known.remove(&key);
                self.stored.unknown.insert(key, Err(LookupError::Unreadable));
            }
            Err(LookupError::Unavailable) => {}
        }
    }

    fn is_current(&self, reads: &Reads) -> bool {
        reads.going.get(self.client_id.as_str()).is_some_and(|read| read.number == self.number)
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let mut reads = self.stored.reads();
        if self.is_current(&reads) {
            reads.going.remove(self.client_id.as_str());
        }
    }
}

impl StoredClients {
    fn to_client(&self, record: &ClientRecord) -> Result<Client, InvalidDocument> {
        let mut client = ClientDocument::from_json(&record.document)?.to_client(&self.defaults)?;
        if client.client_id != record.client_id {
            return Err(InvalidDocument::Json("it names another client".to_owned()));
        }
        client.enabled &= record.enabled;
        Ok(client)
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex as StdMutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    };

    use tokio::sync::Notify;

    use super::*;
    use crate::{
        clock::{TestClock, Timestamp},
        jose::SigningAlgorithm,
        oauth::{
            client::registration::ClientRegistration,
            store::{ClientQuery, SecretUse, Sequence, StoreError},
        },
    };

    const NOW: u64 = 1_800_000_000;

    /// Counts reads, and can be made to fail, to hang and to wait.
    #[derive(Debug, Default)]
    struct Fake {
        records: StdMutex<HashMap<String, ClientRecord>>,
        reads: AtomicUsize,
        down: AtomicBool,
        frozen: AtomicBool,
        /// Set: a read that has seen the record waits for this before it returns.
        held: AtomicBool,
        seen: Notify,
        go_on: Notify,
    }

    impl Fake {
        fn put(&self, client_id: &str, enabled: bool) {
            let registration = ClientRegistration { client_id: client_id.to_owned(), ..Default::default() };
            let document = ClientDocument { registration, ..Default::default() }.to_json().unwrap();
            self.put_document(client_id, enabled, document);
        }

        fn put_document(&self, client_id: &str, enabled: bool, document: String) {
            let at = Timestamp::from_seconds(NOW);
            let record = ClientRecord {
                client_id: ClientId::parse(client_id).unwrap(),
                enabled,
                document,
                revision: 1,
                created_at: at,
                updated_at: at,
            };
            self.records.lock().unwrap().insert(client_id.to_owned(), record);
        }

        fn reads(&self) -> usize {
            self.reads.load(Ordering::SeqCst)
        }
    }

    #[async_trait::async_trait]
    impl ClientStore for Fake {
        async fn get(&self, client_id: &ClientId) -> Result<Option<ClientRecord>, StoreError> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            if self.down.load(Ordering::SeqCst) {
                return Err(StoreError::Unavailable("down".to_owned()));
            }
            if self.frozen.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            let record = self.records.lock().unwrap().get(client_id.as_str()).cloned();
            if self.held.load(Ordering::SeqCst) {
                self.seen.notify_one();
                self.go_on.notified().await;
            }
            tokio::task::yield_now().await;
            Ok(record)
        }

        async fn list(&self, _: &ClientQuery) -> Result<Vec<ClientRecord>, StoreError> {
            unreachable!()
        }

        async fn create(&self, _: &ClientRecord, _: Option<&str>) -> Result<Sequence, StoreError> {
            unreachable!()
        }

        async fn created_by(&self, _: &str) -> Result<Option<ClientId>, StoreError> {
            unreachable!()
        }

        async fn update(&self, _: &ClientRecord) -> Result<Sequence, StoreError> {
            unreachable!()
        }

        async fn delete(&self, _: &ClientId, _: Option<u64>) -> Result<Sequence, StoreError> {
            unreachable!()
        }

        async fn record_uses(&self, _: &[SecretUse]) -> Result<(), StoreError> {
            unreachable!()
        }

        async fn uses(&self, _: &ClientId) -> Result<Vec<SecretUse>, StoreError> {
            unreachable!()
        }
    }

    struct World {
        store: Arc<Fake>,
        freshness: Arc<Freshness>,
        clock: Arc<TestClock>,
        directory: Arc<ClientDirectory>,
    }

    fn defaults() -> RegistrationDefaults {
        RegistrationDefaults {
            signing_alg: SigningAlgorithm::RS256,
            lifetime: Duration::from_secs(3600),
            max_lifetime: Duration::from_secs(86400),
        }
    }

    fn configured(client_id: &str) -> Client {
        let registration = ClientRegistration { client_id: client_id.to_owned(), ..Default::default() };
        registration.check_with_secrets(&defaults(), Vec::new()).unwrap()
    }

    fn world(capacity: usize) -> World {
        let (store, clock) = (Arc::new(Fake::default()), Arc::new(TestClock::at(NOW)));
        let freshness = Arc::new(Freshness::never());
        freshness.succeed(clock.now());
        let stored = StoredClients {
            store: Arc::<Fake>::clone(&store),
            defaults: defaults(),
            freshness: Arc::clone(&freshness),
            clock: Arc::<TestClock>::clone(&clock),
            capacity,
            max_staleness: Duration::from_secs(86400),
        };
        let directory = Arc::new(ClientDirectory::with_store(vec![configured("configured")], stored));
        World { store, freshness, clock, directory }
    }

    impl World {
        /// Whether a client was found, and is enabled.
        async fn find(&self, client_id: &str) -> Result<Option<bool>, LookupError> {
            Ok(self.directory.find(client_id).await?.map(|client| client.enabled))
        }
    }

    #[tokio::test]
    async fn a_client_is_read_once() {
        let world = world(100);
        world.store.put("a", true);
        for _ in 0..3 {
            assert_eq!(world.find("a").await, Ok(Some(true)));
            assert_eq!(world.find("nobody").await, Ok(None));
            assert_eq!(world.find("configured").await, Ok(Some(true)));
            assert_eq!(world.find("\u{e9}").await, Ok(None));
        }
        assert_eq!(world.store.reads(), 2);
    }

    #[tokio::test]
    async fn without_a_store_only_the_configuration_counts() {
        let directory = ClientDirectory::new(vec![configured("c")]);
        assert!(directory.find("c").await.unwrap().is_some());
        assert!(directory.find("d").await.unwrap().is_none());
        directory.expect(["c", "d"].into_iter());
        directory.invalidate("c");
        directory.clear();
        assert!(directory.find("c").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_configured_client_wins() {
        let world = world(100);
        world.store.put("configured", false);
        assert_eq!(world.find("configured").await, Ok(Some(true)));
        assert_eq!(world.store.reads(), 0);
    }

    #[tokio::test]
    async fn all_who_ask_at_once_share_one_read() {
        let world = world(100);
        world.store.put("a", true);
        let asking: Vec<_> = (0..50)
            .map(|_| {
                let directory = Arc::clone(&world.directory);
                tokio::spawn(async move { directory.find("a").await })
            })
            .collect();
        for asking in asking {
            assert!(asking.await.unwrap().unwrap().is_some());
        }
        assert_eq!(world.store.reads(), 1);
    }

    // V-25
    #[tokio::test]
    async fn a_change_is_seen_at_the_next_request() {
        let world = world(100);
        world.store.put("a", true);
        assert_eq!(world.find("a").await, Ok(Some(true)));
        assert_eq!(world.find("b").await, Ok(None));
        world.store.put("a", false);
        world.store.put("b", true);
        world.directory.invalidate("a");
        world.directory.invalidate("b");
        assert_eq!(world.find("a").await, Ok(Some(false)));
        assert_eq!(world.find("b").await, Ok(Some(true)));
        world.store.put("a", true);
        world.directory.clear();
        assert_eq!(world.find("a").await, Ok(Some(true)));
    }

    // V-25: the read saw the old record, the change came while it was on its way
    #[tokio::test]
    async fn a_read_that_a_change_overtook_is_not_kept() {
        for clear in [false, true] {
            let world = world(100);
            world.store.put("a", true);
            world.store.held.store(true, Ordering::SeqCst);
            let directory = Arc::clone(&world.directory);
            let before = tokio::spawn(async move { directory.find("a").await });
            world.store.seen.notified().await;

            world.store.put("a", false);
            if clear {
                world.directory.clear();
            } else {
                world.directory.invalidate("a");
            }
            world.store.held.store(false, Ordering::SeqCst);
            // Whoever asks now does not join the old read.
            assert_eq!(world.find("a").await, Ok(Some(false)));
            world.store.go_on.notify_one();
            assert!(before.await.unwrap().unwrap().unwrap().enabled);
            assert_eq!(world.find("a").await, Ok(Some(false)));
            assert_eq!(world.store.reads(), 2);
        }
    }

    // V-70: what is in memory needs no store
    #[tokio::test]
    async fn nobody_waits_for_a_frozen_store_and_hot_clients_stay_served() {
        let world = world(100);
        world.store.put("a", true);
        assert_eq!(world.find("a").await, Ok(Some(true)));
        world.store.frozen.store(true, Ordering::SeqCst);
        let waited = tokio::time::timeout(LONGEST_WAIT * 2, world.find("b"));
        assert_eq!(waited.await, Ok(Err(LookupError::Unavailable)));
        assert_eq!(world.find("a").await, Ok(Some(true)));

        // Once the feed has failed, nobody waits at all.
        world.freshness.fail(world.clock.now());
        let reads = world.store.reads();
        assert_eq!(world.find("c").await, Err(LookupError::Unavailable));
        assert_eq!(world.store.reads(), reads);
        world.clock.advance(Duration::from_secs(86400));
        assert_eq!(world.find("a").await, Ok(Some(true)));
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(world.find("a").await, Err(LookupError::Unavailable));
        assert_eq!(world.find("configured").await, Ok(Some(true)));
    }

    #[tokio::test]
    async fn a_slow_read_is_there_for_the_next_request() {
        let world = world(100);
        world.store.put("a", true);
        world.store.held.store(true, Ordering::SeqCst);
        assert_eq!(world.find("a").await, Err(LookupError::Unavailable));
        world.store.held.store(false, Ordering::SeqCst);
        world.store.go_on.notify_one();
        assert_eq!(world.find("a").await, Ok(Some(true)));
        assert_eq!(world.store.reads(), 1);
    }

    #[tokio::test]
    async fn a_failed_read_is_not_kept() {
        let world = world(100);
        world.store.put("a", true);
        world.store.down.store(true, Ordering::SeqCst);
        assert_eq!(world.find("a").await, Err(LookupError::Unavailable));
        world.store.down.store(false, Ordering::SeqCst);
        assert_eq!(world.find("a").await, Ok(Some(true)));
    }

    #[tokio::test]
    async fn that_nobody_is_known_is_believed_for_a_short_time() {
        let world = world(100);
        assert_eq!(world.find("a").await, Ok(None));
        world.freshness.fail(world.clock.now());
        world.clock.advance(UNKNOWN_STALENESS);
        assert_eq!(world.find("a").await, Ok(None));
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(world.find("a").await, Err(LookupError::Unavailable));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_not_nobody() {
        let world = world(100);
        world.store.put_document("a", true, "{}".to_owned());
        for _ in 0..2 {
            assert_eq!(world.find("a").await, Err(LookupError::Unreadable));
        }
        let other = ClientRegistration { client_id: "other".to_owned(), ..Default::default() };
        let other = ClientDocument { registration: other, ..Default::default() }.to_json().unwrap();
        world.store.put_document("b", true, other);
        assert_eq!(world.find("b").await, Err(LookupError::Unreadable));
        assert_eq!(world.store.reads(), 2);
        assert_eq!(Error::from(LookupError::Unreadable).code(), "server_error");
    }

    #[tokio::test]
    async fn a_flood_of_unknown_identifiers_pushes_out_no_client() {
        let world = world(100);
        for number in 0..50 {
            world.store.put(&format!("hot-{number}"), true);
            world.find(&format!("hot-{number}")).await.unwrap();
        }
        for number in 0..3 * UNKNOWN {
            world.find(&format!("nobody-{number}")).await.unwrap();
        }
        let reads = world.store.reads();
        for number in 0..50 {
            assert_eq!(world.find(&format!("hot-{number}")).await, Ok(Some(true)));
        }
        assert_eq!(world.store.reads(), reads);
        assert!(world.directory.stored.as_ref().unwrap().unknown.len() <= UNKNOWN + 64);
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let world = world(100);
        for number in 0..1000 {
            world.store.put(&format!("client-{number}"), true);
            assert_eq!(world.find(&format!("client-{number}")).await, Ok(Some(true)));
        }
        assert!(world.directory.cached().len() <= 200, "{}", world.directory.cached().len());
    }

    #[tokio::test]
    async fn a_flood_cannot_pile_up_reads() {
        let world = world(100);
        world.store.frozen.store(true, Ordering::SeqCst);
        let names: Vec<String> = (0..2 * MAX_READS).map(|number| format!("nobody-{number}")).collect();
        world.directory.expect(names.iter().map(String::as_str));
        tokio::task::yield_now().await;
        assert_eq!(world.store.reads(), READS_AT_ONCE);
        assert_eq!(world.directory.stored.as_ref().unwrap().reads().going.len(), MAX_READS);
    }
}
