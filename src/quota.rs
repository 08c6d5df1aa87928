//! So many at once for each source address (layer 1).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many of something each source holds.
#[derive(Debug, Default)]
pub struct Quota(Mutex<HashMap<IpAddr, usize>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Held {
    quota: Arc<Quota>,
    source: IpAddr,
}

impl Quota {
    /// One more for this source; `None` when it holds `limit` already.
    pub fn take(self: &Arc<Self>, source: IpAddr, limit: usize) -> Option<Held> {
        let mut counts = self.counts();
        let count = counts.get(&source).copied().unwrap_or_default();
        if count >= limit {
            return None;
        }
        counts.insert(source, count + 1);
        drop(counts);
        Some(Held { quota: Arc::clone(self), source })
    }

    /// Whether nobody holds any. Nothing is kept of those who do not.
    pub fn is_empty(&self) -> bool {
        self.counts().is_empty()
    }

    /// Each change is a single one.
    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut counts = self.quota.counts();
        if let Some(count) = counts.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.source);
            }
        }
    }
}
