//! TLS of the public port: from the files of the configuration, or with `--dev --tls` from nothing.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

use tokio::net::TcpListener;

use super::{
    StartError,
    watch::{self, Contents, Watched},
};
use crate::{
    clock::{Clock, Timestamp},
    config::{
        Config, NamedFile, Problem,
        proof::{self, Certificate},
    },
    private_file,
    serve::{
        Listener,
        tls::{ClientAuth, Identity, IdentityError, Tls},
    },
    telemetry::Metrics,
};

/// The label of the certificate and its key in metrics.
const NAME: &str = "tls";

/// What the public port speaks.
#[derive(Debug)]
pub enum PublicTls {
    /// HTTP without TLS.
    Plain,
    /// TLS with a certificate from files, and what reads them again.
    Files(Tls, Watched),
    /// TLS with a certificate made just now.
    Made(Tls, DevAuthority),
}

/// The TLS that a configuration asks for. A certificate made for `--dev` is told apart from others by `port`.
///
/// # Errors
/// [`StartError::File`] and [`StartError::Tls`].
pub fn open(
    config: &Config,
    port: u16,
    clock: Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<PublicTls, StartError> {
    let Some(settings) = &config.tls else { return Ok(PublicTls::Plain) };
    let client_auth = client_auth(settings);
    match &settings.certificate {
        Certificate::Files { cert_file, key_file } => {
            let (tls, watched) = from_files(cert_file, key_file, client_auth, clock, metrics.clone())?;
            Ok(PublicTls::Files(tls, watched))
        }
        Certificate::Made => {
            let (tls, authority) =
                DevAuthority::make(&std::env::temp_dir(), port, client_auth, &*clock, metrics)?;
            Ok(PublicTls::Made(tls, authority))
        }
    }
}

/// Whether [`open`] can use the files that are configured. Makes nothing.
///
/// # Errors
/// As [`open`].
pub(super) fn check(config: &Config, now: Timestamp) -> Result<(), StartError> {
    if let Some(settings) = &config.tls
        && let Certificate::Files { cert_file, key_file } = &settings.certificate
    {
        let files = [cert_file.clone(), key_file.clone()];
        tls(identity(&files, &watch::read(&files)?, now)?, client_auth(settings))?;
    }
    Ok(())
}

const fn client_auth(settings: &proof::Tls) -> ClientAuth {
    match settings.client_auth {
        proof::ClientAuth::Off => ClientAuth::Off,
        proof::ClientAuth::Optional => ClientAuth::Optional,
        proof::ClientAuth::Required => ClientAuth::Required,
    }
}

impl PublicTls {
    /// The scheme of the port's URLs.
    pub(super) const fn scheme(&self) -> &'static str {
        match self {
            Self::Plain => "http",
            Self::Files(..) | Self::Made(..) => "https",
        }
    }

    /// The file with the certificate of the authority that was made.
    pub(super) fn made_authority(&self) -> Option<&Path> {
        match self {
            Self::Made(_, authority) => Some(&authority.file),
            Self::Plain | Self::Files(..) => None,
        }
    }

    /// A listener that speaks it, what reads its files again, and what is to be kept until the end.
    pub fn on(self, socket: TcpListener) -> (Listener, Option<Watched>, Option<DevAuthority>) {
        match self {
            Self::Plain => (socket.into(), None, None),
            Self::Files(tls, watched) => (Listener::tls(socket, tls), Some(watched), None),
            Self::Made(tls, authority) => (Listener::tls(socket, tls), None, Some(authority)),
        }
    }
}

/// TLS with a certificate and its key from PEM files, and what reads them again when they change.
///
/// # Errors
/// [`StartError::File`] and [`StartError::Tls`].
fn from_files(
    cert_file: &NamedFile,
    key_file: &NamedFile,
    client_auth: ClientAuth,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
) -> Result<(Tls, Watched), StartError> {
    let files = [cert_file.clone(), key_file.clone()];
    let contents = watch::read(&files)?;
    let read = {
        let files = files.clone();
        move |contents: &Contents| {
            let identity = identity(&files, contents, clock.now())?;
            metrics.tls_certificate_expiry(identity.not_after.seconds());
            Ok::<_, Problem>(identity)
        }
    };
    let tls = tls(read(&contents)?, client_auth)?;
    let watched = Watched::new(NAME, files.to_vec(), &contents, {
        let tls = tls.clone();
        move |contents| read(contents).map(|identity| tls.replace(identity))
    });
    Ok((tls, watched))
}

/// What the certificate's file and the key's hold together.
fn identity(files: &[NamedFile; 2], contents: &Contents, now: Timestamp) -> Result<Identity, Problem> {
    let [cert, key] = files;
    Identity::from_pem(&contents[0], &contents[1], now).map_err(|error| match error {
        IdentityError::Certificate(problem) => cert.problem(format!(
            "{problem}; name a PEM file with the server's certificate, its issuers after it"
        )),
        IdentityError::Key(problem) => {
            key.problem(format!("{problem}; name a PEM file with the key of {}", cert.path.display()))
        }
    })
}

fn tls(identity: Identity, client_auth: ClientAuth) -> Result<Tls, StartError> {
    Tls::new(identity, client_auth)
        .map_err(|error| StartError::Tls(format!("TLS cannot be set up ({error})")))
}

/// The certificate of an authority that signed one certificate and whose key nobody has any more. Its file is removed when
/// this value is dropped.
#[derive(Debug)]
pub struct DevAuthority {
    /// The certificate, in PEM.
    pub file: PathBuf,
}

impl DevAuthority {
    /// TLS with a certificate for localhost, 127.0.0.1 and ::1, all of it made now. The authority's certificate is written
    /// into `directory`, whatever lies there under its name; `port` keeps servers apart.
    ///
    /// # Errors
    /// [`StartError::Tls`].
    fn make(
        directory: &Path,
        port: u16,
        client_auth: ClientAuth,
        clock: &dyn Clock,
        metrics: &Metrics,
    ) -> Result<(Tls, Self), StartError> {
        let failed =
            |error: rcgen::Error| StartError::Tls(format!("--tls: no certificate could be made ({error})"));
        let (authority, certificate, key) = sign().map_err(failed)?;
        let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes(), clock.now())
            .map_err(|error| StartError::Tls(format!("--tls: the certificate {error}")))?;
        metrics.tls_certificate_expiry(identity.not_after.seconds());
        let file = directory.join(format!("mintage-dev-ca-{port}.pem"));
        private_file::replace(&file, authority.as_bytes())
            .map_err(|problem| StartError::Tls(format!("--tls: {} {problem}", file.display())))?;
        Ok((tls(identity, client_auth)?, Self { file }))
    }
}

impl Drop for DevAuthority {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.file)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "the certificate of the development authority was not removed");
        }
    }
}

/// The certificate of an authority, and one that it signed with its key, all in PEM.
fn sign() -> Result<(String, String, String), rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Mintage development authority");
    // It signs leaves only, and its key ends with this function.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    // RFC 5280 section 4.2.1.3, which strict clients insist on.
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let mut params = CertificateParams::new(["localhost".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "Mintage development server");
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &authority)?;
    Ok((authority.pem(), certificate.pem(), key.serialize_pem()))
}
