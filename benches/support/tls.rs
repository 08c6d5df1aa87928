//! Certificates and handshakes.

use std::{fs, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Result, config,
    server::{Server, file},
};

/// An authority, the server's certificate and a client's (ECDSA P-256).
pub struct Certificates {
    authority: CertificateDer<'static>,
    server: (String, String),
    client: (CertificateDer<'static>, Vec<u8>),
}

impl Certificates {
    /// Makes them.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let (server_key, client_key) = (KeyPair::generate()?, KeyPair::generate()?);
        let names = ["localhost".to_owned()];
        let server = CertificateParams::new(names.clone())?.signed_by(&server_key, &authority)?;
        let client = CertificateParams::new(names)?.signed_by(&client_key, &authority)?;
        Ok(Self {
            authority: authority.der().clone(),
            server: (server.pem(), server_key.serialize_pem()),
            client: (client.der().clone(), client_key.serialize_der()),
        })
    }

    /// Starts a server that speaks TLS and asks for certificates. `settings` come first in its configuration.
    pub fn serve(&self, settings: &str, pin: bool) -> Result<Server> {
        let directory = Arc::new(tempfile::tempdir()?);
        self.write(&directory)?;
        let tls = "[tls]\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"\nclient_auth = \"optional\"\n"
            .to_owned();
        Server::start_in(directory, &format!("{}{settings}{tls}", config::base()), pin)
    }

    fn write(&self, directory: &TempDir) -> Result<()> {
        let (certificate, key) = &self.server;
        fs::write(file(directory, "cert.pem"), certificate)?;
        Ok(fs::write(file(directory, "key.pem"), key)?)
    }

    /// A client of TLS 1.3 that trusts the authority, with a certificate of its own or none.
    pub fn client(&self, with_certificate: bool, resumption: Resumption) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone())?;
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots);
        let mut config = if with_certificate {
            let (certificate, key) = self.client.clone();
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
            builder.with_client_auth_cert(vec![certificate], key)?
        } else {
            builder.with_no_client_auth()
        };
        config.resumption = resumption;
        Ok(Arc::new(config))
    }
}

/// Makes a handshake, and says of which kind it was.
pub async fn handshake(
    stream: TcpStream,
    config: &Arc<ClientConfig>,
) -> Result<(TlsStream<TcpStream>, Option<HandshakeKind>)> {
    let name = ServerName::try_from("localhost")?;
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
    let kind = stream.get_ref().1.handshake_kind();
    Ok((stream, kind))
}
