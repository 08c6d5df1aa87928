//! What may be used once is used once (RFC 7523 §3, rule 7; RFC 9449 §11.1), on all replicas together.
//!
//! The [`ReplayStore`] decides: whoever claims an identifier first may go on. This replica remembers what it has claimed
//! for as long as that may be presented, which spares the store an immediate replay. A claim is the last of all checks, so
//! that nobody can use up what is not theirs (V-46).
//!
//! While the store cannot be reached, `strict` refuses. `local` goes on with the memory of this replica alone: an
//! identifier may then be used once on each replica, which is bounded by how long it is valid (V-17), and a replica that
//! cannot remember refuses.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use self::memory::{Claimed, Memory};
use super::store::{ReplayKey, ReplayStore, StoreError};
use crate::{clock::Timestamp, fingerprint};

mod memory;

/// How long a request waits for the store. What was claimed without an answer stays claimed.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// When to try again with another assertion or proof.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// The longest that something may be valid when it is used while only this replica can remember it: 60 s, which are those
/// of an assertion, and the clock skew of 10 s at either end.
pub const LOCAL_LIFETIME: Duration = Duration::from_secs(80);

/// Claims that are remembered, about 50 bytes each.
const REMEMBERED: usize = 16 * 1024;
/// The same where the memory may be all there is: 3000 claims per second for [`LOCAL_LIFETIME`].
const REMEMBERED_LOCAL: usize = 256 * 1024;

/// What happens while the store cannot be reached (setting `replay`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replay {
    /// What may be used once is refused.
    #[default]
    Strict,
    /// Each replica remembers for itself.
    Local,
}

/// What an identifier is of. The same text in two of them is two identifiers (V-44).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// `jti` of a client's own assertion (RFC 7523), unique per client.
    ClientAssertion,
    /// `jti` of a token of a trusted issuer, unique per issuer.
    FederatedAssertion,
    /// `jti` of a DPoP proof (RFC 9449), unique per key.
    DpopProof,
}

impl Namespace {
    const fn name(self) -> &'static str {
        match self {
            Self::ClientAssertion => "client-assertion",
            Self::FederatedAssertion => "federated-assertion",
            Self::DpopProof => "dpop-proof",
        }
    }
}

/// It may not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// It was used before.
    #[error("it was used before")]
    Seen,
    /// Nobody can say whether it was. It counts as used.
    #[error("nobody can say now whether it was used before")]
    Unavailable {
        /// When to try again, with another one.
        retry_after: Duration,
    },
    /// The store cannot be reached, and it is valid for longer than this replica answers for alone.
    #[error("it is valid for too long to be accepted while the store cannot be reached")]
    TooLong,
}

/// How claims ended, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayFigures {
    /// First uses.
    pub accepted: u64,
    /// First uses as far as this replica knows, while the store was away.
    pub accepted_locally: u64,
    /// Replays.
    pub seen: u64,
    /// Refused because the store was away.
    pub unavailable: u64,
    /// Claims in memory.
    pub remembered: usize,
}

/// Claims what may be used once.
#[derive(Debug)]
pub struct ReplayGuard {
    /// Without one the memory of this process is all there is.
    store: Option<Arc<dyn ReplayStore>>,
    mode: Replay,
    memory: Mutex<Memory>,
    /// The store did not answer last time.
    away: AtomicBool,
    accepted: AtomicU64,
    accepted_locally: AtomicU64,
    seen: AtomicU64,
    unavailable: AtomicU64,
}

impl ReplayGuard {
    /// A guard that has seen nothing.
    pub fn new(store: Option<Arc<dyn ReplayStore>>, mode: Replay) -> Self {
        let capacity = if store.is_some() && mode == Replay::Strict { REMEMBERED } else { REMEMBERED_LOCAL };
        Self::with_capacity(store, mode, capacity)
    }

    fn with_capacity(store: Option<Arc<dyn ReplayStore>>, mode: Replay, capacity: usize) -> Self {
        Self {
            store,
            mode,
            memory: Mutex::new(Memory::new(capacity)),
            away: AtomicBool::default(),
            accepted: AtomicU64::default(),
            accepted_locally: AtomicU64::default(),
            seen: AtomicU64::default(),
            unavailable: AtomicU64::default(),
        }
    }

