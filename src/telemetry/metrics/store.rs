//! The store and what is known of it here: its age, revocations, clients, keys.

use std::{fmt, time::Duration};

use super::{Metrics, SECONDS, read::Answer};

/// What is known of the store at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// How long ago everything of it was known; `None` when it never was.
    pub age: Option<Duration>,
    /// 0: followed, 1: unreachable, 2: revocations stale, 3: clients stale.
    pub state: u8,
    /// Revocations in memory.
    pub revocations: usize,
    /// Clients of the store in memory.
    pub cached_clients: usize,
    /// Statements sent to it so far.
    pub statements: u64,
    /// How claims of what may be used once ended so far.
    pub claims: Vec<(&'static str, u64)>,
    /// How long each algorithm's key has been signing.
    pub key_ages: Vec<(&'static str, Duration)>,
}

impl StoreFigures {
    fn answer(&self, answer: &mut Answer<'_>) -> fmt::Result {
        answer.gauge(
            "mintage_store_age",
            "Time since everything in the store was known here",
            SECONDS,
            self.age.map_or(f64::INFINITY, |age| age.as_secs_f64()),
        )?;
        answer.gauge(
            "mintage_store_state",
            "0 followed, 1 unreachable, 2 revocations stale, 3 clients stale",
            None,
            u32::from(self.state),
        )?;
        answer.gauge("mintage_revocations", "Revocations in memory", None, self.revocations)?;
        answer.gauge(
            "mintage_clients_cached",
            "Clients of the store in memory",
            None,
            self.cached_clients,
        )?;
        answer.counter("mintage_store_statements", "Statements sent to the store", None, self.statements)?;
        answer.counters(
            "mintage_replay_claims",
            "Claims of identifiers that may be used once, by outcome: ok, ok_locally (the store was away), seen, unavailable",
            None,
            ["outcome"],
            self.claims.iter().map(|(outcome, count)| ([*outcome], *count)),
        )?;
        answer.gauges(
            "mintage_signing_key_age",
            "Time since the key began to sign",
            SECONDS,
            ["alg"],
            self.key_ages.iter().map(|(alg, age)| ([*alg], age.as_secs_f64())),
        )
    }
}

impl Metrics {
    /// Tells of the store from now on, for as long as `figures` has any.
    pub fn read_store(&self, figures: impl Fn() -> Option<StoreFigures> + Send + Sync + 'static) {
        self.read(move |answer| figures().map_or(Ok(()), |figures| figures.answer(answer)));
    }
}
