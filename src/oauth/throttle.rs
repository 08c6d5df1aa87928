//! Failed attempts are limited (RFC 6749 §10.10; CHK-28, V-26).
//!
//! A failure counts against the pair of client and source address: guessing is stopped, and somebody who guesses from
//! one address cannot lock the client out for another. A second, wider budget counts the failures of a source whatever
//! client they named; when it is spent, that source gets no more Argon2id, but whoever needs none is served. An attempt is
//! charged before it is made and refunded when it succeeds.
//!
//! A third budget is for the store, which every made-up identifier costs a read: it counts what failed at a source whatever
//! form the secret had, and when it is spent the store is read no more for that source. Clients in memory are served.

use std::{
    hash::Hash,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quick_cache::sync::Cache;

use super::client::ClientId;
use crate::clock::Timestamp;

/// How many pairs and how many sources are kept in mind. Older ones that do not come back are forgotten first.
const REMEMBERED: usize = 64 * 1024;

/// How many times the budget of a pair a whole source has.
const SOURCE_FACTOR: u32 = 8;

/// How many times it has in reads of the store, which cost far less than Argon2id.
const LOOKUP_FACTOR: u32 = 32;

/// At most `count` failures in `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Failures; at least 1.
    pub count: u32,
    /// The period they are counted in.
    pub period: Duration,
}

/// Counts failures.
#[derive(Debug)]
pub struct FailureThrottle {
    pairs: Buckets<(IpAddr, ClientId)>,
    sources: Buckets<IpAddr>,
    lookups: Buckets<IpAddr>,
}

impl FailureThrottle {
    /// A throttle for this rate per client and source.
    pub fn new(rate: Rate) -> Self {
        let wider = |factor| Rate { count: rate.count.saturating_mul(factor), ..rate };
        Self {
            pairs: Buckets::new(rate),
            sources: Buckets::new(wider(SOURCE_FACTOR)),
            lookups: Buckets::new(wider(LOOKUP_FACTOR)),
        }
    }

    /// How long this client must wait at this source; `None` when it need not.
    pub fn blocked(&self, source: IpAddr, client_id: &ClientId, now: Timestamp) -> Option<Duration> {
        self.pairs.blocked(&(source, client_id.clone()), now)
    }

    /// Charges one attempt before it is made, so that neither a burst nor a caller who hangs up escapes the count. The pair
    /// pays whether or not its source may go on.
    ///
    /// # Errors
    /// How long to wait, when the pair's or the source's budget is spent.
    pub fn charge(&self, source: IpAddr, client_id: &ClientId, now: Timestamp) -> Result<(), Duration> {
        self.pairs.charge(&(source, client_id.clone()), now)?;
        self.sources.charge(&source, now)
    }

    /// Takes back the charge of an attempt that succeeded.
    pub fn refund(&self, source: IpAddr, client_id: &ClientId) {
        self.pairs.refund(&(source, client_id.clone()));
        self.sources.refund(&source);
    }
}

/// One attempt at a source, which failed unless it is forgiven: a caller who hangs up has failed.
///
/// Known clients and unknown ones pay alike, and what a source may still do is decided before either is looked up: the
/// budget tells nobody which identifiers exist (V-22).
#[derive(Debug)]
pub struct Attempt<'a> {
    throttle: Option<&'a FailureThrottle>,
    source: IpAddr,
    now: Timestamp,
    /// How long the store will not be read for this source; `None` when it will.
    pub exhausted: Option<Duration>,
}

impl<'a> Attempt<'a> {
    /// Begins an attempt. Without a throttle it counts for nothing.
    pub fn begin(throttle: Option<&'a FailureThrottle>, source: IpAddr, now: Timestamp) -> Self {
        let exhausted = throttle.and_then(|throttle| throttle.lookups.blocked(&source, now));
        Self { throttle, source, now, exhausted }
    }

    /// It succeeded, or it was not the caller's fault that it did not.
    pub fn forgive(mut self) {
        self.throttle = None;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(throttle) = self.throttle {
            // A full bucket stays full.
            let _ = throttle.lookups.charge(&self.source, self.now);
        }
    }
}

/// One leaky bucket per key, kept as the instant at which it will be empty (GCRA), in milliseconds since the epoch.
#[derive(Debug)]
struct Buckets<K> {
    /// What one failure adds.
    step: u64,
    /// What the bucket holds.
    capacity: u64,
    empty_at: Cache<K, Arc<AtomicU64>>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(rate: Rate) -> Self {
        let capacity = u64::try_from(rate.period.as_millis()).unwrap_or(u64::MAX).max(1);
        Self {
            step: (capacity / u64::from(rate.count.max(1))).max(1),
            capacity,
            empty_at: Cache::new(REMEMBERED),
        }
    }

