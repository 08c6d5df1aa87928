//! Threads for work that takes long, shared fairly (layer 1).
//!
//! The threads that serve connections must not compute for a millisecond: everybody else on them waits. Such work goes to a
//! [`Pool`] and is waited for. What it cannot work off in time it refuses at once, so that nobody waits for nothing:
//!
//! - One line per key, and the keys take turns (`queue`): whoever asks for much waits for itself.
//! - No more jobs wait than the threads work off in half of the longest wait, measured at their pace (`pace`).
//! - When that many wait, the newest job of the longest line makes room for who has less.
//! - A job that has waited for too long after all is refused when its turn comes; one whose caller has hung up is dropped.

mod pace;
mod queue;
mod waits;

use std::{
    fmt,
    hash::Hash,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{getpriority_process, setpriority_process};
use tokio::sync::oneshot;

pub use self::waits::Waits;
use self::{
    pace::Pace,
    queue::{Displaced, FairQueue},
};

/// The least time after which somebody who was refused should come back: HTTP has whole seconds (RFC 9110 §10.2.3).
const SHORTEST_RETRY: Duration = Duration::from_secs(1);

/// How much the threads step back behind those that serve connections (nice). When both want all of a core, these get a third of it:
/// enough to go on, and no refusal waits behind what it is there to keep away.
const NICE: i32 = 3;

/// A pool that works off in less than this what waits is not behind.
const MOMENT: Duration = Duration::from_millis(1);

/// A bounded pool of threads that keys share fairly. The threads begin with the first job and end with the pool.
pub struct Pool<K>(Arc<Shared<K>>);

struct Shared<K> {
    name: &'static str,
    threads: usize,
    longest_wait: Duration,
    state: Mutex<State<K>>,
    arrival: Condvar,
    /// Whether as many wait as may. Only a hint, as the next one is, for who does not want to wait for the lock.
    is_full: AtomicBool,
    is_behind: AtomicBool,
}

struct State<K> {
    queue: FairQueue<K, Waiting>,
    pace: Pace,
    /// Of which `queued` and `capacity` are filled in when they are read.
    figures: PoolFigures,
    started: bool,
    closed: bool,
}

struct Waiting {
    job: Box<dyn Job>,
    since: Instant,
}

/// Why a job was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its key holds more than its share while others wait.
    OwnShare {
        /// When to come back.
        retry_after: Duration,
    },
    /// Too much waits already.
    Full {
        /// When to come back.
        retry_after: Duration,
    },
    /// It has waited for too long.
    Late {
        /// When to come back.
        retry_after: Duration,
    },
    /// It panicked, or there is no thread to do it.
    Broken,
}

/// What a pool is doing and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoolFigures {
    /// How many threads it has.
    pub threads: usize,
    /// How many of them have a job.
    pub busy: usize,
    /// Jobs that wait.
    pub queued: usize,
    /// How many may wait, at the present pace.
    pub capacity: usize,
    /// Jobs that were done.
    pub done: u64,
    /// How long the jobs waited that were begun.
    pub waits: Waits,
    /// Jobs refused as [`Refused::OwnShare`].
    pub refused_own_share: u64,
    /// Jobs refused as [`Refused::Full`].
    pub refused_full: u64,
    /// Jobs refused as [`Refused::Late`].
    pub refused_late: u64,
    /// Jobs that were not begun because their caller had hung up.
    pub abandoned: u64,
}

impl<K: Hash + Eq + Clone + Send + 'static> Pool<K> {
    /// A pool of this many threads, at least one, in which no job waits for longer than `longest_wait`. The name is that of
    /// the threads.
    pub fn new(name: &'static str, threads: usize, longest_wait: Duration) -> Self {
        let threads = threads.max(1);
        let state = State {
            queue: FairQueue::new(),
            pace: Pace::new(threads),
            figures: PoolFigures { threads, ..PoolFigures::default() },
            started: false,
            closed: false,
        };
        Self(Arc::new(Shared {
            name,
            threads,
            longest_wait,
            state: Mutex::new(state),
            arrival: Condvar::new(),
            is_full: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
        }))
    }

    /// Does a job of this key and waits for it. Whoever drops the future before the job has begun takes it back.
    ///
    /// # Errors
    /// [`Refused`]; the job was not done, or not to its end.
    pub async fn run<T: Send + 'static>(
        &self,
        key: &K,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let (answer, answered) = oneshot::channel();
        self.submit(key, Box::new(Task { work, answer }));
        answered.await.unwrap_or(Err(Refused::Broken))
    }

    fn submit(&self, key: &K, job: Box<dyn Job>) {
        let shared = &self.0;
        let waiting = Waiting { job, since: Instant::now() };
        let mut state = shared.lock();
        if !state.started {
            state.started = self.start();
            if !state.started {
                drop(state);
                return waiting.job.refuse(Refused::Broken);
            }
        }
        let capacity = shared.capacity(&state);
        let displaced = state.queue.push(key, waiting, capacity);
        shared.note_room(&state);
        let refusal = displaced.map(|Displaced { job, own_share }| {
            let retry_after = state.retry_after();
            (
                job,
                state.refuse(if own_share {
                    Refused::OwnShare { retry_after }
                } else {
                    Refused::Full { retry_after }
                }),
            )
        });
        // Whoever has a job looks for the next one before it waits.
        let some_wait = state.figures.busy < shared.threads;
        drop(state);
        match refusal {
            // As many jobs wait as before.
            Some((waiting, refused)) => waiting.job.refuse(refused),
            None if some_wait => shared.arrival.notify_one(),
            None => {}
        }
    }

    /// Whether there is any thread; those that cannot be had leave the work to the others.
    fn start(&self) -> bool {
        let spawned = (0..self.0.threads).map(|number| {
            let shared = Arc::clone(&self.0);
            let thread = thread::Builder::new().name(format!("{}-{number}", shared.name));
            let spawned = thread.spawn(move || {
                step_back();
                shared.work();
            });
            if let Err(error) = &spawned {
                tracing::error!(%error, pool = self.0.name, "a thread cannot be had");
            }
            spawned.is_ok()
        });
        spawned.fold(false, |any, one| any | one)
    }
}

