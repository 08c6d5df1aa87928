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

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::oauth::client::ClientId;

    const LONG: Duration = Duration::from_secs(60);

    // F-16
    #[test]
    fn tasks_go_on_while_the_pool_is_behind() {
        let pool = Arc::new(SigningPool::new("test", 1, LONG));
        let runtime = build(&Arc::new(OnceLock::from(Arc::clone(&pool)))).unwrap();
        let (open, gate) = mpsc::channel::<()>();
        runtime.block_on(async {
            let key = ClientId::parse("a").unwrap();
            let first = pool.run(&key, move || gate.recv().is_err());
            let (second, third) = (pool.run(&key, || true), pool.run(&key, || true));
            let rest = async {
                let begun = Instant::now();
                while !pool.is_behind() {
                    assert!(begun.elapsed() < LONG, "it never is");
                    tokio::spawn(sleep(Duration::from_millis(1))).await.unwrap();
                }
                tokio::spawn(sleep(Duration::from_millis(1))).await.unwrap();
                assert!(pool.is_behind());
                drop(open);
            };
            assert_eq!(tokio::join!(first, second, third, rest), (Ok(true), Ok(true), Ok(true), ()));
        });
    }
}
