//! The settings about proving the caller and binding the token, as checked values.

use std::time::Duration;

use ipnet::IpNet;

use super::problem::{NamedFile, Origin};
use crate::jose::JwsAlgorithm;
pub use crate::oauth::replay::Replay;

/// `[tls]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Where the certificate comes from.
    pub certificate: Certificate,
    /// Whether clients are asked for a certificate.
    pub client_auth: ClientAuth,
}

/// Where the server's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// `tls.cert_file` and `tls.key_file`
    Files {
        /// The certificate and its intermediates.
        cert_file: NamedFile,
        /// Its private key.
        key_file: NamedFile,
    },
    /// `--dev --tls`: made at the start, signed by an authority made with it.
    Made,
}

/// `tls.client_auth`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    Off,
    /// They may present one.
    Optional,
    /// There is no connection without one.
    Required,
}

/// `[proxy]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Whom to believe.
    pub trusted: Vec<IpNet>,
    /// Where they put the client's certificate; `None`: nowhere.
    pub client_cert_header: Option<ClientCertHeader>,
}

/// `proxy.client_cert_header`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertHeader {
    /// `X-Forwarded-Client-Cert`, as Envoy writes it.
    XForwardedClientCert,
    /// `Client-Cert` and `Client-Cert-Chain` (RFC 9440).
    ClientCert,
}

/// `[dpop]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dpop {
    /// Whether a proof needs a nonce of this server (RFC 9449 §8).
    pub nonce_required: bool,
    /// How old a proof may be: 1 s to 10 min, whole seconds.
    pub max_age: Duration,
}

/// `[jwks_fetch]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksFetch {
    /// Hosts, with or without port, that may have any address.
    pub allow_hosts: Vec<String>,
    /// Whether every host may.
    pub allow_private: bool,
    /// Whether `http` is allowed.
    pub allow_http: bool,
    /// The whole time one fetch may take.
    pub timeout: Duration,
    /// The most bytes of a key set.
    pub max_bytes: usize,
}

/// Where the keys of somebody else are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysAt {
    /// In a file.
    File(NamedFile),
    /// At a URL.
    Uri(String),
    /// Where the issuer's metadata says (RFC 8414, OpenID Connect Discovery 1.0).
    Discovery,
}

/// `[spiffe.trust_domains."NAME"]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustDomain {
    /// Where it stands.
    pub origin: Origin,
    /// The trust domain.
    pub name: String,
    /// Its authorities of X.509-SVIDs.
    pub x509_bundle_file: Option<NamedFile>,
    /// Its keys of JWT-SVIDs; never by discovery.
    pub jwt_bundle: Option<KeysAt>,
}

/// `[[trusted_issuers]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// Where it stands.
    pub origin: Origin,
    /// `iss` of its tokens.
    pub issuer: String,
    /// Its keys.
    pub keys: KeysAt,
    /// What `aud` of its tokens must hold; `None`: this server's issuer identifier.
    pub audience: Option<String>,
    /// What its tokens may be signed with; none of them symmetric.
    pub algorithms: Vec<JwsAlgorithm>,
    /// Whether its tokens have a `jti` and are used once.
    pub uses_jti: bool,
    /// What claims must say: a path of member names joined by dots, and a value in which `*` stands for any characters.
    pub conditions: Vec<(String, String)>,
}
