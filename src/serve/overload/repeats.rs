//! Who was just told to come back later, and did not wait.
//!
//! A pool refuses fairly, but only after a request was read and its client authenticated, which costs several times as much as
//! a refusal at the edge. Whoever asks the same again with the same credentials is told the same again at once, for as long as
//! it was to stay away and the pool is still full. As soon as there is room, it is served.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use super::super::refusal::{QUEUE_FULL, Refusal, TOO_MUCH_OF_THE_QUEUE};
use crate::refusal::RefusalReason;

/// How many are kept in mind; those who do not find room are authenticated again.
const REMEMBERED: usize = 4096;

/// Whether the pool has no room.
pub type IsFull = Box<dyn Fn() -> bool + Send + Sync>;

pub(super) struct Repeats {
    is_full: IsFull,
    told: Mutex<HashMap<u64, Told>>,
}

#[derive(Clone, Copy)]
struct Told {
    refusal: Refusal,
    until: Instant,
}

impl Repeats {
    pub(super) fn new(is_full: IsFull) -> Self {
        Self { is_full, told: Mutex::default() }
    }

    /// Notes for what reason a request was refused.
    pub(super) fn note(&self, request: u64, reason: RefusalReason) {
        let refusal = match reason {
            RefusalReason::QueueFull => QUEUE_FULL,
            RefusalReason::OwnShare => TOO_MUCH_OF_THE_QUEUE,
            _ => return,
        };
        let now = Instant::now();
        let until = now + refusal.retry_after.unwrap_or_default();
        let mut told = self.told();
        if told.len() >= REMEMBERED {
            told.retain(|_, told| told.until > now);
        }
        if told.len() < REMEMBERED {
            told.insert(request, Told { refusal, until });
        }
    }

    /// What to tell this request, if it was refused a moment ago and would be again.
    pub(super) fn refuse_again(&self, request: u64) -> Option<Refusal> {
        if !(self.is_full)() {
            return None;
        }
        let told = self.told().get(&request).copied()?;
        (told.until > Instant::now()).then_some(told.refusal)
    }

    /// Each change is a single one.
    fn told(&self) -> MutexGuard<'_, HashMap<u64, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering::Relaxed},
        },
        time::Duration,
    };

    use super::*;

    // F-16
    #[tokio::test(start_paused = true)]
    async fn the_same_is_told_again_while_the_pool_is_full_and_no_longer_than_was_said() {
        let full = Arc::new(AtomicBool::new(true));
        let of_pool = Arc::clone(&full);
        let repeats = Repeats::new(Box::new(move || of_pool.load(Relaxed)));
        let reason = |request| repeats.refuse_again(request).and_then(|refusal| refusal.too_many);
        repeats.note(1, RefusalReason::QueueFull);
        repeats.note(2, RefusalReason::OwnShare);
        repeats.note(3, RefusalReason::ClientRate);
        assert_eq!(reason(1), Some(RefusalReason::QueueFull));
        assert_eq!(reason(2), Some(RefusalReason::OwnShare));
        assert_eq!((reason(3), reason(4)), (None, None));

        full.store(false, Relaxed);
        assert_eq!(reason(1), None);
        full.store(true, Relaxed);
        assert_eq!(reason(1), Some(RefusalReason::QueueFull));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(reason(1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_remembered() {
        let repeats = Repeats::new(Box::new(|| true));
        for request in 0..2 * REMEMBERED as u64 {
            repeats.note(request, RefusalReason::QueueFull);
        }
        assert_eq!(repeats.told().len(), REMEMBERED);
        assert!(repeats.refuse_again(REMEMBERED as u64).is_none());
        tokio::time::advance(Duration::from_secs(1)).await;
        repeats.note(u64::MAX, RefusalReason::QueueFull);
        assert_eq!(repeats.told().len(), 1);
    }
}
