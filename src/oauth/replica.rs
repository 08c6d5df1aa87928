//! This process as one of several on the same store: it reads everything once, follows the change feed, and knows how old
//! its knowledge is.
//!
//! Whatever fails leaves things as they were: what is in memory stays in use, and ages.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio::sync::Mutex;

use super::{
    client::{ClientDirectory, uses::SecretUses},
    freshness::Freshness,
    keys::{Keys, UnusableKeys},
    revocations::{Position, Revocations},
    store::{Change, Changes, Revocation, State, StoreError, Stores},
};
use crate::clock::{Clock, Timestamp};

/// How long the feed may take to answer. Much less than a mirror may be old, so that a second attempt can still succeed.
const LONGEST_SYNC: Duration = Duration::from_secs(5);

/// How long it may take to read everything.
const LONGEST_LOAD: Duration = Duration::from_secs(60);

/// How many uses of secrets are written at once.
const USES_AT_ONCE: usize = 500;

/// What a replica keeps true.
pub struct Replica {
    /// The store.
    pub stores: Stores,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The clients.
    pub directory: Arc<ClientDirectory>,
    /// The revocations.
    pub revocations: Arc<Revocations>,
    /// How old all of it is.
    pub freshness: Arc<Freshness>,
    /// Uses of secrets that wait to be written.
    pub uses: Arc<SecretUses>,
    /// The signing keys.
    pub keys: Arc<Keys>,
    /// One sync at a time.
    position: Mutex<Option<Position>>,
}

impl Replica {
    /// A replica that knows nothing yet.
    pub fn new(
        stores: Stores,
        clock: Arc<dyn Clock>,
        directory: Arc<ClientDirectory>,
        revocations: Arc<Revocations>,
        freshness: Arc<Freshness>,
        uses: Arc<SecretUses>,
        keys: Arc<Keys>,
    ) -> Self {
        Self { stores, clock, directory, revocations, freshness, uses, keys, position: Mutex::default() }
    }

