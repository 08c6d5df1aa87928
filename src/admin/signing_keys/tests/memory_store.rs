//! A key store in memory that keeps the promises of the trait, lets others in between any two steps, and can lose answers.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use crate::oauth::store::{KeyRecord, KeyStore, KeyWrite, NewRevocation, Sequence, StoreError};

#[derive(Debug, Default)]
pub(super) struct MemoryStore(Mutex<Tables>);

#[derive(Clone, Debug, Default)]
struct Tables {
    keys: Vec<KeyRecord>,
    values: BTreeMap<String, Vec<u8>>,
    revocations: Vec<NewRevocation>,
    sequence: Sequence,
    lost_answers: usize,
}

impl MemoryStore {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap()
    }

    pub(super) fn records(&self) -> Vec<KeyRecord> {
        self.tables().keys.clone()
    }

    pub(super) fn revocations(&self) -> Vec<NewRevocation> {
        self.tables().revocations.clone()
    }

    pub(super) fn sealed(&self) -> Vec<(String, Vec<u8>)> {
        self.records().into_iter().map(|key| (key.kid, key.sealed)).collect()
    }

    /// The next writes take place and are not answered.
    pub(super) fn lose_answers(&self, count: usize) {
        self.tables().lost_answers = count;
    }
}

impl Tables {
    fn apply(&mut self, write: &KeyWrite) -> Result<(), StoreError> {
        match write {
            KeyWrite::Add(new) => {
                let is_taken = |key: &KeyRecord| {
                    key.kid == new.kid || (key.alg, key.generation) == (new.alg, new.generation)
                };
                if self.keys.iter().any(is_taken) {
                    return Err(StoreError::Conflict);
                }
                self.keys.push(new.clone());
                self.keys.sort_by_key(|key| (key.alg, key.generation));
            }
            KeyWrite::Update(new) => {
                let old = self.keys.iter_mut().find(|key| key.kid == new.kid).ok_or(StoreError::NotFound)?;
                if old.revision + 1 != new.revision {
                    return Err(StoreError::Conflict);
                }
                *old = new.clone();
            }
            KeyWrite::Remove { kid } => {
                let position =
                    self.keys.iter().position(|key| key.kid == *kid).ok_or(StoreError::NotFound)?;
                self.keys.remove(position);
            }
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl KeyStore for MemoryStore {
    async fn list(&self) -> Result<Vec<KeyRecord>, StoreError> {
        tokio::task::yield_now().await;
        let records = self.records();
        tokio::task::yield_now().await;
        Ok(records)
    }

    async fn write(&self, keys: &[KeyWrite], revocations: &[NewRevocation]) -> Result<Sequence, StoreError> {
        tokio::task::yield_now().await;
        let (sequence, is_lost) = {
            let mut tables = self.tables();
            let mut changed = tables.clone();
            keys.iter().try_for_each(|write| changed.apply(write))?;
            changed.revocations.extend(revocations.iter().cloned());
            changed.sequence += 1;
            let is_lost = changed.lost_answers > 0;
            changed.lost_answers = changed.lost_answers.saturating_sub(1);
            *tables = changed;
            (tables.sequence, is_lost)
        };
        tokio::task::yield_now().await;
        if is_lost { Err(StoreError::Unavailable("the answer was lost".to_owned())) } else { Ok(sequence) }
    }

    async fn sealed_value(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables().values.get(name).cloned())
    }

    async fn keep_sealed_value(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        Ok(self.tables().values.entry(name.to_owned()).or_insert_with(|| sealed.to_vec()).clone())
    }

    async fn sealed_values(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        Ok(self.tables().values.clone().into_iter().collect())
    }

    async fn reseal(
        &self,
        keys: &[(String, Vec<u8>)],
        values: &[(String, Vec<u8>)],
    ) -> Result<Sequence, StoreError> {
        let mut tables = self.tables();
        for (kid, sealed) in keys {
            let key = tables.keys.iter_mut().find(|key| key.kid == *kid).ok_or(StoreError::NotFound)?;
            key.sealed.clone_from(sealed);
        }
        tables.values.extend(values.iter().cloned());
        tables.sequence += 1;
        Ok(tables.sequence)
    }
}
