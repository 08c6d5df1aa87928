//! How much may wait: what is worked off in time, at the pace at which jobs are done.

use std::time::Duration;

/// The most jobs that wait whatever the pace, so that they fit into memory.
const CEILING: usize = 10_000;

/// How much one job counts for in the average.
const WEIGHT: f64 = 1.0 / 16.0;

/// How many times as long as the average a job may take.
const OUTLIER: f64 = 4.0;

/// What no job takes less than, in seconds.
const LEAST: f64 = 1e-6;

/// The pace of a pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    threads: usize,
    /// Seconds per job, as a moving average. Before the first job a guess.
    service: f64,
}

impl Pace {
    pub(super) const fn new(threads: usize) -> Self {
        Self { threads, service: 0.001 }
    }

    /// Takes note of how long a job took. One that took [`OUTLIER`] times as long as others do counts for no more than that: the
    /// machine stood still meanwhile, and what waits is not worked off more slowly for it.
    pub(super) fn note(&mut self, took: Duration) {
        let took = took.as_secs_f64().min(self.service.max(LEAST) * OUTLIER);
        self.service += (took - self.service) * WEIGHT;
    }

    /// How many jobs may wait so that all of them begin within `wait`; one per thread in any case.
    pub(super) fn capacity(&self, wait: Duration) -> usize {
        let jobs = wait.as_secs_f64() / self.service.max(LEAST) * threads(self.threads);
        // A float becomes the nearest integer there is.
        (jobs as usize).clamp(self.threads, CEILING.max(self.threads))
    }

    /// How long `jobs` take.
    pub(super) fn time_for(&self, jobs: usize) -> Duration {
        let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
        Duration::try_from_secs_f64(self.service / threads(self.threads))
            .unwrap_or_default()
            .saturating_mul(jobs)
    }
}

fn threads(threads: usize) -> f64 {
    f64::from(u32::try_from(threads).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    // F-19
    #[test]
    fn what_may_wait_follows_what_jobs_take() {
        let mut pace = Pace::new(2);
        let mut at = |took: Duration| {
            for _ in 0..200 {
                pace.note(took);
            }
            (pace.capacity(50 * MS), pace.time_for(10))
        };
        let (slow, time) = at(5 * MS);
        assert_eq!(slow, 20);
        assert!((time.as_secs_f64() - 0.025).abs() < 1e-4, "{time:?}");
        assert!((199..=200).contains(&at(MS / 2).0));
        // Whatever is slower than the wait still finds a thread that is free.
        assert_eq!(at(80 * MS).0, 2);
        assert_eq!(at(Duration::ZERO).0, CEILING);
        assert_eq!(at(5 * MS).0, 20);
    }

    // F-16: hosts let their guests stand still for longer than a hundred jobs take.
    #[test]
    fn one_job_that_took_long_says_little() {
        let mut pace = Pace::new(1);
        (0..200).for_each(|_| pace.note(MS / 2));
        pace.note(110 * MS);
        assert!((80..=90).contains(&pace.capacity(50 * MS)), "{pace:?}");
    }
}
