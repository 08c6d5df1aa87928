//! What keeps the public port steady when too much comes.

use std::sync::Arc;

use crate::{
    clock::Clock,
    config::Config,
    serve::{
        Listener,
        overload::{Overload, Sources},
    },
};

/// The listener with its guard, whose [`Overload::watch`] must run beside it.
pub fn guard(config: &Config, clock: &Arc<dyn Clock>, listener: Listener) -> (Listener, Arc<Overload>) {
    let sources = config.limits.source_rate.map(|rate| Sources::new(rate, Arc::clone(clock)));
    let overload = Arc::new(Overload::new(config.limits.queue_wait, sources));
    (listener.guarded(Arc::clone(&overload)), overload)
}
