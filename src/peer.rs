//! What a connection tells about the other side (layer 0): plain values that a listener puts into every request's
//! extensions and that transports hand on to the core.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// The other end of the connection a request came in on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address and port, as the operating system reports them.
    pub address: SocketAddr,
    /// The certificates it presented, when it presented any. That it holds the leaf's key is certain; whether the leaf is
    /// worth anything is for the core to decide.
    pub certificates: Option<Arc<CertificateChain>>,
    /// Whether the connection itself is encrypted (TLS), so that nobody between can read or change what it carries.
    pub secure: bool,
}

impl Peer {
    /// The other end of a connection without TLS.
    pub const fn plain(address: SocketAddr) -> Self {
        Self { address, certificates: None, secure: false }
    }

    /// The source of a request: that of its peer. A request that no listener vouches for has the unspecified address.
    pub fn source_of(peer: Option<&Self>) -> IpAddr {
        peer.map_or(IpAddr::from([0, 0, 0, 0]), Self::source)
    }

    /// The address alone, one per host: an IPv4-mapped IPv6 address appears as IPv4, and of another IPv6 address only the
    /// network of 64 bits counts, since one host has all the addresses in it.
    pub fn source(&self) -> IpAddr {
        match self.address.ip().to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & !u128::from(u64::MAX)).into()),
            v4 => v4,
        }
    }
}

/// The certificates a peer presented (RFC 8446 §4.4.2), each in DER. The leaf's key was proven in the handshake or vouched
/// for by a trusted proxy. Nothing else is known: neither who issued the leaf nor whether it is still valid.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateChain {
    /// The peer's own certificate.
    pub leaf: Vec<u8>,
    /// What it sent to help build a path to an authority, in the order it came.
    pub intermediates: Vec<Vec<u8>>,
}

impl CertificateChain {
    /// The chain of `certificates`, leaf first; `None` when there are none.
    pub fn new(certificates: impl IntoIterator<Item = Vec<u8>>) -> Option<Self> {
        let mut certificates = certificates.into_iter();
        Some(Self { leaf: certificates.next()?, intermediates: certificates.collect() })
    }
}

impl fmt::Debug for CertificateChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "CertificateChain(a leaf of {} bytes and {} more)",
            self.leaf.len(),
            self.intermediates.len()
        )
    }
}
