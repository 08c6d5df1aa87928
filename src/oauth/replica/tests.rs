use std::sync::Mutex as StdMutex;

use super::*;
use crate::{
    clock::TestClock,
    oauth::{
        access_token::tests::token,
        client::{
            ClientId,
            directory::StoredClients,
            document::ClientDocument,
            registration::{ClientRegistration, RegistrationDefaults},
        },
        store::{
            ChangeFeed, ClientQuery, ClientRecord, ClientStore, KeyRecord, KeyStore, KeyWrite, NewRevocation,
            ReplayKey, ReplayStore, RevocationStore, Revoked, SecretUse, Sequence,
        },
    },
};

const NOW: u64 = 1_800_000_000;

/// A store in memory that can be made to fail.
#[derive(Debug, Default)]
struct Fake(StdMutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    down: bool,
    keys_down: bool,
    keys_read: usize,
    incarnation: String,
    changes: Vec<(Sequence, Change)>,
    /// Changes up to here are forgotten.
    forgotten: Sequence,
    /// Changes up to here are left out.
    purged: Sequence,
    revocations: Vec<Revocation>,
    clients: std::collections::HashMap<String, ClientRecord>,
    uses: Vec<SecretUse>,
}

impl Fake {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    fn answer<T>(&self, value: impl FnOnce(&mut Inner) -> T) -> Result<T, StoreError> {
        let mut inner = self.inner();
        if inner.down {
            return Err(StoreError::Unavailable("down".to_owned()));
        }
        Ok(value(&mut inner))
    }

    fn change(&self, change: Change) -> Sequence {
        let mut inner = self.inner();
        let sequence = inner.changes.len() as Sequence + 1;
        inner.changes.push((sequence, change));
        sequence
    }

    fn put(&self, client_id: &str, enabled: bool) {
        let registration = ClientRegistration { client_id: client_id.to_owned(), ..Default::default() };
        let client_id = ClientId::parse(client_id).unwrap();
        let at = Timestamp::from_seconds(NOW);
        let record = ClientRecord {
            client_id: client_id.clone(),
            enabled,
            document: ClientDocument { registration, ..Default::default() }.to_json().unwrap(),
            revision: 1,
            created_at: at,
            updated_at: at,
        };
        self.inner().clients.insert(client_id.to_string(), record);
        self.change(Change::Client(client_id));
    }

    fn revoke_token(&self, token_id: &str) {
        let sequence = self.inner().changes.len() as Sequence + 1;
        let revocation = Revocation {
            sequence,
            revoked: Revoked::Token { token_id: token_id.to_owned() },
            revoked_at: Timestamp::from_seconds(NOW),
            expires_at: Timestamp::from_seconds(NOW + 3600),
        };
        self.change(Change::Revocation(revocation.clone()));
        self.inner().revocations.push(revocation);
    }
}

#[async_trait::async_trait]
impl ChangeFeed for Fake {
    async fn state(&self, _: Timestamp) -> Result<State, StoreError> {
        self.answer(|inner| {
            inner.keys_read += 1;
            State {
                incarnation: inner.incarnation.clone(),
                sequence: inner.changes.len() as Sequence,
                keys: Vec::new(),
                revocations: inner.revocations.clone(),
            }
        })
    }

    async fn changes(&self, incarnation: &str, after: Sequence) -> Result<Changes, StoreError> {
        self.answer(|inner| {
            if incarnation != inner.incarnation || after < inner.forgotten {
                return Changes::Gap;
            }
            // Two at a time: there may be more. Those that nobody needs any more are left out.
            let two = inner.changes.iter().filter(|(sequence, _)| *sequence > after).take(2);
            let sequence = two.clone().last().map_or(after, |(sequence, _)| *sequence);
            let purged = inner.purged;
            let changes = two.filter(|(sequence, _)| *sequence > purged).cloned().collect();
            Changes::After { changes, sequence }
        })
    }

    async fn hint(&self) {
        std::future::pending::<()>().await;
    }
}

#[async_trait::async_trait]
impl ClientStore for Fake {
    async fn get(&self, client_id: &ClientId) -> Result<Option<ClientRecord>, StoreError> {
        self.answer(|inner| inner.clients.get(client_id.as_str()).cloned())
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

    async fn record_uses(&self, uses: &[SecretUse]) -> Result<(), StoreError> {
        self.answer(|inner| inner.uses.extend_from_slice(uses))
    }

    async fn uses(&self, _: &ClientId) -> Result<Vec<SecretUse>, StoreError> {
        unreachable!()
    }
}

#[async_trait::async_trait]
impl KeyStore for Fake {
    async fn list(&self) -> Result<Vec<KeyRecord>, StoreError> {
        if self.inner().keys_down {
            return Err(StoreError::Unavailable("down".to_owned()));
        }
        self.answer(|inner| {
            inner.keys_read += 1;
            Vec::new()
        })
    }

