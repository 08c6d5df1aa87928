//! The threads that serve.

use std::{
    io,
    sync::{Arc, OnceLock},
    thread,
};

use tokio::runtime::{Builder, Runtime};

use crate::oauth::signing::SigningPool;

/// A thread takes every second task from the queue that all of them share. That is where finished signatures wait, and
/// the older half of what a thread has too much of. tokio looks there more seldom, and under load they are left behind.
const GLOBAL_QUEUE_INTERVAL: u32 = 2;

/// Threads that leave their core to this pool, once it is there, while it is behind.
///
/// On a core where something is being signed, a thread that sleeps is woken by each request and each signature, and takes the core every
/// time; the change there and back costs as much as the request. A thread that has nothing to do and yields, rather than sleeps, waits
/// until the system takes the core from the pool, at the next tick of its clock (1 to 4 ms), or until nothing is left to sign, and
/// serves at once what came meanwhile. Where a core is free it gets it back at once, and sleeps.
pub(super) fn build(pool: &Arc<OnceLock<Arc<SigningPool>>>) -> io::Result<Runtime> {
    let pool = Arc::clone(pool);
    Builder::new_multi_thread()
        .enable_all()
        .global_queue_interval(GLOBAL_QUEUE_INTERVAL)
        .on_thread_park(move || {
            if pool.get().is_some_and(|pool| pool.is_behind()) {
                thread::yield_now();
            }
        })
        .build()
}
