//! How long jobs have waited for a thread: a histogram, since the mean says nothing of those who waited longest.

use std::time::Duration;

/// The most that is counted in each bucket but the last, in seconds. What waits longer than the longest wait is refused, which is a
/// tenth of a second unless somebody sets it.
const BOUNDS: [f64; 9] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25];

/// How long the jobs waited that were begun.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Waits {
    /// In seconds, all together.
    pub sum_seconds: f64,
    counts: [u64; BOUNDS.len() + 1],
}

impl Waits {
    pub(super) fn note(&mut self, waited: Duration) {
        let seconds = waited.as_secs_f64();
        self.sum_seconds += seconds;
        self.counts[BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
    }

    /// The most that a job of each bucket waited, in seconds, and how many there are that waited longer than those of the bucket
    /// before. Of the last it is infinite.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        BOUNDS.into_iter().chain([f64::INFINITY]).zip(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_in_the_first_bucket_that_holds_it() {
        let mut waits = Waits::default();
        for micros in [0, 500, 501, 100_000, 250_001, 9_000_000] {
            waits.note(Duration::from_micros(micros));
        }
        assert!((waits.sum_seconds - 9.351_002).abs() < 1e-9, "{waits:?}");
        let filled: Vec<(f64, u64)> = waits.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.0005, 2), (0.001, 1), (0.1, 1), (f64::INFINITY, 2)]);
    }
}