/// Makes this thread come after the others of the process. Only Linux tells threads apart; should it not let it, all are equal.
fn step_back() {
    if cfg!(target_os = "linux")
        && let Ok(own) = getpriority_process(None)
    {
        let _ = setpriority_process(None, (own + NICE).min(19));
    }
}

impl<K: Hash + Eq + Clone> Pool<K> {
    /// What it is doing and has done.
    pub fn figures(&self) -> PoolFigures {
        let state = self.0.lock();
        PoolFigures { queued: state.queue.len(), capacity: self.0.capacity(&state), ..state.figures }
    }
}

impl<K> Pool<K> {
    /// Whether a job that came now would push out another, or find no room.
    pub fn is_full(&self) -> bool {
        self.0.is_full.load(Relaxed)
    }

    /// Whether more waits than a moment's work.
    pub fn is_behind(&self) -> bool {
        self.0.is_behind.load(Relaxed)
    }
}

impl<K: Hash + Eq + Clone> Shared<K> {
    /// The life of a thread.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            let Some(Waiting { job, since }) = state.queue.pop() else {
                if state.closed {
                    return;
                }
                state = self.arrival.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            self.note_room(&state);
            let begun = Instant::now();
            let waited = begun - since;
            if job.is_abandoned() {
                state.figures.abandoned += 1;
            } else if waited > self.longest_wait {
                let retry_after = state.retry_after();
                job.refuse(state.refuse(Refused::Late { retry_after }));
            } else {
                state.figures.busy += 1;
                state.figures.waits.note(waited);
                drop(state);
                job.run();
                let took = begun.elapsed();
                state = self.lock();
                state.pace.note(took);
                state.figures.busy -= 1;
                state.figures.done += 1;
            }
        }
    }

    /// How many jobs may wait.
    fn capacity(&self, state: &State<K>) -> usize {
        state.pace.capacity(self.longest_wait / 2)
    }

    /// The queue has changed.
    fn note_room(&self, state: &State<K>) {
        let waiting = state.queue.len();
        self.is_full.store(waiting >= self.capacity(state), Relaxed);
        self.is_behind.store(state.pace.time_for(waiting) >= MOMENT, Relaxed);
    }

    /// Nothing that could panic happens under the lock.
    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone> State<K> {
    /// When there will be room.
    fn retry_after(&self) -> Duration {
        self.pace.time_for(self.queue.len()).max(SHORTEST_RETRY)
    }

    /// Counts a refusal.
    fn refuse(&mut self, refused: Refused) -> Refused {
        match refused {
            Refused::OwnShare { .. } => self.figures.refused_own_share += 1,
            Refused::Full { .. } => self.figures.refused_full += 1,
            Refused::Late { .. } => self.figures.refused_late += 1,
            Refused::Broken => {}
        }
        refused
    }
}

/// What waits is still done.
impl<K> Drop for Pool<K> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.0.arrival.notify_all();
    }
}

impl<K> fmt::Debug for Pool<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.0.name)
            .field("threads", &self.0.threads)
            .field("longest_wait", &self.0.longest_wait)
            .finish_non_exhaustive()
    }
}

/// What a thread of the pool sees of a job.
trait Job: Send {
    /// Whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool;
    fn run(self: Box<Self>);
    fn refuse(self: Box<Self>, refused: Refused);
}

struct Task<F, T> {
    work: F,
    answer: oneshot::Sender<Result<T, Refused>>,
}

impl<T: Send, F: FnOnce() -> T + Send> Job for Task<F, T> {
    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    fn run(self: Box<Self>) {
        let Self { work, answer } = *self;
        // What the work shares with others must bear that it ends in the middle, as everything under a handler must. The
        // panic hook has told where it happened.
        let result = catch_unwind(AssertUnwindSafe(work)).map_err(|_| Refused::Broken);
        // Whoever has hung up meanwhile does not want it.
        let _ = answer.send(result);
    }

    fn refuse(self: Box<Self>, refused: Refused) {
        let _ = self.answer.send(Err(refused));
    }
}

#[cfg(test)]
mod tests;
