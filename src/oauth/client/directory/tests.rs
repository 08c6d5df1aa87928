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
