//! The key sets that are known: each asked for when it is needed, one fetch at a time, and kept.
//!
//! What makes a fetch, and what bounds it:
//! - Nothing is known of the URL, or what is known holds no longer ([`lifetime`]). While the last fetch
//!   failed, the URL is left alone for [`RETRY`]; the last good set serves on, for [`LAST_GOOD`] at most.
//! - A message names a key (`kid`) that the set does not have: the owner may have rotated. Anybody can name keys, so this
//!   makes at most one fetch in [`UNKNOWN_KID`], and known keys do not wait for it (V-34).
//!
//! A fetch goes on when whoever asked has gone away: otherwise callers who hang up could keep a set from ever being known.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quick_cache::{Weighter, sync::Cache};
use tokio::sync::{OwnedMutexGuard, Semaphore};

use super::{
    FetchError, Settings, discovery,
    http::Http,
    lifetime,
    resolver::{Lookup, SystemLookup},
    target::Target,
};
use crate::{
    clock::{Clock, Timestamp},
    jose::JwkSet,
    oauth::{
        client::keys::{KeyError, KeySource},
        federation::IssuerKeySource,
    },
};

/// How often keys that nobody knows make a fetch, at most.
pub const UNKNOWN_KID: Duration = Duration::from_secs(30);

/// For how long a URL is left alone after a failure.
pub const RETRY: Duration = Duration::from_secs(10);

/// For how long the last good set serves while its URL fails.
pub const LAST_GOOD: Duration = Duration::from_secs(24 * 60 * 60);

/// How often the failures of one URL are logged, at most.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// How many fetches go on at a time, over all URLs.
const FETCHES: usize = 64;

/// What is kept, in bytes of memory as [`Weigh`] estimates them: more than ten thousand sets of one key.
const CAPACITY: u64 = 64 << 20;

/// What the cache is laid out for. It sees to it that even the largest sets are small beside a shard.
const CAPACITY_ITEMS: usize = 256;

/// When to come back while too many fetches go on.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// Fetches key sets and keeps them.
pub struct KeyFetcher(Arc<Shared>);

struct Shared {
    settings: Settings,
    clock: Arc<dyn Clock>,
    /// Without TLS nothing can be fetched, which is no reason not to start.
    http: Result<Http, FetchError>,
    known: Cache<Source, Slot, Weigh>,
    turns: Semaphore,
}

/// Where a set is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Source {
    /// At this URL.
    Url(Box<str>),
    /// Where the metadata of this issuer says.
    Issuer(Box<str>),
}

#[derive(Default)]
struct Entry {
    state: Mutex<State>,
    /// Held while a fetch goes on.
    flight: Arc<tokio::sync::Mutex<()>>,
}

/// An entry as the cache has it.
#[derive(Clone)]
struct Slot {
    entry: Arc<Entry>,
    /// The keys it had when it was put there: what the cache counts must not change under its hands.
    keys: u64,
}

/// What is known of a source.
#[derive(Default)]
struct State {
    good: Option<Good>,
    failure: Option<(Timestamp, FetchError)>,
    attempted_at: Option<Timestamp>,
    logged_at: Option<Timestamp>,
}

/// A set that was fetched.
struct Good {
    set: Arc<JwkSet>,
    fetched_at: Timestamp,
    holds_until: Timestamp,
}

/// What to do for a request.
enum Plan {
    Use(Arc<JwkSet>),
    Fetch,
    Fail(FetchError),
}

impl KeyFetcher {
    /// A fetcher that knows nothing yet.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        let lookup: Arc<dyn Lookup> = Arc::new(SystemLookup);
        Self::with_lookup(settings, clock, &lookup)
    }

    /// The same with another way to look names up.
    pub fn with_lookup(settings: Settings, clock: Arc<dyn Clock>, lookup: &Arc<dyn Lookup>) -> Self {
        let http = Http::new(&settings, lookup);
        let known = Cache::with_weighter(CAPACITY_ITEMS, CAPACITY, Weigh);
        Self(Arc::new(Shared { settings, clock, http, known, turns: Semaphore::new(FETCHES) }))
    }

    async fn get(&self, source: Source, kid: Option<&str>) -> Result<Arc<JwkSet>, KeyError> {
        let shared = &self.0;
        let now = shared.clock.now();
        let new = || Ok::<_, std::convert::Infallible>(Slot { entry: Arc::default(), keys: 0 });
        let slot = shared.known.get_or_insert_with(&source, new);
        let Slot { entry, .. } = slot.unwrap_or_else(|never| match never {});
        // The second round is that of a caller who waited for the fetch of another, or for its own. Its instant stays that
        // of its arrival: what was fetched since is as fresh as it asked for.
        for _ in 0..2 {
            match entry.plan(kid, now) {
                Plan::Use(set) => return Ok(set),
                Plan::Fail(error) => return Err(KeyError::Unavailable(error.to_string())),
                Plan::Fetch => {
                    let flight = Arc::clone(&entry.flight).lock_owned().await;
                    if !matches!(entry.plan(kid, now), Plan::Fetch) {
                        continue;
                    }
                    let (shared, entry, source) = (Arc::clone(shared), Arc::clone(&entry), source.clone());
                    let fetch = tokio::spawn(async move { shared.fetch(&source, &entry, flight).await });
                    fetch.await.map_err(|_| KeyError::Unavailable("the fetch was stopped".to_owned()))??;
                }
            }
        }
        match entry.plan(kid, now) {
            Plan::Use(set) => Ok(set),
            Plan::Fail(error) => Err(KeyError::Unavailable(error.to_string())),
            // The clock went far in the meantime; the next request begins anew.
            Plan::Fetch => Err(KeyError::Busy { retry_after: BUSY_RETRY }),
        }
    }
}