    async fn write(&self, _: &[KeyWrite], _: &[NewRevocation]) -> Result<Sequence, StoreError> {
        unreachable!()
    }

    async fn sealed_value(&self, _: &str) -> Result<Option<Vec<u8>>, StoreError> {
        unreachable!()
    }

    async fn keep_sealed_value(&self, _: &str, _: &[u8]) -> Result<Vec<u8>, StoreError> {
        unreachable!()
    }

    async fn sealed_values(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        unreachable!()
    }

    async fn reseal(&self, _: &[(String, Vec<u8>)], _: &[(String, Vec<u8>)]) -> Result<Sequence, StoreError> {
        unreachable!()
    }
}

#[async_trait::async_trait]
impl RevocationStore for Fake {
    async fn revoke(&self, _: &NewRevocation) -> Result<Revocation, StoreError> {
        unreachable!()
    }

    async fn client_refused_until(&self, _: &ClientId) -> Result<Option<Timestamp>, StoreError> {
        unreachable!()
    }

    async fn purge(&self, _: Timestamp) -> Result<u64, StoreError> {
        unreachable!()
    }
}

#[async_trait::async_trait]
impl ReplayStore for Fake {
    async fn claim(&self, _: &ReplayKey, _: Timestamp, _: Timestamp) -> Result<bool, StoreError> {
        unreachable!()
    }

    async fn purge_replays(&self, _: Timestamp) -> Result<u64, StoreError> {
        unreachable!()
    }
}

struct World {
    store: Arc<Fake>,
    clock: Arc<TestClock>,
    replica: Replica,
}

fn world() -> World {
    let store = Arc::new(Fake::default());
    store.inner().incarnation = "one".to_owned();
    let clock = Arc::new(TestClock::at(NOW));
    let freshness = Arc::new(Freshness::never());
    let stored = StoredClients {
        store: Arc::<Fake>::clone(&store),
        defaults: RegistrationDefaults {
            signing_alg: crate::jose::SigningAlgorithm::RS256,
            lifetime: Duration::from_secs(3600),
            max_lifetime: Duration::from_secs(86400),
        },
        freshness: Arc::clone(&freshness),
        clock: Arc::<TestClock>::clone(&clock),
        capacity: 100,
        max_staleness: Duration::from_secs(86400),
    };
    let stores = Stores {
        clients: Arc::<Fake>::clone(&store),
        keys: Arc::<Fake>::clone(&store),
        revocations: Arc::<Fake>::clone(&store),
        replays: Arc::<Fake>::clone(&store),
        changes: Arc::<Fake>::clone(&store),
    };
    let replica = Replica::new(
        stores,
        Arc::<TestClock>::clone(&clock),
        Arc::new(ClientDirectory::with_store(Vec::new(), stored)),
        Arc::default(),
        freshness,
        Arc::default(),
        Arc::new(Keys::fixed(Vec::new()).unwrap()),
    );
    World { store, clock, replica }
}

impl World {
    async fn is_enabled(&self, client_id: &str) -> Option<bool> {
        self.replica.directory.find(client_id).await.unwrap().map(|client| client.enabled)
    }

    fn refuses(&self, token_id: &str) -> bool {
        self.replica.revocations.refuses(&token(token_id, "c", "k", NOW))
    }

    fn age(&self) -> Option<u64> {
        self.replica.freshness.age(self.clock.now()).map(|age| age.as_secs())
    }

