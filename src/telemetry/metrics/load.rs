//! How much there is to do: the pools of threads for work that takes long, and what the guard of the public port sees.

use std::fmt;

use super::{Metrics, SECONDS, read::Answer};
use crate::refusal::RefusalReason;

/// What is known of a pool at one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolFigures {
    /// Its name.
    pub pool: &'static str,
    /// Its threads.
    pub threads: usize,
    /// Of them, those that have a job.
    pub busy: usize,
    /// Jobs that wait for a thread.
    pub queued: usize,
    /// How many may wait, at the present pace.
    pub capacity: usize,
    /// Jobs done so far.
    pub done: u64,
    /// How long all jobs together that were begun have waited for a thread so far.
    pub waited_seconds: f64,
    /// How many of them have waited for so many seconds at most, and for longer than those before; the last bound is infinite.
    pub waited: Vec<(f64, u64)>,
    /// Jobs that were refused so far.
    pub refused: Vec<(RefusalReason, u64)>,
    /// Jobs that were not begun so far because their caller had hung up.
    pub abandoned: u64,
}

/// What is known of the guard at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GuardFigures {
    /// How much of what could be shed is let in, 0 to 1.
    pub admitted: f64,
    /// How late tasks run, at least.
    pub lateness_seconds: f64,
}

impl Metrics {
    /// Tells of these pools from now on, for as long as `figures` has any.
    pub fn read_pools(&self, figures: impl Fn() -> Option<Vec<PoolFigures>> + Send + Sync + 'static) {
        self.read(move |answer| figures().map_or(Ok(()), |pools| answer_pools(&pools, answer)));
    }

    /// Tells of the guard from now on.
    pub fn read_guard(&self, figures: impl Fn() -> GuardFigures + Send + Sync + 'static) {
        self.read(move |answer| {
            let GuardFigures { admitted, lateness_seconds } = figures();
            answer.gauge(
                "mintage_admitted_ratio",
                "How much of what can be shed is let in",
                None,
                admitted,
            )?;
            let help = "How late tasks run, at least, over a tenth of a second";
            answer.gauge("mintage_task_lateness", help, SECONDS, lateness_seconds)
        });
    }
}

fn answer_pools(pools: &[PoolFigures], answer: &mut Answer<'_>) -> fmt::Result {
    let each = |figure: fn(&PoolFigures) -> usize| pools.iter().map(move |pool| ([pool.pool], figure(pool)));
    answer.gauges("mintage_pool_threads", "Threads of a pool", None, ["pool"], each(|pool| pool.threads))?;
    answer.gauges(
        "mintage_pool_threads_busy",
        "Threads of a pool that have a job",
        None,
        ["pool"],
        each(|pool| pool.busy),
    )?;
    answer.gauges(
        "mintage_pool_queue",
        "Jobs that wait for a thread",
        None,
        ["pool"],
        each(|pool| pool.queued),
    )?;
    answer.gauges(
        "mintage_pool_queue_capacity",
        "Jobs that may wait for a thread, at the present pace",
        None,
        ["pool"],
        each(|pool| pool.capacity),
    )?;
    answer.counters(
        "mintage_pool_jobs",
        "Jobs done",
        None,
        ["pool"],
        pools.iter().map(|pool| ([pool.pool], pool.done)),
    )?;
    answer.histograms(
        "mintage_pool_wait",
        "Time that jobs have waited for a thread",
        SECONDS,
        ["pool"],
        pools.iter().map(|pool| ([pool.pool], pool.waited_seconds, &*pool.waited)),
    )?;
    answer.counters(
        "mintage_pool_refused",
        "Jobs that were not done, by reason: own_share, queue_full, waited_too_long, abandoned (the caller left)",
        None,
        ["pool", "reason"],
        pools.iter().flat_map(|pool| {
            let refused = pool.refused.iter().map(|(reason, count)| (reason.as_str(), *count));
            refused
                .chain([("abandoned", pool.abandoned)])
                .map(|(reason, count)| ([pool.pool, reason], count))
        }),
    )
}
