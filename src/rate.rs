//! Rates, and what keeps somebody below one (layer 1).

use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quick_cache::sync::Cache;

use crate::clock::Timestamp;

/// How many keys are kept in mind. Older ones that do not come back are forgotten first.
const REMEMBERED: usize = 64 * 1024;

/// At most `count` events in `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many events.
    pub count: NonZeroU32,
    /// In what time.
    pub period: Duration,
}

impl Rate {
    /// The rate that allows `factor` times as many events.
    #[must_use]
    pub const fn times(self, factor: NonZeroU32) -> Self {
        Self { count: self.count.saturating_mul(factor), period: self.period }
    }
}

/// Counts the events of each key: one leaky bucket per key, kept as the instant at which it will be empty (GCRA), in
/// nanoseconds since the epoch. A bucket that was empty takes the whole count at once.
#[derive(Debug)]
pub struct RateLimiter<K> {
    /// What one event adds.
    step: u64,
    /// What a bucket holds.
    capacity: u64,
    empty_at: Cache<K, Arc<AtomicU64>>,
}

impl<K: Hash + Eq + Clone> RateLimiter<K> {
    /// A limiter for this rate per key.
    pub fn new(rate: Rate) -> Self {
        let capacity = nanoseconds(rate.period).max(1);
        Self {
            step: (capacity / u64::from(rate.count.get())).max(1),
            capacity,
            empty_at: Cache::new(REMEMBERED),
        }
    }

    /// How long one more event does not fit; `None` when it does.
    pub fn blocked(&self, key: &K, now: Timestamp) -> Option<Duration> {
        self.excess(self.empty_at.get(key)?.load(Ordering::Relaxed), since_epoch(now))
    }

    /// Counts one event in one step.
    ///
    /// # Errors
    /// How long it does not fit; it is not counted then.
    pub fn charge(&self, key: &K, now: Timestamp) -> Result<(), Duration> {
        let now = since_epoch(now);
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::new(AtomicU64::new(now)));
        let Ok(empty_at) = self.empty_at.get_or_insert_with(key, fresh);
        let added = |at: u64| self.excess(at, now).is_none().then(|| at.max(now).saturating_add(self.step));
        let charged = empty_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
        charged.map(drop).map_err(|at| self.excess(at, now).unwrap_or_default())
    }

    /// Takes back one event.
    pub fn refund(&self, key: &K) {
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
        (excess > 0).then(|| Duration::from_nanos(excess))
    }
}

fn since_epoch(now: Timestamp) -> u64 {
    nanoseconds(now.since(Timestamp::from_seconds(0)))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(count: u32, seconds: u64) -> RateLimiter<u8> {
        let count = NonZeroU32::new(count).unwrap();
        RateLimiter::new(Rate { count, period: Duration::from_secs(seconds) })
    }

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_epoch(Duration::from_millis(1_800_000_000_000 + milliseconds))
    }

    #[test]
    fn the_whole_count_fits_at_once_and_then_one_per_step() {
        for (count, seconds) in [(1, 10), (3, 1), (40, 10), (50_000, 1), (1_000_000, 3600)] {
            let limiter = limiter(count, seconds);
            let taken = (0..count + 10).filter(|_| limiter.charge(&1, at(0)).is_ok()).count();
            assert_eq!(taken, count as usize);
            let wait = limiter.blocked(&1, at(0)).unwrap();
            assert!(wait <= Duration::from_secs(seconds), "{wait:?}");
            assert_eq!(limiter.charge(&1, at(0)), Err(wait));
            assert_eq!(limiter.charge(&1, at(0) + wait), Ok(()));
            assert!(limiter.charge(&1, at(0) + wait).is_err());
            assert_eq!(limiter.charge(&2, at(0)), Ok(()));
        }
    }

    #[test]
    fn a_refund_makes_room_for_one() {
        let limiter = limiter(2, 10);
        limiter.charge(&1, at(0)).unwrap();
        limiter.charge(&1, at(0)).unwrap();
        limiter.refund(&1);
        assert_eq!(limiter.charge(&1, at(0)), Ok(()));
        assert!(limiter.charge(&1, at(0)).is_err());
    }

    #[test]
    fn waiting_as_long_as_told_helps_even_if_the_clock_is_set_back() {
        let limiter = limiter(40, 10);
        for _ in 0..1000 {
            let _ = limiter.charge(&1, at(60_000));
        }
        let wait = limiter.blocked(&1, at(60_000)).unwrap();
        assert!(wait <= Duration::from_secs(10), "{wait:?}");
        assert_eq!(limiter.blocked(&1, at(60_000) + wait), None);
        assert!(limiter.blocked(&1, at(0)).unwrap() <= Duration::from_secs(10));
    }
}