    /// Full when one more failure would not fit.
    fn blocked(&self, key: &K, now: Timestamp) -> Option<Duration> {
        self.excess(self.empty_at.get(key)?.load(Ordering::Relaxed), milliseconds(now))
    }

    /// Adds one failure in one step, or tells how long it will not fit.
    fn charge(&self, key: &K, now: Timestamp) -> Result<(), Duration> {
        let now = milliseconds(now);
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::new(AtomicU64::new(now)));
        let Ok(empty_at) = self.empty_at.get_or_insert_with(key, fresh);
        let added = |at: u64| self.excess(at, now).is_none().then(|| at.max(now) + self.step);
        let charged = empty_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
        charged.map(drop).map_err(|at| self.excess(at, now).unwrap_or_default())
    }

    fn refund(&self, key: &K) {
        if let Some(empty_at) = self.empty_at.get(key) {
            let taken = |at: u64| Some(at.saturating_sub(self.step));
            // The closure never returns None, so neither outcome needs handling.
            let _ = empty_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
        }
    }

    fn excess(&self, empty_at: u64, now: u64) -> Option<Duration> {
        // A clock that was set back must not block anybody for longer than a full bucket takes to empty.
        let level = empty_at.saturating_sub(now).min(self.capacity);
        let excess = (level + self.step).saturating_sub(self.capacity);
        (excess > 0).then(|| Duration::from_millis(excess))
    }
}

fn milliseconds(now: Timestamp) -> u64 {
    u64::try_from(now.since(Timestamp::from_seconds(0)).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const X: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const Y: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn throttle() -> FailureThrottle {
        FailureThrottle::new(Rate { count: 40, period: Duration::from_secs(10) })
    }

    fn id(text: &str) -> ClientId {
        ClientId::parse(text).unwrap()
    }

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_epoch(Duration::from_millis(1_000_000_000 + milliseconds))
    }

    // CHK-28: evenly spread over the ten seconds is the case that suits the guesser best
    #[test]
    fn a_hundred_failures_in_ten_seconds_are_too_many() {
        let throttle = throttle();
        let served = (0..100).filter(|n| {
            let now = at(n * 100);
            throttle.charge(X, &id("a"), now).is_ok()
        });
        let served = served.count();
        assert!((40..100).contains(&served), "{served}");
    }

    // V-26
    #[test]
    fn neither_another_source_nor_another_client_is_blocked() {
        let throttle = throttle();
        for _ in 0..100 {
            let _ = throttle.charge(X, &id("a"), at(0));
        }
        assert!(throttle.blocked(X, &id("a"), at(0)).is_some());
        assert_eq!(throttle.blocked(Y, &id("a"), at(0)), None);
        assert_eq!(throttle.blocked(X, &id("b"), at(0)), None);
    }

    #[test]
    fn many_clients_from_one_source_share_the_wide_budget() {
        let throttle = throttle();
        for n in 0..1000 {
            let _ = throttle.charge(X, &id(&n.to_string()), at(0));
        }
        assert!(throttle.charge(X, &id("fresh"), at(0)).is_err());
        assert!(throttle.charge(Y, &id("fresh"), at(0)).is_ok());
    }

    // V-22, V-26
    #[test]
    fn a_source_whose_attempts_fail_gets_no_more_lookups_and_others_do() {
        let throttle = throttle();
        let attempt = |source| Attempt::begin(Some(&throttle), source, at(0));
        for _ in 0..2000 {
            attempt(Y).forgive();
        }
        let failed = (0..2000).take_while(|_| attempt(X).exhausted.is_none()).count();
        // 32 times 40, and what rounding a step to milliseconds adds.
        assert!((1280..1440).contains(&failed), "{failed}");
        assert!(attempt(X).exhausted.is_some_and(|wait| wait <= Duration::from_secs(10)));
        assert_eq!(attempt(Y).exhausted, None);
        // It is a budget of its own.
        assert_eq!(throttle.charge(X, &id("a"), at(0)), Ok(()));
        assert!(Attempt::begin(None, X, at(0)).exhausted.is_none());
    }

    #[test]
    fn waiting_as_long_as_told_helps_even_if_the_clock_is_set_back() {
        let throttle = throttle();
        for _ in 0..1000 {
            let _ = throttle.charge(X, &id("a"), at(60_000));
        }
        let wait = throttle.blocked(X, &id("a"), at(60_000)).unwrap();
        assert!(wait <= Duration::from_secs(10), "{wait:?}");
        assert_eq!(throttle.blocked(X, &id("a"), at(60_000) + wait), None);
        assert!(throttle.blocked(X, &id("a"), at(0)).unwrap() <= Duration::from_secs(10));
    }
}
