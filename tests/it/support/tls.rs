//! Certificates made on the spot, and callers that use them over TLS.
//!
//! ```ignore
//! let ca = TestCa::new();
//! let server = TestServer::with_tls(TOML, &ca, ClientAuth::Optional).await;
//! let billing = ca.client("billing", &[San::dns("billing.example")]);
//! let wires = Wire::both_with_tls(&server, &ca, Some(&billing)).await;
//! ```

use std::{net::SocketAddr, sync::Arc};

use hyper_util::rt::TokioIo;
use mintage::{
    clock::Timestamp,
    serve::tls::{ClientAuth, Identity, Tls},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint};

use super::server::NOW;

/// An authority of its own.
pub struct TestCa(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Pair {
    /// Leaf first.
    pub certificates: String,
    pub key: String,
}

/// A subject alternative name.
#[derive(Clone, Debug)]
pub struct San(SanType);

impl San {
    pub fn dns(name: &str) -> Self {
        Self(SanType::DnsName(name.try_into().unwrap()))
    }

    pub fn uri(uri: &str) -> Self {
        Self(SanType::URI(uri.try_into().unwrap()))
    }

    pub fn email(address: &str) -> Self {
        Self(SanType::Rfc822Name(address.try_into().unwrap()))
    }

    pub fn ip(address: &str) -> Self {
        Self(SanType::IpAddress(address.parse().unwrap()))
    }
}

impl TestCa {
    /// A self-signed authority.
    pub fn new() -> Self {
        Self::named("Test CA")
    }

    /// The same with another name.
    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// The authority's certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// The same in DER.
    pub fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    /// A list of revoked certificates, in PEM.
    pub fn revocation_list(&self, params: &CertificateRevocationListParams) -> String {
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }

    /// A certificate for localhost, 127.0.0.1 and ::1.
    pub fn server(&self) -> Pair {
        let names = [San::dns("localhost"), San::ip("127.0.0.1"), San::ip("::1")];
        self.sign(params("localhost", &names, ExtendedKeyUsagePurpose::ServerAuth))
    }

    /// A client's certificate with this common name.
    pub fn client(&self, common_name: &str, names: &[San]) -> Pair {
        self.sign(params(common_name, names, ExtendedKeyUsagePurpose::ClientAuth))
    }

    /// A certificate with these parameters, of which nothing is added or corrected.
    pub fn sign(&self, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        Pair { certificates: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// What a leaf says, to be changed before it is signed.
pub fn params(common_name: &str, names: &[San], usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.subject_alt_names = names.iter().map(|San(name)| name.clone()).collect();
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params
}

impl Pair {
    /// A client's certificate that only its own key signed.
    pub fn self_signed(common_name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(common_name, &[], ExtendedKeyUsagePurpose::ClientAuth);
        params.use_authority_key_identifier_extension = false;
        Self { certificates: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }

    /// The certificates, leaf first.
    pub fn der(&self) -> Vec<Vec<u8>> {
        self.chain().iter().map(|certificate| certificate.to_vec()).collect()
    }

    /// The leaf.
    pub fn leaf(&self) -> Vec<u8> {
        self.der().swap_remove(0)
    }

    /// This as a server's.
    pub fn identity(&self) -> Identity {
        let now = Timestamp::from_seconds(NOW);
        Identity::from_pem(self.certificates.as_bytes(), self.key.as_bytes(), now).unwrap()
    }

    /// TLS with this as the server's certificate.
    pub fn tls(&self, client_auth: ClientAuth) -> Tls {
        Tls::new(self.identity(), client_auth).unwrap()
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.certificates.as_bytes()).map(Result::unwrap).collect()
    }
}

/// A caller that trusts `ca` and, if asked, shows `client`. Every call makes a caller without sessions to resume.
pub fn client_config(ca: &TestCa, client: Option<&Pair>, alpn: &[&str]) -> ClientConfig {
    client_config_for(&rustls::DEFAULT_VERSIONS, ca, client, alpn)
}

/// The same with some versions of TLS only.
pub fn client_config_for(
    versions: &[&'static rustls::SupportedProtocolVersion],
    ca: &TestCa,
    client: Option<&Pair>,
    alpn: &[&str],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(ca.0.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match client {
        Some(pair) => {
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(pair.chain(), key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// An encrypted connection to a server that calls itself localhost.
pub async fn connect(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

/// An HTTP/1.1 client.
pub fn http(ca: &TestCa, client: Option<&Pair>) -> reqwest::Client {
    let config = client_config(ca, client, &["http/1.1"]);
    reqwest::Client::builder().tls_backend_preconfigured(config).build().unwrap()
}

/// A gRPC channel.
pub async fn channel(address: SocketAddr, ca: &TestCa, client: Option<&Pair>) -> Channel {
    let config = Arc::new(client_config(ca, client, &["h2"]));
    // tonic leaves TLS to the connector and would refuse an https URI without its own.
    let connector = tower::service_fn(move |_: http::Uri| {
        let config = Arc::clone(&config);
        async move { connect(address, &config).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connector).await.unwrap()
}
