//! What the connection and the telemetry layer contribute to a request.

use std::{convert::Infallible, net::IpAddr, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, Method, header::AUTHORIZATION, request::Parts},
};

use super::error::Challenge;
use crate::{
    oauth::{
        confirmation::Scheme,
        sender::{Endpoint, Sender},
    },
    peer::{CertificateChain, Peer},
    secret::Secret,
    telemetry::RequestRecord,
};

const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Facts about a request that no client can choose.
pub(super) struct Facts {
    /// The address the request came from. A request that no listener vouches for has none.
    source: IpAddr,
    /// The client's certificate.
    certificate: Option<Arc<CertificateChain>>,
    /// `GET`, `HEAD` or `POST`: the endpoints have no other.
    http_method: &'static str,
    /// With which scheme a token came, if one did.
    scheme: Option<Scheme>,
    /// What the log line and the metrics will say.
    pub(super) record: Arc<RequestRecord>,
}

impl<S: Send + Sync> FromRequestParts<S> for Facts {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<Peer>();
        let source = Peer::source_of(peer);
        let certificate = peer.and_then(|peer| peer.certificates.clone());
        let http_method = match parts.method {
            Method::POST => "POST",
            Method::HEAD => "HEAD",
            _ => "GET",
        };
        let record = parts.extensions.get::<Arc<RequestRecord>>().cloned().unwrap_or_default();
        Ok(Self { source, certificate, http_method, scheme: scheme(&parts.headers), record })
    }
}

impl Facts {
    /// The sender of the request, which came for the endpoint of this path.
    pub(super) fn sender(&self, headers: &HeaderMap, path: &'static str) -> Sender {
        Sender {
            source: self.source,
            certificate: self.certificate.clone(),
            dpop_proofs: values(headers, &DPOP),
            http_method: self.http_method,
            endpoint: Endpoint::Rest(path),
        }
    }

    /// The challenge of a protected resource.
    pub(super) fn challenge(&self) -> Challenge {
        Challenge::Resource(self.scheme.unwrap_or(Scheme::Bearer))
    }

    /// The challenge of an endpoint that takes a client's credentials or a token.
    pub(super) fn challenge_about_tokens(&self) -> Challenge {
        self.scheme.map_or(Challenge::Client, Challenge::Resource)
    }

    /// Whether the connection has a client certificate.
    pub(super) fn has_certificate(&self) -> bool {
        self.certificate.is_some()
    }
}

/// With which scheme a token comes, if one does.
fn scheme(headers: &HeaderMap) -> Option<Scheme> {
    let mut found = None;
    for value in headers.get_all(AUTHORIZATION) {
        let Some((scheme, _)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else { continue };
        if scheme.eq_ignore_ascii_case("DPoP") {
            return Some(Scheme::Dpop);
        }
        if scheme.eq_ignore_ascii_case("Bearer") {
            found = Some(Scheme::Bearer);
        }
    }
    found
}

/// Every `Authorization` header. Bytes outside ASCII cannot be credentials and become a text that is none.
pub(super) fn authorization(headers: &HeaderMap) -> Vec<Secret<String>> {
    values(headers, &AUTHORIZATION)
}

fn values(headers: &HeaderMap, name: &HeaderName) -> Vec<Secret<String>> {
    headers.get_all(name).iter().map(|value| Secret::from(value.to_str().unwrap_or_default())).collect()
}