impl Shared {
    /// Fetches a set and takes note of the outcome, good or bad.
    async fn fetch(
        &self,
        source: &Source,
        entry: &Arc<Entry>,
        flight: OwnedMutexGuard<()>,
    ) -> Result<(), KeyError> {
        let turn = tokio::time::timeout(self.settings.timeout, self.turns.acquire()).await;
        let Ok(Ok(turn)) = turn else { return Err(KeyError::Busy { retry_after: BUSY_RETRY }) };
        let began = self.clock.now();
        entry.state().attempted_at = Some(began);
        let fetched = self.fetch_set(source).await;
        drop(turn);

        let mut state = entry.state();
        match fetched {
            Ok((set, lifetime)) => {
                state.good =
                    Some(Good { set: Arc::new(set), fetched_at: began, holds_until: began + lifetime });
                (state.failure, state.logged_at) = (None, None);
            }
            Err(error) => {
                if !state.logged_at.is_some_and(|at| is_within(at, LOG_EVERY, began)) {
                    state.logged_at = Some(began);
                    let has_last_good = state.good.is_some();
                    tracing::warn!(%source, %error, has_last_good, "a key set cannot be fetched");
                }
                state.failure = Some((self.clock.now(), error));
            }
        }
        let keys = state.good.as_ref().map_or(0, |good| good.set.len() as u64);
        drop(state);
        self.known.insert(source.clone(), Slot { entry: Arc::clone(entry), keys });
        drop(flight);
        Ok(())
    }

    async fn fetch_set(&self, source: &Source) -> Result<(JwkSet, Duration), FetchError> {
        let http = self.http.as_ref().map_err(Clone::clone)?;
        let discovered;
        let uri = match source {
            Source::Url(uri) => uri,
            Source::Issuer(issuer) => {
                let target = Target::parse(&discovery::metadata_url(issuer), &self.settings)?;
                discovered = discovery::jwks_uri(&http.get(target).await?.body, issuer)?.into();
                &discovered
            }
        };
        let document = http.get(Target::parse(uri, &self.settings)?).await?;
        let set =
            JwkSet::parse_lenient(&document.body).map_err(|error| FetchError::Failed(error.to_string()))?;
        Ok((set, document.lifetime))
    }
}

impl Entry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self, kid: Option<&str>, now: Timestamp) -> Plan {
        let state = self.state();
        let failure = state.failure.as_ref().filter(|(at, _)| is_within(*at, RETRY, now));
        let Some(good) = &state.good else {
            return failure.map_or(Plan::Fetch, |(_, error)| Plan::Fail(error.clone()));
        };
        let set = || Plan::Use(Arc::clone(&good.set));
        if now < good.holds_until && is_within(good.fetched_at, lifetime::LONGEST, now) {
            let is_unknown = kid.is_some_and(|kid| !good.set.has_kid(kid));
            let asked_lately = state.attempted_at.is_some_and(|at| is_within(at, UNKNOWN_KID, now));
            return if is_unknown && !asked_lately { Plan::Fetch } else { set() };
        }
        match failure {
            None => Plan::Fetch,
            Some(_) if is_within(good.fetched_at, LAST_GOOD, now) => set(),
            Some((_, error)) => Plan::Fail(error.clone()),
        }
    }
}

/// Whether two instants are closer than `distance`, whichever is the later one: a clock that was set back must not hold
/// anything up for long.
fn is_within(at: Timestamp, distance: Duration, now: Timestamp) -> bool {
    now.since(at) < distance && at.since(now) < distance
}

/// Estimates what an entry takes: a key, parsed for each of its algorithms, takes about 4 KiB.
#[derive(Clone)]
struct Weigh;

impl Weighter<Source, Slot> for Weigh {
    fn weight(&self, _: &Source, slot: &Slot) -> u64 {
        1024 + slot.keys * 4096
    }
}

#[async_trait::async_trait]
impl KeySource for KeyFetcher {
    async fn keys(&self, uri: &str, kid: Option<&str>) -> Result<Arc<JwkSet>, KeyError> {
        self.get(Source::Url(uri.into()), kid).await
    }
}

#[async_trait::async_trait]
impl IssuerKeySource for KeyFetcher {
    async fn issuer_keys(&self, issuer: &str, kid: Option<&str>) -> Result<Arc<JwkSet>, KeyError> {
        self.get(Source::Issuer(issuer.into()), kid).await
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(uri) => f.write_str(uri),
            Self::Issuer(issuer) => write!(f, "metadata of {issuer}"),
        }
    }
}

impl fmt::Debug for KeyFetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFetcher").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}
