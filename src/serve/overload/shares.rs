//! Whose requests are refused first: those of who asks most.
//!
//! Askers are counted in slots, by windows. When a part of all requests is to be refused, it is taken from the slots with the most:
//! all are cut down to one level, and who is below it notices nothing (max-min fairness). Askers that happen to share a slot are
//! counted together, for a window: in the next one they meet others.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// More than there will be heavy askers; 16 KiB.
const SLOTS: usize = 4096;

/// All of the requests of a slot; of a level, one request per window.
pub(super) const ALL: u32 = 256;

/// 2^64 by the golden ratio: multiples of it are spread as evenly as can be.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Everybody is below it.
const NO_LEVEL: u32 = u32::MAX;

/// Counts of the present and of the last window, and the level that follows from the last one.
pub(super) struct Shares {
    counts: [Box<[AtomicU32]>; 2],
    /// How many have ended.
    window: AtomicU32,
    /// In 1/[`ALL`] requests per window.
    level: AtomicU32,
}

impl Shares {
    pub(super) fn new() -> Self {
        let counts = || (0..SLOTS).map(|_| AtomicU32::new(0)).collect();
        Self { counts: [counts(), counts()], window: AtomicU32::new(0), level: AtomicU32::new(NO_LEVEL) }
    }

    /// Counts a request of this asker. Returns whether it gets in.
    pub(super) fn take(&self, asker: u64) -> bool {
        let window = self.window.load(Relaxed);
        let own = self.of(window)[slot(asker, window)].fetch_add(1, Relaxed) + 1;
        let level = self.level.load(Relaxed);
        if level == NO_LEVEL {
            return true;
        }
        let last = window.wrapping_sub(1);
        let count = own.max(self.of(last)[slot(asker, last)].load(Relaxed));
        let share = (level / count).clamp(1, ALL);
        // Evenly spread over the requests of an asker, and for each asker in a place of its own (Weyl sequence).
        let place = asker.wrapping_add(GOLDEN.wrapping_mul(u64::from(own)));
        place >> (u64::BITS - ALL.ilog2()) < u64::from(share)
    }

    /// How many have asked since the window began.
    pub(super) fn asked(&self) -> u64 {
        self.of(self.window.load(Relaxed)).iter().map(|count| u64::from(count.load(Relaxed))).sum()
    }

    /// Begins a window in which this part of what came in the last one, of [`ALL`], gets in.
    pub(super) fn begin_window(&self, part: u32) {
        let ended = self.window.load(Relaxed);
        let counts = self.of(ended).iter().map(|count| count.load(Relaxed)).collect();
        let level = if part < ALL { level_for(counts, part) } else { NO_LEVEL };
        let begun = ended.wrapping_add(1);
        self.of(begun).iter().for_each(|count| count.store(0, Relaxed));
        self.window.store(begun, Relaxed);
        self.level.store(level, Relaxed);
    }

    fn of(&self, window: u32) -> &[AtomicU32] {
        &self.counts[(window % 2) as usize]
    }
}

/// Where an asker is counted in a window: multiplication by an odd number takes every hash to another (Fibonacci hashing).
fn slot(asker: u64, window: u32) -> usize {
    let odd = GOLDEN.wrapping_mul(2 * u64::from(window) + 1);
    // The highest bits depend on all of them.
    (asker.wrapping_mul(odd) >> (u64::BITS - SLOTS.ilog2())) as usize
}

