//! What a connection tells about the other side (layer 0): plain values that a listener puts into every request's
//! extensions and that transports hand on to the core.

use std::net::{IpAddr, SocketAddr};

/// The other end of the connection a request came in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address and port, as the operating system reports them.
    pub address: SocketAddr,
}

impl Peer {
    /// The address alone, one per host: an IPv4-mapped IPv6 address appears as IPv4, and of another IPv6 address only the
    /// network of 64 bits counts, since one host has all the addresses in it.
    pub fn source(&self) -> IpAddr {
        match self.address.ip().to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & !u128::from(u64::MAX)).into()),
            v4 => v4,
        }
    }
}