    fn keys_read(&self) -> usize {
        self.store.inner().keys_read
    }
}

// V-25, V-29
#[tokio::test]
async fn a_sync_brings_everything_up_to_date() {
    let world = world();
    world.store.put("c", true);
    world.store.revoke_token("before");
    world.replica.sync().await.unwrap();
    assert!(world.refuses("before") && !world.refuses("after"));
    assert_eq!((world.is_enabled("c").await, world.is_enabled("d").await), (Some(true), None));

    world.store.put("c", false);
    world.store.put("d", true);
    world.store.revoke_token("after");
    world.store.change(Change::Keys);
    world.store.change(Change::Keys);
    assert_eq!(world.keys_read(), 1);
    world.clock.advance(Duration::from_secs(7));
    assert_eq!(world.age(), Some(7));
    world.replica.sync().await.unwrap();
    assert!(world.refuses("before") && world.refuses("after"));
    assert_eq!((world.is_enabled("c").await, world.is_enabled("d").await), (Some(false), Some(true)));
    assert!(world.keys_read() > 1);
    assert_eq!(world.age(), Some(0));
    let keys_read = world.keys_read();
    world.replica.sync().await.unwrap();
    assert_eq!(world.keys_read(), keys_read);
}

#[tokio::test]
async fn a_gap_means_to_read_everything_again() {
    let world = world();
    world.store.put("c", true);
    world.replica.load().await.unwrap();
    assert_eq!(world.is_enabled("c").await, Some(true));
    world.store.put("c", false);
    world.store.revoke_token("t");
    world.store.inner().forgotten = 3;
    world.replica.sync().await.unwrap();
    assert_eq!(world.is_enabled("c").await, Some(false));
    assert!(world.refuses("t"));

    // Another database: nothing of the old one counts.
    {
        let mut inner = world.store.inner();
        inner.incarnation = "two".to_owned();
        inner.revocations.clear();
    }
    world.replica.sync().await.unwrap();
    assert!(!world.refuses("t"));
}

#[tokio::test]
async fn changes_that_were_left_out_hide_none_behind_them() {
    let world = world();
    world.replica.load().await.unwrap();
    for token_id in ["1", "2", "3", "4", "5"] {
        world.store.revoke_token(token_id);
    }
    world.store.inner().purged = 4;
    world.replica.sync().await.unwrap();
    assert!(world.refuses("5") && !world.refuses("4"));
}

// F-9: a clock that was ahead made this replica forget; the store has not
#[tokio::test]
async fn a_clock_that_is_set_back_means_to_read_everything_again() {
    let world = world();
    world.store.revoke_token("t");
    world.replica.load().await.unwrap();
    world.clock.advance(Duration::from_secs(400 * 24 * 60 * 60));
    world.replica.sync().await.unwrap();
    world.replica.revocations.replace(&[], Position { incarnation: "one".into(), sequence: u64::MAX });
    assert!(!world.refuses("t"));
    world.clock.set(NOW);
    world.replica.sync().await.unwrap();
    assert!(world.refuses("t"));
}

// V-29, V-70
#[tokio::test]
async fn a_failed_sync_leaves_everything_as_it_was() {
    let world = world();
    world.store.inner().down = true;
    assert!(world.replica.sync().await.is_err());
    assert_eq!(world.age(), None);
    world.store.inner().down = false;
    world.store.put("c", true);
    world.store.revoke_token("t");
    world.replica.sync().await.unwrap();
    assert_eq!(world.is_enabled("c").await, Some(true));

    world.store.inner().down = true;
    world.clock.advance(Duration::from_secs(40));
    assert!(world.replica.sync().await.is_err());
    assert!(world.replica.freshness.is_failing());
    assert_eq!(world.age(), Some(40));
    assert_eq!(world.is_enabled("c").await, Some(true));
    assert!(world.refuses("t"));
}

#[tokio::test]
async fn keys_that_could_not_be_read_are_read_next_time() {
    let world = world();
    world.replica.load().await.unwrap();
    world.store.revoke_token("t");
    world.store.change(Change::Keys);
    world.store.inner().keys_down = true;
    assert!(world.replica.sync().await.is_err());
    assert_eq!(world.keys_read(), 1);
    // The revocation beside it counts all the same.
    assert!(world.refuses("t"));
    world.store.inner().keys_down = false;
    world.replica.sync().await.unwrap();
    assert_eq!(world.keys_read(), 2);
}

#[tokio::test]
async fn a_snapshot_is_as_old_as_it_is() {
    let world = world();
    world.store.revoke_token("t");
    let state = world.store.state(world.clock.now()).await.unwrap();
    let as_of = world.clock.now();
    world.clock.advance(Duration::from_secs(60));
    world.replica.restore(state, as_of).await;
    assert!(world.refuses("t"));
    assert_eq!(world.age(), Some(60));
    assert!(world.replica.freshness.is_failing());
    world.store.revoke_token("u");
    world.replica.sync().await.unwrap();
    assert!(world.refuses("u"));
    assert_eq!(world.age(), Some(0));
}

#[tokio::test]
async fn uses_wait_for_a_store_that_answers() {
    let world = world();
    let client_id = ClientId::parse("c").unwrap();
    world.replica.uses.note(&client_id, "s", world.clock.now());
    world.store.inner().down = true;
    assert!(world.replica.flush_uses().await.is_err());
    world.store.inner().down = false;
    world.replica.flush_uses().await.unwrap();
    world.replica.flush_uses().await.unwrap();
    let used_at = world.clock.now();
    assert_eq!(world.store.inner().uses, [SecretUse { client_id, secret_id: "s".to_owned(), used_at }]);
}
