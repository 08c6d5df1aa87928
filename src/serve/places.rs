//! How many connections there are at once: in all, and from one host.
//!
//! When all places are taken, whoever needs theirs least makes room, so that a table full of idle connections locks nobody
//! out: connections queue up to be looked at, and one that has had no request since it was looked at last is closed, while
//! one that has goes to the end of the queue (the page replacement that is called "second chance"). One on which nothing
//! was said yet, or that rests, is closed at the first look. One with a request in progress is not, unless it has had no
//! other for longer than a request may take: what it has is a stream, whose caller calls again.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, futures::Notified},
    time::sleep,
};

use super::{Limits, proxy::Proxies};
use crate::{
    peer::Peer,
    quota::{Held, Quota},
};

/// How long one waits for a place before more connections are looked at.
const TURN: Duration = Duration::from_millis(20);

/// The places of a listener.
pub(super) struct Places {
    free: Arc<Semaphore>,
    /// Wakes the connections in the order in which they began to wait.
    looks: Notify,
    looks_at_once: usize,
    per_source: Option<usize>,
    /// How many connections each host has.
    sources: Arc<Quota>,
}

/// The place of one connection, as long as it lives.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _source: Option<Held>,
}

impl Places {
    pub(super) fn new(limits: &Limits) -> Self {
        let count = limits.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(count)),
            looks: Notify::new(),
            looks_at_once: (count / 256).clamp(1, 64),
            per_source: limits.max_connections_per_source,
            sources: Arc::default(),
        }
    }

    /// A free place, for which others are asked to make room.
    pub(super) async fn free(&self) -> OwnedSemaphorePermit {
        loop {
            if let Some(permit) = self.free_now() {
                return permit;
            }
            tokio::select! {
                biased;
                Ok(permit) = Arc::clone(&self.free).acquire_owned() => return permit,
                () = sleep(TURN) => (0..self.looks_at_once).for_each(|_| self.looks.notify_one()),
            }
        }
    }

    /// A place that is free by now.
    pub(super) fn free_now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// The place for this peer; `None` when its host has enough of them. Proxies stand for many and are not counted.
    pub(super) fn take(
        &self,
        permit: OwnedSemaphorePermit,
        address: SocketAddr,
        proxies: Option<&Proxies>,
    ) -> Option<Place> {
        let limit = self.per_source.filter(|_| !proxies.is_some_and(|proxies| proxies.trust(address)));
        let source = match limit {
            None => None,
            Some(limit) => Some(self.sources.take(Peer::plain(address).source(), limit)?),
        };
        Some(Place { _permit: permit, _source: source })
    }

    /// Ends when this connection is looked at because places are wanted.
    pub(super) fn looked_at(&self) -> Notified<'_> {
        self.looks.notified()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::proxy::CertificateHeader;

    #[test]
    fn a_host_has_so_many_places_and_a_proxy_any_number() {
        let limits = Limits { max_connections: 10, max_connections_per_source: Some(2), ..Limits::default() };
        let places = Places::new(&limits);
        let take = |address: &str, proxies: Option<&Proxies>| {
            places.take(places.free_now().unwrap(), address.parse().unwrap(), proxies)
        };
        let first = take("[2001:db8::1]:1", None);
        let second = take("[2001:db8::2]:1", None);
        assert!(first.is_some() && second.is_some());
        assert!(take("[2001:db8::3]:1", None).is_none(), "one host has all the addresses of its network");
        let proxies =
            Proxies::new(vec!["2001:db8::/64".parse().unwrap()], Some(CertificateHeader::ClientCert));
        assert!(take("[2001:db8::3]:1", Some(&proxies)).is_some());
        assert!(take("192.0.2.1:1", None).is_some());
        drop(first);
        assert!(take("[2001:db8::3]:1", None).is_some());
        drop(second);
        assert!(places.sources.is_empty(), "nothing is kept of those who left");
    }
}
