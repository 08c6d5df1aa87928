//! How old this replica's copy of the store may be: the time since the last sync that succeeded.
//!
//! A copy that is too old must never look fresh. The clock may be set back meanwhile, so every attempt at a sync looks at
//! it, and the instant of the last success moves with it.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    time::Duration,
};

use crate::clock::Timestamp;

/// No sync has succeeded.
const NEVER: i64 = i64::MIN;

/// Clocks are corrected by less than this all the time. More is a clock that was set back, and the age is unknown until
/// the next attempt has taken note of it.
const JITTER_MS: i64 = 1000;

/// When the last sync succeeded.
#[derive(Debug)]
pub struct Freshness {
    /// The copy is the only one there is: nobody else changes the store.
    private: bool,
    /// When the last success began, in milliseconds of the clock as it is set now.
    synced_at: AtomicI64,
    /// The latest look at the clock. Only whoever syncs writes it.
    looked_at: AtomicI64,
    failing: AtomicBool,
}

impl Freshness {
    /// Nothing has been read yet.
    pub const fn never() -> Self {
        Self {
            private: false,
            synced_at: AtomicI64::new(NEVER),
            looked_at: AtomicI64::new(NEVER),
            failing: AtomicBool::new(false),
        }
    }

    /// A store that is private to this process, or none at all: what is in memory is always true.
    pub const fn always() -> Self {
        Self { private: true, ..Self::never() }
    }

    /// The copy shows the store as it was at `at`, or later.
    pub fn succeed(&self, at: Timestamp) {
        self.look(at);
        self.synced_at.store(milliseconds(at), Ordering::Release);
        self.failing.store(false, Ordering::Release);
    }

    /// The store did not answer.
    pub fn fail(&self, now: Timestamp) {
        self.look(now);
        self.failing.store(true, Ordering::Release);
    }

    /// Looks at the clock; call it before each attempt, so that an age is right however long the attempt takes. Two
    /// attempts at once must be kept apart by the caller.
    ///
    /// Says whether the clock was set back since the last look, by more than it is corrected by all the time.
    pub fn look(&self, now: Timestamp) -> bool {
        let now = milliseconds(now);
        let before = self.looked_at.swap(now, Ordering::AcqRel);
        let synced_at = self.synced_at.load(Ordering::Acquire);
        if now < before && synced_at != NEVER {
            // The clock was set back: so is the instant of the last success, and the age is what it was.
            self.synced_at.store(synced_at.saturating_sub(before.saturating_sub(now)), Ordering::Release);
        }
        before != NEVER && before.saturating_sub(now) > JITTER_MS
    }

    /// Whether the last attempt failed: the next one probably fails too, and nobody should wait for it.
    pub fn is_failing(&self) -> bool {
        !self.private && self.failing.load(Ordering::Acquire)
    }

    /// How old the copy is; `None` when that is not known, which is older than any bound.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        if self.private {
            return Some(Duration::ZERO);
        }
        let synced_at = self.synced_at.load(Ordering::Acquire);
        let age = milliseconds(now).saturating_sub(synced_at);
        if synced_at == NEVER || age < -JITTER_MS {
            return None;
        }
        Some(Duration::from_millis(u64::try_from(age).unwrap_or(0)))
    }

    /// Whether the copy is at most so old.
    pub fn is_fresh_for(&self, bound: Duration, now: Timestamp) -> bool {
        self.age(now).is_some_and(|age| age <= bound)
    }
}

fn milliseconds(at: Timestamp) -> i64 {
    i64::try_from(at.since(Timestamp::from_seconds(0)).as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_copy_ages_from_the_last_success() {
        let freshness = Freshness::never();
        assert!(!freshness.is_fresh_for(BOUND, at(0)));
        freshness.succeed(at(1000));
        assert!(freshness.is_fresh_for(BOUND, at(1030)));
        assert!(!freshness.is_fresh_for(BOUND, at(1031)));
        freshness.fail(at(1020));
        assert!(freshness.is_failing());
        assert_eq!(freshness.age(at(1025)), Some(Duration::from_secs(25)));
        freshness.succeed(at(1026));
        assert!(!freshness.is_failing());
        assert_eq!(freshness.age(at(1026)), Some(Duration::ZERO));
    }

    // F-6, F-14: a clock that is set back does not make an old copy fresh
    #[test]
    fn a_clock_that_is_set_back_makes_nothing_fresh() {
        let freshness = Freshness::never();
        freshness.succeed(at(10_000));
        freshness.fail(at(10_031));
        assert!(!freshness.is_fresh_for(BOUND, at(10_031)));
        // An hour back: until somebody has looked at the clock, the age is unknown.
        assert_eq!(freshness.age(at(6431)), None);
        freshness.fail(at(6431));
        assert!(!freshness.is_fresh_for(BOUND, at(6431)));
        assert_eq!(freshness.age(at(6440)), Some(Duration::from_secs(40)));
        freshness.succeed(at(6441));
        assert!(freshness.is_fresh_for(BOUND, at(6450)));
        // Forward again: too old until the next success.
        assert!(!freshness.is_fresh_for(BOUND, at(10_040)));
    }

    #[test]
    fn small_corrections_do_not_matter() {
        let freshness = Freshness::never();
        freshness.succeed(Timestamp::from_epoch(Duration::from_millis(5_500)));
        assert_eq!(freshness.age(at(5)), Some(Duration::ZERO));
    }

    #[test]
    fn a_private_store_never_goes_stale() {
        let freshness = Freshness::always();
        freshness.fail(at(7));
        assert!(!freshness.is_failing());
        assert!(freshness.is_fresh_for(Duration::ZERO, at(u64::MAX)));
    }
}