    /// Claims an identifier, whose parts are for example a `client_id` and a `jti`. `until` is the first instant at which
    /// every other check refuses it for its age: end of validity and clock skew.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub async fn claim(
        &self,
        namespace: Namespace,
        parts: &[&str],
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), ReplayError> {
        let result = self.decide(&key(namespace, parts), until, now).await;
        let counter = match result {
            Ok(Basis::Store) => &self.accepted,
            Ok(Basis::Memory) => &self.accepted_locally,
            Err(ReplayError::Seen) => &self.seen,
            Err(ReplayError::Unavailable { .. } | ReplayError::TooLong) => &self.unavailable,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        result.map(drop)
    }

    async fn decide(&self, key: &ReplayKey, until: Timestamp, now: Timestamp) -> Result<Basis, ReplayError> {
        let Some(store) = &self.store else { return self.claim_here(key, until, now) };
        if self.remember(|memory| memory.knows(key, now)) {
            return Err(ReplayError::Seen);
        }
        let answer = tokio::time::timeout(LONGEST_WAIT, store.claim(key, until, now)).await;
        let answer = answer.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned())));
        self.note(answer.as_ref().err());
        match answer {
            // Another request may have found the store away, and claimed the same here meanwhile.
            Ok(true) => match self.remember(|memory| memory.claim(key, until, now)) {
                Claimed::Before => Err(ReplayError::Seen),
                Claimed::Now | Claimed::Forgotten => Ok(Basis::Store),
            },
            // Who was first may be here and has not heard of it yet: were this remembered, nobody would be accepted.
            Ok(false) => Err(ReplayError::Seen),
            Err(_) => self.without_store(key, until, now),
        }
    }

    /// What happens when the store did not answer.
    fn without_store(&self, key: &ReplayKey, until: Timestamp, now: Timestamp) -> Result<Basis, ReplayError> {
        let unavailable = Err(ReplayError::Unavailable { retry_after: RETRY });
        match self.mode {
            Replay::Strict => unavailable,
            Replay::Local if until.since(now) > LOCAL_LIFETIME => Err(ReplayError::TooLong),
            // What this replica claimed and could not keep in mind may be this very thing.
            Replay::Local if self.remember(|memory| memory.has_forgotten(now)) => unavailable,
            Replay::Local => self.claim_here(key, until, now).map(|_| Basis::Memory),
        }
    }

    /// Says once that the store is away, and once that it is back.
    fn note(&self, error: Option<&StoreError>) {
        let was_away = self.away.swap(error.is_some(), Ordering::Relaxed);
        match (error, self.mode) {
            (Some(error), Replay::Strict) if !was_away => tracing::warn!(
                %error,
                "the store cannot say whether assertions and proofs were used before: they are refused"
            ),
            (Some(error), Replay::Local) if !was_away => tracing::warn!(
                %error,
                "the store cannot say whether assertions and proofs were used before: short-lived ones are accepted, and \
                 each replica remembers for itself"
            ),
            (None, _) if was_away => {
                tracing::info!("the store knows again which assertions and proofs were used");
            }
            _ => {}
        }
    }

    /// The memory decides, and never forgets what is live to make room (V-17).
    fn claim_here(&self, key: &ReplayKey, until: Timestamp, now: Timestamp) -> Result<Basis, ReplayError> {
        match self.remember(|memory| memory.claim(key, until, now)) {
            Claimed::Now => Ok(Basis::Store),
            Claimed::Before => Err(ReplayError::Seen),
            Claimed::Forgotten => Err(ReplayError::Unavailable { retry_after: RETRY }),
        }
    }

    fn remember<T>(&self, look: impl FnOnce(&mut Memory) -> T) -> T {
        look(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How claims ended so far.
    pub fn figures(&self) -> ReplayFigures {
        ReplayFigures {
            accepted: self.accepted.load(Ordering::Relaxed),
            accepted_locally: self.accepted_locally.load(Ordering::Relaxed),
            seen: self.seen.load(Ordering::Relaxed),
            unavailable: self.unavailable.load(Ordering::Relaxed),
            remembered: self.remember(|memory| memory.len()),
        }
    }
}

/// Who knew that it was the first use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Basis {
    Store,
    Memory,
}

/// The digest of an identifier.
fn key(namespace: Namespace, parts: &[&str]) -> ReplayKey {
    fingerprint::of(std::iter::once(&namespace.name()).chain(parts))
}

#[cfg(test)]
mod tests;
