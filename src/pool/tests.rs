use std::sync::mpsc;

use super::*;

const LONG: Duration = Duration::from_secs(60);

/// Occupies every thread of a pool until it is dropped.
struct Gate(Vec<mpsc::Sender<()>>);

impl Gate {
    async fn close(pool: &Arc<Pool<u8>>, threads: usize) -> Self {
        let gates = (0..threads).map(|_| {
            let (sender, receiver) = mpsc::channel::<()>();
            let pool = Arc::clone(pool);
            tokio::spawn(async move { pool.run(&0, move || receiver.recv().is_err()).await });
            sender
        });
        let gate = Self(gates.collect());
        until(|| pool.figures().busy == threads).await;
        gate
    }
}

/// Waits for what is to happen at all; a minute only ends a test that hangs.
async fn until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "it does not happen");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Submits a job and returns once it waits or is refused.
async fn submit(pool: &Arc<Pool<u8>>, key: u8) -> tokio::task::JoinHandle<Result<u8, Refused>> {
    let seen =
        |figures: PoolFigures| figures.queued as u64 + figures.refused_own_share + figures.refused_full;
    let before = seen(pool.figures());
    let job = {
        let pool = Arc::clone(pool);
        tokio::spawn(async move { pool.run(&key, move || key).await })
    };
    until(|| seen(pool.figures()) > before).await;
    job
}

#[tokio::test]
async fn a_job_that_panics_costs_its_caller_an_error_and_not_a_thread() {
    let pool = Pool::<u8>::new("test", 1, LONG);
    for _ in 0..3 {
        let result = pool.run(&1, || assert!(!std::hint::black_box(true), "on purpose")).await;
        assert_eq!(result, Err(Refused::Broken));
        let next = tokio::time::timeout(LONG, pool.run(&1, || 7)).await;
        assert_eq!(next.unwrap(), Ok(7));
    }
    until(|| pool.figures().done == 6).await;
    let figures = pool.figures();
    assert_eq!((figures.busy, figures.queued), (0, 0));
}

// F-19
#[tokio::test]
async fn what_has_no_room_is_refused_at_once_and_the_rest_is_done() {
    let pool = Arc::new(Pool::new("test", 2, Duration::from_millis(8)));
    let mut gate = Gate::close(&pool, 2).await;
    // Nothing was measured yet: a job is guessed to take a millisecond, and half of eight on two threads are eight.
    let capacity = pool.figures().capacity;
    assert_eq!(capacity, 8);
    let mut waiting = Vec::new();
    for _ in 0..capacity {
        assert!(!pool.is_full());
        waiting.push(submit(&pool, 1).await);
    }
    assert!(pool.is_full());
    for _ in 0..3 {
        let refused = submit(&pool, 1).await.await.unwrap();
        assert!(matches!(refused, Err(Refused::Full { retry_after }) if retry_after >= SHORTEST_RETRY));
    }
    // Somebody who has less gets a place, at the cost of who has most.
    waiting.push(submit(&pool, 2).await);
    let evicted = waiting.remove(capacity - 1).await.unwrap();
    assert!(matches!(evicted, Err(Refused::OwnShare { .. })), "{evicted:?}");
    let figures = pool.figures();
    assert_eq!((figures.queued, figures.refused_full, figures.refused_own_share), (8, 3, 1));

    // By now they have waited for longer than eight milliseconds, and none is begun.
    tokio::time::sleep(Duration::from_millis(20)).await;
    gate.0.clear();
    for job in waiting {
        let late = job.await.unwrap();
        assert!(matches!(late, Err(Refused::Late { .. })), "{late:?}");
    }
    until(|| pool.figures().busy == 0).await;
    let figures = pool.figures();
    assert_eq!((figures.queued, figures.refused_late, figures.done), (0, 8, 2));
    assert_eq!(pool.run(&1, || 7).await, Ok(7));
}

// F-16
#[tokio::test]
async fn more_than_a_moment_s_work_is_told() {
    let pool = Arc::new(Pool::new("test", 2, LONG));
    let gate = Gate::close(&pool, 2).await;
    let mut waiting = Vec::new();
    // Of two threads each is guessed to take a millisecond for a job.
    for behind in [false, true, true] {
        waiting.push(submit(&pool, 1).await);
        assert_eq!(pool.is_behind(), behind);
    }
    drop(gate);
    for job in waiting {
        assert_eq!(job.await.unwrap(), Ok(1));
    }
    assert!(!pool.is_behind());
}

#[tokio::test]
async fn a_job_whose_caller_has_hung_up_is_not_begun() {
    let pool = Arc::new(Pool::new("test", 1, LONG));
    let gate = Gate::close(&pool, 1).await;
    let (gone, stays) = (submit(&pool, 1).await, submit(&pool, 1).await);
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    drop(gate);
    assert_eq!(stays.await.unwrap(), Ok(1));
    until(|| pool.figures().busy == 0).await;
    let figures = pool.figures();
    assert_eq!((figures.abandoned, figures.done), (1, 2));
}

#[tokio::test]
async fn what_waits_when_the_pool_ends_is_done() {
    let pool = Arc::new(Pool::new("test", 1, LONG));
    let gate = Gate::close(&pool, 1).await;
    let job = submit(&pool, 3).await;
    // The tasks hold the pool as long as they wait; its end wakes nobody who is not there.
    drop(pool);
    drop(gate);
    assert_eq!(job.await.unwrap(), Ok(3));
}

// F-19: who serves connections is not to wait for who computes.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_threads_step_back_behind_all_others() {
    let own = getpriority_process(None).unwrap();
    let pool = Pool::<u8>::new("test", 1, LONG);
    let nice = pool.run(&0, || getpriority_process(None).unwrap()).await.unwrap();
    assert_eq!(nice, (own + NICE).min(19));
}
