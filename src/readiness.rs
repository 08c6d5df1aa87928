//! Whether the server wants new requests (layer 0): shared by whoever decides it and whoever tells it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A flag that starts as "not ready".
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says whether new requests are welcome.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// Whether new requests are welcome.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
