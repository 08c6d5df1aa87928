//! Faults of the store under whole servers: real processes, a real PostgreSQL, and a proxy for each replica that does what
//! networks do.

mod outage;
mod partition;
mod propagation;
mod replays;
mod restart;
mod silence;
mod staleness;
mod together;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::support::{
    cluster::{Cluster, Known, Load, Replica, Times},
    patience::{PATIENCE, eventually},
    postgres::Postgres,
    proxy::Mode,
};

/// What a request may wait for the store is 250 ms; the rest is for a machine that does other things as well. Of several
/// requests the quickest is held to it, or the half: one alone may have had bad luck.
const NO_WAIT: Duration = Duration::from_millis(1250);
