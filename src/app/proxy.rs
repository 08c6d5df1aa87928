//! The proxies in front of the public port.

use crate::{
    config::{Config, proof::ClientCertHeader},
    serve::{
        Listener,
        proxy::{CertificateHeader, Proxies},
    },
};

/// The listener, with the proxies that the configuration trusts in front of it.
pub fn behind(config: &Config, listener: Listener) -> Listener {
    let Some(proxy) = &config.proxy else { return listener };
    let header = proxy.client_cert_header.map(|header| match header {
        ClientCertHeader::XForwardedClientCert => CertificateHeader::XForwardedClientCert,
        ClientCertHeader::ClientCert => CertificateHeader::ClientCert,
    });
    listener.behind(Proxies::new(proxy.trusted.clone(), header))
}
