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
    /// The address alone: IPv4-mapped IPv6 addresses appear as IPv4, so that one host counts as one source.
    pub fn source(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }
}
