//! Who sends a request and to which endpoint, as the transport knows it: facts, not claims, but for the DPoP proofs.

use std::{net::IpAddr, sync::Arc};

use super::issuer::Issuer;
use crate::{peer::CertificateChain, secret::Secret};

/// The sender of a request.
#[derive(Clone, Debug)]
pub struct Sender {
    /// The address the request came from.
    pub source: IpAddr,
    /// The certificate of the connection, or of the one a trusted proxy vouches for. That the sender holds its key is known;
    /// who issued it is not.
    pub certificate: Option<Arc<CertificateChain>>,
    /// DPoP proofs as they were sent, one for each header field or field of a message (RFC 9449 §4.1).
    pub dpop_proofs: Vec<Secret<String>>,
    /// The HTTP method: `GET`, `HEAD` or `POST`; always `POST` over gRPC.
    pub http_method: &'static str,
    /// Which endpoint was called.
    pub endpoint: Endpoint,
}

/// An endpoint of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A path below the issuer identifier, such as `/token`.
    Rest(&'static str),
    /// A method of a gRPC service.
    Rpc {
        /// Its full name: `mintage.token.v1.TokenService`.
        service: &'static str,
        /// The method: `Issue`.
        method: &'static str,
    },
}

impl Endpoint {
    /// The URL of the endpoint. It follows from the issuer identifier alone: what a caller says of the host changes nothing
    /// (V-32). Paths of gRPC begin at the root of the host, whatever path the issuer has.
    pub fn url(self, issuer: &Issuer) -> String {
        match self {
            Self::Rest(path) => issuer.endpoint(path),
            Self::Rpc { service, method } => format!("{}/{service}/{method}", issuer.origin()),
        }
    }
}

impl Sender {
    /// A sender at this address that calls the token endpoint with nothing else.
    #[cfg(test)]
    pub fn at(source: IpAddr) -> Self {
        Self {
            source,
            certificate: None,
            dpop_proofs: Vec::new(),
            http_method: "POST",
            endpoint: Endpoint::Rest("/token"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // V-32
    #[test]
    fn an_endpoint_has_the_url_the_issuer_says() {
        let issuer = Issuer::parse("https://id.example:8443/tenant").unwrap();
        assert_eq!(Endpoint::Rest("/token").url(&issuer), "https://id.example:8443/tenant/token");
        let rpc = Endpoint::Rpc { service: "mintage.token.v1.TokenService", method: "Issue" };
        assert_eq!(rpc.url(&issuer), "https://id.example:8443/mintage.token.v1.TokenService/Issue");
    }
}
