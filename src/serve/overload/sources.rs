//! So many requests per time and address.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use super::super::proxy::Proxies;
use crate::{
    clock::Clock,
    peer::Peer,
    rate::{Rate, RateLimiter},
};

/// The limit per source address.
pub struct Sources {
    limiter: RateLimiter<IpAddr>,
    clock: Arc<dyn Clock>,
}

impl Sources {
    /// This rate per address.
    pub fn new(rate: Rate, clock: Arc<dyn Clock>) -> Self {
        Self { limiter: RateLimiter::new(rate), clock }
    }

    /// Proxies speak for many and are not counted.
    pub(super) fn charge(&self, peer: &Peer, proxies: Option<&Proxies>) -> Result<(), Duration> {
        if proxies.is_some_and(|proxies| proxies.trust(peer.address)) {
            return Ok(());
        }
        self.limiter.charge(&peer.source(), self.clock.now())
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("limiter", &self.limiter).finish_non_exhaustive()
    }
}
