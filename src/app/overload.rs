//! What keeps the public port steady when too much comes.

use std::sync::Arc;

use super::Core;
use crate::{
    config::Config,
    serve::{
        Listener,
        overload::{Overload, Sources},
    },
};

/// The listener with its guard, whose [`Overload::watch`] must run beside it.
pub fn guard(config: &Config, core: &Core, listener: Listener) -> (Listener, Arc<Overload>) {
    let sources = config.limits.source_rate.map(|rate| Sources::new(rate, Arc::clone(&core.clock)));
    let pool = Arc::clone(&core.signing_pool);
    let overload = Overload::new(config.limits.queue_wait, sources, Box::new(move || pool.is_full()));
    let overload = Arc::new(overload);
    (listener.guarded(Arc::clone(&overload)), overload)
}
