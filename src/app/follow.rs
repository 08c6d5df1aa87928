//! What goes on beside the requests: following the store, letting keys come of age, and the chores of an hour or a minute.
//!
//! None of it is waited for by a request, and none of it waits for another: a store that hangs holds up neither the
//! activation of a key nor the news that it hangs.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time};

use super::{Core, figures};
use crate::{
    clock::Timestamp,
    config::Config,
    oauth::{Freshness, replay::ReplayFigures},
    readiness::{Readiness, StoreState},
    telemetry::{Metrics, StoreFigures},
};

/// How often the ring of keys and the state of the store are looked at.
const TICK: Duration = Duration::from_millis(500);

/// How often uses of secrets are written and keys are rotated when it is time.
const CHORES: Duration = Duration::from_secs(60);

/// How often expired revocations are forgotten, in chores.
const PURGE_EVERY: u32 = 10;

/// How long the store keeps a revocation beyond its end: a clock that is ahead for a while makes nobody forget one (F-9).
const PURGE_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the store keeps what was used beyond the end of its use: replicas whose clocks differ by less agree on what
/// has ended.
const PURGE_REPLAYS_AFTER: Duration = Duration::from_secs(60);

/// How often the snapshot is written, in chores: it reads every client that is in memory.
const SNAPSHOT_EVERY: u32 = 5;

/// How old what is known of the store may be.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// To be called followed: a few polls, or a single failed one that took its time.
    followed: Duration,
    revocations: Duration,
    clients: Duration,
}

/// Starts all of it. It ends when the set is dropped.
pub fn follow(core: &Arc<Core>, config: &Config, readiness: &Readiness, metrics: &Metrics) -> JoinSet<()> {
    let poll = config.store.poll_interval;
    let bounds = Bounds {
        followed: poll * 4 + Duration::from_secs(2),
        revocations: config.store.max_revocation_age,
        clients: config.store.max_staleness,
    };
    let mut tasks = JoinSet::new();
    let replica = Arc::clone(&core.replica);
    tasks.spawn(async move { replica.follow(poll).await });
    tasks.spawn(tick(Arc::clone(core), bounds, readiness.clone()));
    // The metrics may outlive the server.
    let read = Arc::downgrade(core);
    figures::read_pools(core, metrics);
    metrics.read_store(move || read.upgrade().map(|core| of_store(&core, bounds)));
    tasks.spawn(chores(Arc::clone(core), config.store.snapshot_file.clone()));
    tasks
}

async fn tick(core: Arc<Core>, bounds: Bounds, readiness: Readiness) {
    let mut interval = time::interval(TICK);
    interval.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let now = core.clock.now();
        core.keys.refresh(now);
        let state = state(&core.replica.freshness, bounds, now);
        let before = readiness.set_store(state);
        if before != state {
            announce(state, bounds);
        }
    }
}

fn of_store(core: &Core, bounds: Bounds) -> StoreFigures {
    let now = core.clock.now();
    StoreFigures {
        age: core.replica.freshness.age(now),
        state: state(&core.replica.freshness, bounds, now) as u8,
        revocations: core.replica.revocations.len(),
        cached_clients: core.clients.cached_count(),
        statements: core.store.store.statements(),
        claims: claims(&core.replays.figures()),
        key_ages: core
            .keys
            .current()
            .signing_since()
            .iter()
            .map(|(alg, since)| (alg.as_str(), now.since(*since)))
            .collect(),
    }
}

fn state(freshness: &Freshness, bounds: Bounds, now: Timestamp) -> StoreState {
    match freshness.age(now) {
        Some(age) if age <= bounds.followed => StoreState::Followed,
        Some(age) if age <= bounds.revocations => StoreState::Unreachable,
        Some(age) if age <= bounds.clients => StoreState::RevocationsStale,
        _ => StoreState::ClientsStale,
    }
}

/// The outcomes of claims, as they are called in the metrics.
fn claims(figures: &ReplayFigures) -> Vec<(&'static str, u64)> {
    vec![
        ("ok", figures.accepted),
        ("ok_locally", figures.accepted_locally),
        ("seen", figures.seen),
        ("unavailable", figures.unavailable),
    ]
}

fn announce(state: StoreState, bounds: Bounds) {
    match state {
        StoreState::Followed => tracing::info!("the store is followed again"),
        StoreState::Unreachable => tracing::warn!(
            "the store cannot be followed: tokens are issued and introspected from memory, nothing can be revoked or changed"
        ),
        StoreState::RevocationsStale => tracing::error!(
            bound_s = bounds.revocations.as_secs(),
            "revocations may be missing: introspection is refused; known clients still get tokens"
        ),
        StoreState::ClientsStale => tracing::error!(
            bound_s = bounds.clients.as_secs(),
            "the store has been away for too long: its clients get no more tokens"
        ),
    }
}

async fn chores(core: Arc<Core>, snapshot_file: Option<PathBuf>) {
    let mut interval = time::interval(CHORES);
    interval.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let (mut round, mut recalled) = (0u32, false);
    loop {
        interval.tick().await;
        if core.replica.freshness.is_failing() {
            continue;
        }
        let rotated = core.key_admin.tick().await;
        for step in rotated.iter().flatten() {
            tracing::info!(%step, "a signing key has come to its next step");
        }
        report("signing keys were not looked after", rotated);
        report("uses of secrets were not written", core.replica.flush_uses().await);
        let before = core.clock.now().since(Timestamp::from_epoch(PURGE_REPLAYS_AFTER));
        let purged = core.store.stores.replays.purge_replays(Timestamp::from_epoch(before)).await;
        report("used assertions and proofs were not forgotten", purged);
        if round.is_multiple_of(PURGE_EVERY) {
            let before = core.clock.now().since(Timestamp::from_epoch(PURGE_AFTER));
            let purged = core.store.stores.revocations.purge(Timestamp::from_epoch(before)).await;
            report("expired revocations were not forgotten", purged);
        }
        if let Some(file) = snapshot_file.as_deref().filter(|_| round.is_multiple_of(SNAPSHOT_EVERY)) {
            if !recalled {
                core.recall_clients(file).await;
                recalled = true;
            }
            let saved = core.save_snapshot(file).await;
            report("the snapshot was not written; a start without the store would use the old one", saved);
        }
        round = round.wrapping_add(1);
    }
}

/// Chores are tried again in a minute.
fn report<T, E: std::fmt::Display>(failure: &'static str, result: Result<T, E>) {
    if let Err(error) = result {
        tracing::warn!(%error, "{failure}");
    }
}