    /// Reads everything from the store.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(&self) -> Result<(), StoreError> {
        let mut position = self.position.lock().await;
        self.noting(self.load_into(&mut position)).await
    }

    /// Begins with a state that was written down earlier, because the store cannot be reached. It is as old as it is.
    pub async fn restore(&self, state: State, as_of: Timestamp) {
        let mut position = self.position.lock().await;
        self.adopt(state, &mut position);
        self.freshness.succeed(as_of);
        self.freshness.fail(self.clock.now());
    }

    /// Catches up with the store.
    ///
    /// # Errors
    /// [`StoreError`]; what is known stays in use.
    pub async fn sync(&self) -> Result<(), StoreError> {
        let mut position = self.position.lock().await;
        if self.freshness.look(self.clock.now()) {
            // While the clock was ahead, revocations may have been forgotten before their time.
            *position = None;
        }
        self.noting(self.catch_up(&mut position)).await
    }

    /// Catches up every `interval`, and as soon as the store or this process says that there is something new; for ever.
    pub async fn follow(&self, interval: Duration) {
        loop {
            let was_failing = self.freshness.is_failing();
            match self.sync().await {
                Ok(()) if was_failing => tracing::info!("the store answers again"),
                Ok(()) => {}
                Err(error) if !was_failing => {
                    tracing::warn!(%error, "the store cannot be followed; what is in memory stays in use");
                }
                Err(error) => tracing::debug!(%error, "the store still cannot be followed"),
            }
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = self.revocations.written() => {}
                // A store that does not answer could give hints without end.
                () = self.stores.changes.hint(), if !self.freshness.is_failing() => {}
            }
        }
    }

    /// Writes when secrets were last used. Meant to be called now and then, away from any request.
    ///
    /// # Errors
    /// [`StoreError`]; what was not written is tried again next time.
    pub async fn flush_uses(&self) -> Result<(), StoreError> {
        loop {
            let uses = self.uses.take(USES_AT_ONCE);
            if uses.is_empty() {
                return Ok(());
            }
            let written = within(LONGEST_SYNC, self.stores.clients.record_uses(&uses)).await;
            if let Err(error) = written {
                self.uses.put_back(uses);
                return Err(error);
            }
        }
    }

    /// The age is that of the beginning of an attempt: what was read is at least as new.
    async fn noting(&self, attempt: impl Future<Output = Result<(), StoreError>>) -> Result<(), StoreError> {
        let begun = self.clock.now();
        self.freshness.look(begun);
        let result = attempt.await;
        match &result {
            Ok(()) => self.freshness.succeed(begun),
            Err(_) => self.freshness.fail(self.clock.now()),
        }
        result
    }

    async fn load_into(&self, position: &mut Option<Position>) -> Result<(), StoreError> {
        let state = within(LONGEST_LOAD, self.stores.changes.state(self.clock.now())).await?;
        self.adopt(state, position);
        Ok(())
    }

    fn adopt(&self, state: State, position: &mut Option<Position>) {
        let State { incarnation, sequence, keys, revocations } = state;
        if let Err(unusable) = self.keys.install(&keys, self.clock.now()) {
            name(&unusable);
        }
        let now = Position { incarnation: incarnation.into(), sequence };
        self.revocations.replace(&revocations, now.clone());
        self.directory.clear();
        *position = Some(now);
    }

    async fn catch_up(&self, position: &mut Option<Position>) -> Result<(), StoreError> {
        while let Some(seen) = position {
            let changes = self.stores.changes.changes(&seen.incarnation, seen.sequence);
            let Changes::After { changes, sequence } = within(LONGEST_SYNC, changes).await? else {
                *position = None;
                break;
            };
            // Changes that nobody needs any more are left out, so that only the position tells whether there is more.
            if sequence <= seen.sequence {
                self.revocations.advance([], seen.clone());
                self.revocations.forget(self.clock.now());
                return Ok(());
            }
            self.apply(changes.into_iter().map(|(_, change)| change), seen, sequence).await?;
        }
        // Nothing was read yet, or the store does not know any more what happened since.
        self.load_into(position).await
    }

    async fn apply(
        &self,
        changes: impl Iterator<Item = Change>,
        seen: &mut Position,
        sequence: u64,
    ) -> Result<(), StoreError> {
        let (mut revocations, mut keys): (Vec<Revocation>, bool) = (Vec::new(), false);
        let mut in_use = Vec::new();
        for change in changes {
            match change {
                Change::Client(client_id) => {
                    if self.directory.invalidate(client_id.as_str()) {
                        in_use.push(client_id);
                    }
                }
                Change::Keys => keys = true,
                Change::Revocation(revocation) => revocations.push(revocation),
            }
        }
        // Who was in memory is so again before somebody asks: the store may be away by then.
        self.directory.expect(in_use.iter().map(|client_id| client_id.as_str()));
        // A key's revocation is known before the key goes, and each counts even when the rest has to be tried again.
        for revocation in &revocations {
            self.revocations.apply(revocation);
        }
        if keys {
            let reload = self.keys.reload(&*self.stores.keys, self.clock.now());
            let unusable = UnusableKeys(within(LONGEST_SYNC, reload).await?);
            if !unusable.0.is_empty() {
                name(&unusable);
            }
        }
        seen.sequence = sequence;
        self.revocations.advance([], seen.clone());
        Ok(())
    }
}

/// Keys that cannot be used are named, and the others are used.
fn name(unusable: &UnusableKeys) {
    tracing::error!(error = %unusable, "signing keys of the store cannot be used");
}

/// A store that is frozen does not answer at all.
async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, answer)
        .await
        .unwrap_or_else(|_| Err(StoreError::Unavailable(format!("no answer within {} s", limit.as_secs()))))
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("freshness", &self.freshness).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
