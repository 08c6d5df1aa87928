//! TLS on the one port (RFC 8446, and RFC 5246 as BCP 195 allows it): the protocol, not what a certificate is worth.
//!
//! - `identity`: the server's own certificate and key, checked before they are used
//! - `client_certificate`: what is asked of a client's certificate here, which is its key alone
//! - `handshake`: from an accepted socket to an encrypted stream, within its deadline and in its turn
//!
//! Only TLS 1.3 and, of TLS 1.2, ECDHE with AEAD (RFC 9325 §4.2) exist in the provider: there is nothing to switch on by
//! mistake. Early data is never accepted, because it can be replayed (RFC 8446 §8).
//!
//! # Resumption
//!
//! A client that comes back skips signatures with a ticket that only this process can open (its keys change every six
//! hours; RFC 8446 §4.6.1, RFC 5077), or, in TLS 1.2 without tickets, with one of few sessions in memory. A ticket carries
//! the certificate the client proved in its first handshake, so a resumed connection has the same [`Peer`](crate::peer::Peer)
//! as a full one. That is no way around an authority that was removed meanwhile or a certificate that expired: here neither
//! is looked at in any handshake, and the core decides about both at every request.

mod client_certificate;
mod handshake;
mod identity;

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, NoClientAuth, ResolvesServerCert, ServerSessionMemoryCache},
    sign::CertifiedKey,
};

use self::client_certificate::ProvenKey;
pub(super) use self::handshake::Handshakes;
pub use self::identity::{Identity, IdentityError};

/// Sessions of TLS 1.2 clients without tickets that are kept for resumption.
const STATEFUL_SESSIONS: usize = 1024;

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not.
    Off,
    /// They may show one.
    Optional,
    /// A handshake without one fails.
    Required,
}

/// What a listener needs to speak TLS; clones share it.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
}

impl Tls {
    /// TLS with this certificate.
    ///
    /// # Errors
    /// When the system's random generator fails.
    pub fn new(identity: Identity, client_auth: ClientAuth) -> Result<Self, rustls::Error> {
        let provider = Arc::new(provider());
        let verifier = match client_auth {
            ClientAuth::Off => Arc::new(NoClientAuth),
            ClientAuth::Optional => ProvenKey::verifier(&provider, false),
            ClientAuth::Required => ProvenKey::verifier(&provider, true),
        };
        let current = Arc::new(Current(ArcSwap::from(identity.certified)));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::<Current>::clone(&current));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.session_storage = ServerSessionMemoryCache::new(STATEFUL_SESSIONS);
        Ok(Self { config: Arc::new(config), current })
    }

    /// Shows another certificate from the next handshake on. Connections and tickets stay as they are.
    pub fn replace(&self, identity: Identity) {
        self.current.0.store(identity.certified);
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// The certificate of the next handshake. There is one, whatever name the client asks for: a client that wants another
/// notices, and one that names none is served.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// The provider of every signature and key exchange here.
fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

#[cfg(test)]
mod tests {
    use rustls::{CipherSuite, ProtocolVersion};

    use super::*;

    // CHK-143: RFC 9325 section 4.2
    #[test]
    fn tls_1_2_has_forward_secrecy_and_authenticated_encryption_only() {
        let suites = provider().cipher_suites;
        for suite in &suites {
            let name = format!("{:?}", suite.suite());
            let of_1_2 = suite.version().version == ProtocolVersion::TLSv1_2;
            assert!(!of_1_2 || name.starts_with("TLS_ECDHE_"), "{name}");
            assert!(name.contains("GCM") || name.contains("CHACHA20_POLY1305"), "{name}");
        }
        assert!(
            suites.iter().any(|suite| suite.suite() == CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)
        );
    }
}
