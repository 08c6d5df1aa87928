//! When secrets were last used: noted in memory while requests are served, written to the store later and by somebody
//! else. A use is not worth a statement of its own, and losing some of them costs an operator nothing.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use quick_cache::sync::Cache;

use super::ClientId;
use crate::{clock::Timestamp, oauth::store::SecretUse};

/// A secret that was noted is not noted again before this time is over.
const RESOLUTION: Duration = Duration::from_secs(60);

/// How many secrets are remembered to have been noted lately.
const REMEMBERED: usize = 64 * 1024;

/// The most uses that wait to be written; the store is down when there are so many, and further ones are lost.
const MAX_WAITING: usize = 64 * 1024;

type Key = (ClientId, String);

/// Uses that have not been written yet.
#[derive(Debug)]
pub struct SecretUses {
    noted: Cache<Key, Timestamp>,
    waiting: Mutex<HashMap<Key, Timestamp>>,
}

impl Default for SecretUses {
    fn default() -> Self {
        Self { noted: Cache::new(REMEMBERED), waiting: Mutex::default() }
    }
}

impl SecretUses {
    /// A secret was used.
    pub(in crate::oauth) fn note(&self, client_id: &ClientId, secret_id: &str, now: Timestamp) {
        let key = (client_id.clone(), secret_id.to_owned());
        if self.noted.get(&key).is_some_and(|noted| now < noted + RESOLUTION) {
            return;
        }
        self.noted.insert(key.clone(), now);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_WAITING || waiting.contains_key(&key) {
            waiting.insert(key, Timestamp::from_seconds(now.seconds()));
        }
    }

    /// Takes at most so many uses out, to write them.
    pub fn take(&self, limit: usize) -> Vec<SecretUse> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let keys: Vec<Key> = waiting.keys().take(limit).cloned().collect();
        keys.into_iter()
            .filter_map(|key| {
                let used_at = waiting.remove(&key)?;
                let (client_id, secret_id) = key;
                Some(SecretUse { client_id, secret_id, used_at })
            })
            .collect()
    }

    /// Puts back what could not be written; a later use that was noted meanwhile stays.
    pub fn put_back(&self, uses: Vec<SecretUse>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for SecretUse { client_id, secret_id, used_at } in uses {
            if waiting.len() < MAX_WAITING {
                waiting.entry((client_id, secret_id)).or_insert(used_at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_noted_once_a_minute() {
        let (uses, id) = (SecretUses::default(), ClientId::parse("c").unwrap());
        let at = Timestamp::from_seconds;
        for now in [100, 130, 159] {
            uses.note(&id, "a", at(now));
        }
        uses.note(&id, "b", at(159));
        let mut taken = uses.take(10);
        taken.sort_by(|a, b| a.secret_id.cmp(&b.secret_id));
        let told: Vec<_> = taken.iter().map(|u| (u.secret_id.as_str(), u.used_at.seconds())).collect();
        assert_eq!(told, [("a", 100), ("b", 159)]);
        assert!(uses.take(10).is_empty());

        uses.note(&id, "a", at(160));
        uses.put_back(taken);
        let again = uses.take(10).into_iter().find(|u| u.secret_id == "a").unwrap();
        assert_eq!(again.used_at, at(160));
    }
}
