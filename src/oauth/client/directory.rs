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
mod tests;
