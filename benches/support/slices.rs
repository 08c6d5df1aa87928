//! Latencies by slices of time.
//!
//! A virtual machine now and then stands still for tens of milliseconds. If that is more than a hundredth of a run, the p99 of the
//! run says how long, and nothing about the server. The p99 of a slice suffers only where a pause falls into it, and the median of
//! the slices not at all as long as most have none.
//!
//! What that hides: anything, of whoever's making, that strikes less than half of the slices, such as a server's own work once a
//! second. So it is told together with the p99 of the whole run and the share of the slices that were worse than the goal, and
//! [`machine`](super::machine) says what the machine alone makes of the three.

use std::time::Duration;

/// About as long is a slice: 200 requests at 800 per second, of which the p99 is the second or third worst.
pub const SLICE: Duration = Duration::from_millis(250);

/// The p99 of each slice in milliseconds, where anything was due in it.
#[derive(Clone, Debug)]
pub struct Slices(Vec<Option<f64>>);

impl Slices {
    /// Cuts a run of this duration: when in it something was due, and how long that took.
    pub fn cut(duration: Duration, latencies: impl IntoIterator<Item = (Duration, Duration)>) -> Self {
        let count = duration.div_duration_f64(SLICE).round().max(1.0);
        let mut slices = vec![Vec::new(); count as usize];
        for (due, latency) in latencies {
            let number = due.div_duration_f64(duration) * count;
            if let Some(slice) = slices.get_mut(number as usize) {
                slice.push(latency.as_secs_f64() * 1000.0);
            }
        }
        Self(slices.iter_mut().map(|slice| quantile(slice, 0.99)).collect())
    }

    /// When the first slice begins whose p99 is at most so many milliseconds.
    pub fn first_within(&self, limit: f64) -> Option<Duration> {
        let first = self.0.iter().position(|p99| p99.is_some_and(|p99| p99 <= limit))?;
        Some(SLICE * u32::try_from(first).ok()?)
    }

    /// The p99 of the slice in the middle, in milliseconds.
    pub fn median(&self) -> f64 {
        let mut all: Vec<_> = self.0.iter().copied().flatten().collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Per cent of the slices whose p99 is more than so many milliseconds.
    pub fn above(&self, limit: f64) -> f64 {
        let all = self.0.iter().flatten();
        all.clone().filter(|p99| **p99 > limit).count() as f64 / all.count() as f64 * 100.0
    }
}

/// What this share of the values does not exceed; nothing of nothing.
pub fn quantile(values: &mut [f64], quantile: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * quantile).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied()
}
