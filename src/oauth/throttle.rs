//! Failed attempts are limited (RFC 6749 §10.10; CHK-28, V-26).
//!
//! A failure counts against the pair of client and source address: guessing is stopped, and somebody who guesses from
//! one address cannot lock the client out for another. A second, wider budget counts the failures of a source whatever
//! client they named; when it is spent, that source gets no more Argon2id, but whoever needs none is served. An attempt is
//! charged before it is made and refunded when it succeeds.
//!
//! A third budget is for the store, which every made-up identifier costs a read: it counts what failed at a source whatever
//! form the secret had, and when it is spent the store is read no more for that source. Clients in memory are served.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use super::client::ClientId;
use crate::{
    clock::Timestamp,
    rate::{Rate, RateLimiter},
};

/// How many times the budget of a pair a whole source has.
const SOURCE_FACTOR: NonZeroU32 = NonZeroU32::new(8).unwrap();

/// How many times it has in reads of the store, which cost far less than Argon2id.
const LOOKUP_FACTOR: NonZeroU32 = NonZeroU32::new(32).unwrap();

/// Counts failures.
#[derive(Debug)]
pub struct FailureThrottle {
    pairs: RateLimiter<(IpAddr, ClientId)>,
    sources: RateLimiter<IpAddr>,
    lookups: RateLimiter<IpAddr>,
}

impl FailureThrottle {
    /// A throttle for this rate per client and source.
    pub fn new(rate: Rate) -> Self {
        Self {
            pairs: RateLimiter::new(rate),
            sources: RateLimiter::new(rate.times(SOURCE_FACTOR)),
            lookups: RateLimiter::new(rate.times(LOOKUP_FACTOR)),
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const X: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const Y: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn throttle() -> FailureThrottle {
        FailureThrottle::new(Rate { count: NonZeroU32::new(40).unwrap(), period: Duration::from_secs(10) })
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
}
