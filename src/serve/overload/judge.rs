//! Whether tasks are late all the time, or only now and then.

use std::time::Duration;

use tokio::time::Instant;

/// Over how long the least lateness is taken, at least.
const WINDOW: Duration = Duration::from_millis(100);

/// Finds the least lateness of each window.
pub(super) struct Judge {
    target: Duration,
    window: Option<Window>,
}

struct Window {
    began: Instant,
    least: Duration,
    samples: u32,
}

impl Judge {
    pub(super) fn new(target: Duration) -> Self {
        Self { target, window: None }
    }

    /// Takes note of a sample; returns the least one when a window ends with it. One sample that is late is no window: a
    /// process that was stopped for a while has nothing piled up.
    pub(super) fn note(&mut self, lateness: Duration, now: Instant) -> Option<Duration> {
        let window = self.window.get_or_insert(Window { began: now - lateness, least: lateness, samples: 0 });
        window.least = window.least.min(lateness);
        window.samples += 1;
        let is_whole = now - window.began >= WINDOW && (window.samples > 1 || window.least <= self.target);
        is_whole.then_some(window.least).inspect(|_| self.window = None)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::PROBE, *};

    const MS: Duration = Duration::from_millis(1);

    /// What the judge says of samples in milliseconds, each taken 5 ms and its lateness after the one before.
    fn judged(samples: &[u32]) -> Vec<u128> {
        let mut judge = Judge::new(50 * MS);
        let mut now = Instant::now();
        let mut verdicts = Vec::new();
        for &lateness in samples {
            now += PROBE + lateness * MS;
            verdicts.extend(judge.note(lateness * MS, now).map(|least| least.as_millis()));
        }
        verdicts
    }

    // F-16
    #[test]
    fn only_what_is_late_all_the_time_is_a_standing_queue() {
        assert_eq!(judged(&[60, 70, 80, 90]), [60, 80]);
        // One that is in time is enough, however late the others are.
        assert_eq!(judged(&[60, 1, 90, 70, 60]), [1, 60]);
        // A process that was stopped is late once.
        assert_eq!(judged(&[5000]), [0_u128; 0]);
        assert_eq!(judged(&[5000, 1]), [1]);
        assert_eq!(judged(&[1; 40]), [1, 1]);
    }
}
