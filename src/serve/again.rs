//! A future that wakes itself is polled again at once, without a detour through the scheduler.
//!
//! hyper wakes the task of an HTTP/1 connection from within that task for every request with a body, and tokio puts a task
//! that does so at the end of its queue and wakes another thread to help with the queue. That thread finds nothing: two
//! system calls and two changes of context, which cost more than the request itself.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicU8,
            Ordering::{AcqRel, Acquire},
        },
    },
    task::{Context, Poll, Wake, Waker},
};

/// Nobody polls the future; who wakes it wakes its task.
const RESTING: u8 = 0;
/// The future is being polled.
const POLLED: u8 = 1;
/// It is being polled, and was woken meanwhile.
const WOKEN: u8 = 2;

/// Polls one future, a second time when it was woken during the first.
pub(super) struct Again {
    relay: Arc<Relay>,
    waker: Waker,
}

/// What the future wakes instead of its task.
struct Relay {
    state: AtomicU8,
    task: Mutex<Waker>,
}

impl Again {
    pub(super) fn new() -> Self {
        let relay =
            Arc::new(Relay { state: AtomicU8::new(RESTING), task: Mutex::new(Waker::noop().clone()) });
        Self { waker: Waker::from(Arc::clone(&relay)), relay }
    }

    /// Polls `future` on behalf of the task of `cx`. Only twice: a future that always wakes itself, as one without budget
    /// does, must let others have their turn.
    pub(super) fn poll<F: Future>(&self, mut future: Pin<&mut F>, cx: &Context<'_>) -> Poll<F::Output> {
        self.relay.task.lock().unwrap_or_else(PoisonError::into_inner).clone_from(cx.waker());
        let state = &self.relay.state;
        let mut own = Context::from_waker(&self.waker);
        state.swap(POLLED, AcqRel);
        let mut polled = future.as_mut().poll(&mut own);
        if polled.is_pending() && state.swap(POLLED, AcqRel) == WOKEN {
            polled = future.poll(&mut own);
        }
        if state.swap(RESTING, AcqRel) == WOKEN && polled.is_pending() {
            cx.waker().wake_by_ref();
        }
        polled
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.compare_exchange(POLLED, WOKEN, AcqRel, Acquire) == Err(RESTING) {
            // Whoever wakes may lose its core to the task at once: it must not hold what the task asks for first.
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, poll_fn},
        pin::pin,
        sync::{
            OnceLock,
            atomic::{AtomicU32, Ordering::Relaxed},
        },
    };

    use super::*;

    /// Counts how often a task is woken.
    #[derive(Default)]
    struct Task(AtomicU32);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    /// How often a future is polled that wakes itself in its first `times` polls, how often its task is woken meanwhile, and
    /// once more when the future is woken from outside.
    fn polls_and_wakes(times: u32) -> (u32, u32, u32) {
        let (again, task) = (Again::new(), Arc::new(Task::default()));
        let waker = Waker::from(Arc::clone(&task));
        let (mut polls, mut outside) = (0, None);
        let future = poll_fn(|cx| {
            polls += 1;
            if polls <= times {
                cx.waker().wake_by_ref();
            }
            outside = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        assert!(again.poll(pin!(future), &Context::from_waker(&waker)).is_pending());
        let woken = task.0.load(Relaxed);
        outside.unwrap().wake();
        (polls, woken, task.0.load(Relaxed))
    }

    #[test]
    fn who_wakes_itself_is_polled_again_and_once() {
        assert_eq!(polls_and_wakes(0), (1, 0, 1));
        assert_eq!(polls_and_wakes(1), (2, 0, 1));
        assert_eq!(polls_and_wakes(9), (2, 1, 2));
    }

    /// A task that looks, when it is woken, whether it could run at once.
    #[derive(Default)]
    struct Eager {
        relay: OnceLock<Arc<Relay>>,
        could_run: AtomicU32,
    }

    impl Wake for Eager {
        fn wake(self: Arc<Self>) {
            let relay = self.relay.get().unwrap();
            self.could_run.fetch_add(u32::from(relay.task.try_lock().is_ok()), Relaxed);
        }
    }

    #[test]
    fn who_wakes_holds_nothing_that_the_task_needs() {
        let (again, task) = (Again::new(), Arc::new(Eager::default()));
        assert!(task.relay.set(Arc::clone(&again.relay)).is_ok());
        let waker = Waker::from(Arc::clone(&task));
        assert!(again.poll(pin!(pending::<()>()), &Context::from_waker(&waker)).is_pending());
        again.waker.wake_by_ref();
        assert_eq!(task.could_run.load(Relaxed), 1);
    }
}
