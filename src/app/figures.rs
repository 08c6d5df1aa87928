//! What the metrics read from a running server whenever somebody asks for them.

use std::{hash::Hash, sync::Arc};

use super::Core;
use crate::{
    pool::Pool,
    refusal::RefusalReason,
    serve::overload::Overload,
    telemetry::{GuardFigures, Metrics, PoolFigures},
};

/// Has the metrics tell of the pools of threads.
pub(super) fn read_pools(core: &Arc<Core>, metrics: &Metrics) {
    // The metrics may outlive the server.
    let read = Arc::downgrade(core);
    metrics.read_pools(move || {
        let core = read.upgrade()?;
        Some(vec![of_pool("signing", &core.signing_pool), of_pool("argon2id", core.secrets.pool())])
    });
}

/// Has the metrics tell of the guard of the public port.
pub(super) fn read_guard(guard: &Arc<Overload>, metrics: &Metrics) {
    let guard = Arc::clone(guard);
    metrics.read_guard(move || {
        let figures = guard.figures();
        GuardFigures { admitted: figures.admitted_share, lateness_seconds: figures.lateness_seconds }
    });
}

fn of_pool<K: Hash + Eq + Clone + Send + 'static>(name: &'static str, pool: &Pool<K>) -> PoolFigures {
    let figures = pool.figures();
    PoolFigures {
        pool: name,
        threads: figures.threads,
        busy: figures.busy,
        queued: figures.queued,
        capacity: figures.capacity,
        done: figures.done,
        waited_seconds: figures.waits.sum_seconds,
        waited: figures.waits.buckets().collect(),
        refused: vec![
            (RefusalReason::OwnShare, figures.refused_own_share),
            (RefusalReason::QueueFull, figures.refused_full),
            (RefusalReason::WaitedTooLong, figures.refused_late),
        ],
        abandoned: figures.abandoned,
    }
}