/// The level, in 1/[`ALL`], to which the counts must be cut down so that this part of their sum remains.
fn level_for(mut counts: Vec<u32>, part: u32) -> u32 {
    counts.sort_unstable();
    let all: u64 = counts.iter().copied().map(u64::from).sum();
    // In 1/ALL requests.
    let mut left = all * u64::from(part);
    for (at, count) in counts.iter().copied().enumerate() {
        let others = u64::try_from(counts.len() - at).unwrap_or(u64::MAX);
        let level = left / others;
        let own = u64::from(count) * u64::from(ALL);
        if own > level {
            return u32::try_from(level).unwrap_or(NO_LEVEL - 1);
        }
        left -= own;
    }
    NO_LEVEL
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many requests of each asker get in, when they come in turn, more often those who have more.
    fn admitted(shares: &Shares, asked: &[(u64, u32)]) -> Vec<u32> {
        let most = asked.iter().map(|(_, count)| *count).max().unwrap_or(0);
        let mut admitted = vec![0; asked.len()];
        for round in 0..most {
            for (n, (asker, count)) in asked.iter().enumerate() {
                // Spread evenly over the rounds.
                if (round + 1) * count / most > round * count / most {
                    admitted[n] += u32::from(shares.take(asker.wrapping_mul(0x2545_f491_4f6c_dd1d)));
                }
            }
        }
        admitted
    }

    // F-16
    #[test]
    fn a_level_leaves_a_part_of_all() {
        let level = |counts: &[u32], part| level_for(counts.to_vec(), part);
        assert_eq!(level(&[100], ALL / 2), 50 * ALL);
        assert_eq!(level(&[0, 0, 100], ALL / 2), 50 * ALL);
        assert_eq!(level(&[10, 90], ALL / 2), 40 * ALL);
        assert_eq!(level(&[20, 20, 20], ALL / 10), 500);
        assert_eq!(level(&[1; 40], ALL / 4), ALL / 4);
        assert_eq!(level(&[u32::MAX], ALL - 1), NO_LEVEL - 1);
    }

    // F-18, F-24
    #[test]
    fn who_asks_most_is_refused_and_who_asks_little_is_not() {
        let shares = Shares::new();
        let asked = [(1, 5000), (2, 500), (3, 20), (4, 1)];
        assert_eq!(admitted(&shares, &asked), [5000, 500, 20, 1]);
        shares.begin_window(ALL / 4);
        let [noisy, busy, quiet, quietest] = admitted(&shares, &asked)[..] else { unreachable!() };
        assert_eq!((busy, quiet, quietest), (500, 20, 1));
        // 5521 / 4 less those of the others.
        assert!((800..920).contains(&noisy), "{noisy}");
        shares.begin_window(ALL);
        assert_eq!(admitted(&shares, &asked), [5000, 500, 20, 1]);
    }

    // F-16
    #[test]
    fn equals_are_refused_equally() {
        let shares = Shares::new();
        let asked: Vec<(u64, u32)> = (0..50).map(|asker| (asker, 20)).collect();
        admitted(&shares, &asked);
        let mut all = vec![0; asked.len()];
        for _ in 0..20 {
            shares.begin_window(ALL / 2);
            for (all, one) in all.iter_mut().zip(admitted(&shares, &asked)) {
                *all += one;
            }
        }
        assert!(all.iter().all(|admitted| (140..260).contains(admitted)), "{all:?}");
        let sum: u32 = all.iter().sum();
        assert!((9_000..11_000).contains(&sum), "{sum}");
    }

    // A flood that begins need not wait for the end of the window.
    #[test]
    fn who_was_quiet_and_is_not_any_more_is_cut_down_at_once() {
        let shares = Shares::new();
        admitted(&shares, &[(1, 100)]);
        shares.begin_window(ALL / 2);
        let [old, new] = admitted(&shares, &[(1, 100), (2, 1000)])[..] else { unreachable!() };
        assert!((30..70).contains(&old), "{old}");
        assert!((50..400).contains(&new), "{new}");
    }

    #[test]
    fn askers_who_meet_in_a_slot_part_in_the_next_window() {
        let mut pairs = (0..50_000_u64).map(|n| (n << 20, !n << 13));
        let (one, other) = pairs.find(|(one, other)| slot(*one, 1) == slot(*other, 1)).unwrap();
        let meetings = (1..1000).filter(|window| slot(one, *window) == slot(other, *window)).count();
        assert!(meetings < 100, "{meetings}");
    }
}
