//! Whether the server wants new requests, and what it can do for them (layer 0): shared by whoever decides it and whoever
//! tells it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

/// What starts as "not ready", with a store that is followed.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    accepting: AtomicBool,
    store: AtomicU8,
}

/// How much of the store this process still knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum StoreState {
    /// Everything.
    #[default]
    Followed,
    /// What was true a moment ago: tokens are issued and introspected, nothing can be revoked or changed.
    Unreachable,
    /// Revocations may be missing: known clients get tokens, introspection answers 503.
    RevocationsStale,
    /// Nothing that may still be relied on: clients of the store get no tokens.
    ClientsStale,
}

impl StoreState {
    const ALL: [Self; 4] = [Self::Followed, Self::Unreachable, Self::RevocationsStale, Self::ClientsStale];
}

impl Readiness {
    /// Says whether new requests are welcome.
    pub fn set(&self, ready: bool) {
        self.0.accepting.store(ready, Ordering::Release);
    }

    /// Says what the store can be relied on for; returns what it was before.
    pub fn set_store(&self, state: StoreState) -> StoreState {
        from_number(self.0.store.swap(state as u8, Ordering::AcqRel))
    }

    /// What the store can be relied on for.
    pub fn store(&self) -> StoreState {
        from_number(self.0.store.load(Ordering::Acquire))
    }

    /// Whether new requests are welcome.
    pub fn is_ready(&self) -> bool {
        self.0.accepting.load(Ordering::Acquire) && self.store() != StoreState::ClientsStale
    }
}

fn from_number(number: u8) -> StoreState {
    StoreState::ALL.into_iter().find(|state| *state as u8 == number).unwrap_or_default()
}
