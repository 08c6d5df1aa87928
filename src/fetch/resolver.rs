//! Names become addresses, all of which are checked before one is connected to.
//!
//! The client connects to the addresses that come from here and to no others: whoever answers for a name cannot show a
//! public address to the check and a private one to the connection (rebinding).

use std::{
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::is_public;

/// The addresses of a name.
pub type LookedUp = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Asks for the addresses of a name.
pub trait Lookup: fmt::Debug + Send + Sync {
    /// All addresses of a host name.
    fn lookup(&self, host: &str) -> LookedUp;
}

/// The resolver of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: &str) -> LookedUp {
        let host = host.to_owned();
        Box::pin(async move {
            // The port is set by whoever connects.
            Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
        })
    }
}

/// A resolver for one client.
#[derive(Debug)]
pub(super) struct Resolver {
    pub(super) lookup: Arc<dyn Lookup>,
    /// Whether any address will do.
    pub(super) allow_private: bool,
}

/// A name leads somewhere it must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host name leads to an address that is not public; jwks_fetch.allow_hosts can name the host")]
pub(super) struct NotPublic;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.lookup.lookup(name.as_str());
        let allow_private = self.allow_private;
        Box::pin(async move {
            let addresses = addresses.await?;
            // One private address among public ones is enough: which of them is connected to is nobody's choice here.
            if !allow_private && !addresses.iter().all(|address| is_public(*address)) {
                return Err(NotPublic.into());
            }
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
