//! The methods of client authentication that the settings leave possible, and what a client lacks whose method is not.

use super::proof::{ClientAuth, Proxy, Tls, TrustDomain};
use crate::oauth::client::{Client, TokenEndpointAuthMethod};

/// What clients can prove themselves with at this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Methods {
    /// Each that works, in the order of the metadata document.
    pub offered: Vec<TokenEndpointAuthMethod>,
    /// Whether a client certificate can reach the server at all.
    pub certificates: bool,
    /// The trust domains whose X.509-SVIDs can be verified.
    x509_trust_domains: Vec<String>,
}

impl Methods {
    pub(super) fn of(
        tls: Option<&Tls>,
        has_client_ca: bool,
        proxy: Option<&Proxy>,
        trust_domains: &[TrustDomain],
    ) -> Self {
        use TokenEndpointAuthMethod as Method;
        let certificates = tls.is_some_and(|tls| tls.client_auth != ClientAuth::Off)
            || proxy.is_some_and(|proxy| proxy.client_cert_header.is_some());
        let x509_trust_domains: Vec<String> = trust_domains
            .iter()
            .filter(|domain| domain.x509_bundle_file.is_some())
            .map(|domain| domain.name.clone())
            .collect();
        let possible = |method: &Method| match method {
            Method::ClientSecretBasic
            | Method::ClientSecretPost
            | Method::ClientSecretJwt
            | Method::PrivateKeyJwt => true,
            Method::SpiffeJwt => trust_domains.iter().any(|domain| domain.jwt_bundle.is_some()),
            Method::TlsClientAuth => certificates && has_client_ca,
            Method::SelfSignedTlsClientAuth => certificates,
            Method::SpiffeX509 => certificates && !x509_trust_domains.is_empty(),
            Method::None => false,
        };
        let offered = Method::ALL.into_iter().filter(possible).collect();
        Self { offered, certificates, x509_trust_domains }
    }

    /// Why the client could never authenticate or never get a token: a member, and what to do about it.
    pub(super) fn obstacle(&self, client: &Client) -> Option<(&'static str, String)> {
        const ASK: &str =
            "set tls.client_auth to optional or required, or proxy.client_cert_header behind a proxy";
        let method = client.token_endpoint_auth_method;
        if let Some(method) = method.filter(|method| method.uses_certificate()) {
            if !self.certificates {
                return Some((
                    "token_endpoint_auth_method",
                    format!("needs client certificates, which never arrive; {ASK}"),
                ));
            }
            if method == TokenEndpointAuthMethod::TlsClientAuth && !self.offered.contains(&method) {
                let text =
                    "needs to know whose certificates count; set tls.client_ca_file to their authorities";
                return Some(("token_endpoint_auth_method", text.to_owned()));
            }
            let domain = client.proof.workloads.as_ref().map(|workloads| workloads.trust_domain());
            if method == TokenEndpointAuthMethod::SpiffeX509
                && let Some(domain) = domain
                && !self.x509_trust_domains.iter().any(|known| known == domain)
            {
                let text = format!(
                    "needs the authorities of {domain}; set x509_bundle_file in [spiffe.trust_domains.{domain:?}]"
                );
                return Some(("token_endpoint_auth_method", text));
            }
        }
        if client.proof.certificate_bound_access_tokens && !self.certificates {
            return Some((
                "tls_client_certificate_bound_access_tokens",
                format!("binds tokens to client certificates, which never arrive; {ASK}"),
            ));
        }
        None
    }
}
