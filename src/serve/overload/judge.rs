//! Whether tasks are late all the time, or only now and then.
//!
//! A probe is set, comes to the end of the queue of tasks when it is due, and runs when all before it have run. How late it is
//! is how long that queue is. While it waits, each request that is looked at shows that time goes by; so a verdict need not wait
//! for the end of a queue of a second.
//!
//! Between two looks at most [`STEP`] counts: a process that stood still for a while is late once and has nothing piled up.

use std::{
    future::poll_fn,
    mem,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// How long a probe sleeps.
const PROBE: Duration = Duration::from_millis(5);

/// Over how long the least lateness is taken.
pub(super) const WINDOW: Duration = Duration::from_millis(100);

/// The most that counts between two looks.
const STEP: Duration = Duration::from_millis(25);

/// No probe is set, or none has run.
const NONE: u64 = u64::MAX;

/// Finds the least lateness of each window. All times are in microseconds.
pub(super) struct Judge {
    begun: Instant,
    /// When somebody looked last, since it has begun.
    looked: AtomicU64,
    /// The time that counts.
    time: AtomicU64,
    /// When the probe is due that sleeps or waits.
    due: AtomicU64,
    /// When the window ends.
    end: AtomicU64,
    /// Of the probes that ran in this window.
    least: AtomicU64,
}

impl Judge {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            begun: now,
            looked: AtomicU64::new(0),
            time: AtomicU64::new(0),
            due: AtomicU64::new(NONE),
            end: AtomicU64::new(micros(WINDOW)),
            least: AtomicU64::new(NONE),
        }
    }

    /// A task runs. Returns the least lateness of a window that ends with this.
    pub(super) fn look(&self, now: Instant) -> Option<Duration> {
        let now = micros(now.saturating_duration_since(self.begun));
        let step = now.saturating_sub(self.looked.fetch_max(now, Relaxed)).min(micros(STEP));
        let time = self.time.fetch_add(step, Relaxed) + step;
        let end = self.end.load(Relaxed);
        // Of those who see the end one finds it.
        if time < end || self.end.compare_exchange(end, time + micros(WINDOW), Relaxed, Relaxed).is_err() {
            return None;
        }
        let least = match self.least.swap(NONE, Relaxed) {
            NONE => time.saturating_sub(self.due.load(Relaxed)),
            least => least,
        };
        Some(Duration::from_micros(least))
    }

    /// The probe has run, if one was set; the next one is set.
    pub(super) fn probed(&self) {
        let time = self.time.load(Relaxed);
        let due = self.due.swap(time + micros(PROBE), Relaxed);
        if due != NONE {
            self.least.fetch_min(time.saturating_sub(due), Relaxed);
        }
    }
}

/// The way of a probe.
pub(super) async fn probe() {
    sleep(PROBE).await;
    stand_in_line().await;
}

/// Goes to the end of the queue of tasks. Whom a timer or `yield_now` wakes runs next, before all that wait (tokio's LIFO slot);
/// who wakes itself does not.
pub(super) async fn stand_in_line() {
    let mut stands = false;
    poll_fn(|cx| {
        if mem::replace(&mut stands, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A judge and the time it is told.
    struct Court {
        judge: Judge,
        now: Instant,
        verdicts: Vec<u128>,
    }

    impl Court {
        fn new() -> Self {
            let now = Instant::now();
            let judge = Judge::new(now);
            judge.probed();
            Self { judge, now, verdicts: Vec::new() }
        }

        /// A request is looked at, this long after what was before.
        fn look(&mut self, after: Duration) {
            self.now += after;
            self.verdicts.extend(self.judge.look(self.now).map(|least| least.as_millis()));
        }

        /// The probe runs, with so many requests before it, a millisecond each.
        fn probe(&mut self, requests: u32) {
            (0..requests).for_each(|_| self.look(MS));
            self.look(Duration::ZERO);
            self.judge.probed();
        }
    }

    // F-16
    #[test]
    fn only_what_is_late_all_the_time_is_a_standing_queue() {
        let mut court = Court::new();
        for requests in [35, 25, 30, 65] {
            court.probe(requests);
        }
        assert_eq!(court.verdicts, [20]);
        // One that is in time is enough, however late the others are.
        let mut court = Court::new();
        for requests in [85, 5, 30] {
            court.probe(requests);
        }
        assert_eq!(court.verdicts, [0]);
    }

    // F-24
    #[test]
    fn a_long_queue_is_seen_before_its_end() {
        let mut court = Court::new();
        (0..320).for_each(|_| court.look(MS));
        assert_eq!(court.verdicts, [95, 195, 295]);
    }

    #[test]
    fn without_probes_nothing_is_late() {
        let mut court = Court { judge: Judge::new(Instant::now()), ..Court::new() };
        (0..210).for_each(|_| court.look(MS));
        assert_eq!(court.verdicts, [0, 0]);
    }

    // Hosts let their guests stand still for longer than a window.
    #[test]
    fn a_process_that_stood_still_has_nothing_piled_up() {
        let mut court = Court::new();
        for _ in 0..10 {
            court.look(200 * MS);
            court.judge.probed();
            (0..20).for_each(|_| court.probe(5));
        }
        assert_eq!(court.verdicts, [0; 12]);
    }
}
