//! How many requests are answered in one turn of their connection.
//!
//! - HTTP/2: hyper makes a task of each. Most are answered without waiting for anything, and then the task costs its memory, two
//!   more turns of the scheduler and, while another thread sleeps, the two system calls that wake it. Some are answered at once.
//! - HTTP/1: hyper answers pipelined requests one after the other, 16 in a turn. Whoever has one request at a time would wait
//!   behind 16 of each who has many. Some are answered at once, the next one in the next turn.

use std::{
    cell::Cell,
    future::Future,
    task::{Context, Waker},
};

/// How many are answered in one turn, so that a connection with many requests does not keep others waiting.
const IN_ONE_TURN: u32 = 4;

thread_local! {
    /// How many more are answered in this turn.
    static LEFT: Cell<u32> = const { Cell::new(0) };
}

/// Lets a connection have its turn.
pub(super) fn turn<R>(poll: impl FnOnce() -> R) -> R {
    LEFT.set(IN_ONE_TURN);
    let polled = poll();
    LEFT.set(0);
    polled
}

/// Whether one more request is answered in this turn.
pub(super) fn one_more() -> bool {
    let left = LEFT.get();
    LEFT.set(left.saturating_sub(1));
    left > 0
}

/// Runs futures at once, and those that wait, or are too many, as tasks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inline;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Inline {
    fn execute(&self, future: F) {
        if !one_more() {
            tokio::spawn(future);
            return;
        }
        let mut future = Box::pin(future);
        // The task polls it again, and what it waits for wakes the task.
        if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            tokio::spawn(future);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::ready,
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering::Relaxed},
        },
    };

    use hyper::rt::Executor;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn some_are_answered_in_the_turn_and_all_in_the_end() {
        let answered = Arc::new(AtomicU32::new(0));
        let request = || {
            let answered = Arc::clone(&answered);
            async move { answered.fetch_add(1, Relaxed) }
        };
        Inline.execute(request());
        assert_eq!(answered.load(Relaxed), 0, "this is no turn");
        turn(|| (0..20).for_each(|_| Inline.execute(request())));
        assert_eq!(answered.load(Relaxed), IN_ONE_TURN);
        Inline.execute(request());
        assert_eq!(answered.load(Relaxed), IN_ONE_TURN, "the turn is over");
        while answered.load(Relaxed) < 22 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_that_waits_is_woken() {
        let (wanted, answered) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let request = {
            let (wanted, answered) = (Arc::clone(&wanted), Arc::clone(&answered));
            async move {
                wanted.notified().await;
                answered.notify_one();
            }
        };
        turn(|| Inline.execute(request));
        wanted.notify_one();
        answered.notified().await;
        turn(|| Inline.execute(ready(())));
    }
}
