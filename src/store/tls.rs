//! TLS to PostgreSQL: always verified, against the certificates the system trusts or those of a file.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::OpenError;

pub(super) fn connector(ca_file: Option<&Path>) -> Result<MakeRustlsConnect, OpenError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| OpenError::Unusable(format!("TLS cannot be set up: {error}")))?;
    let config = match ca_file {
        Some(path) => builder.with_root_certificates(roots(path)?).with_no_client_auth(),
        None => builder
            .with_platform_verifier()
            .map_err(|error| {
                OpenError::Unusable(format!(
                    "the certificates the system trusts cannot be read ({error}); set database_ca_file"
                ))
            })?
            .with_no_client_auth(),
    };
    Ok(MakeRustlsConnect::new(config))
}

fn roots(path: &Path) -> Result<RootCertStore, OpenError> {
    let unusable = |what: String| {
        OpenError::Unusable(format!(
            "{}: {what}; database_ca_file must name a PEM file with the CA certificates of the database",
            path.display()
        ))
    };
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|error| unusable(format!("cannot be read ({error})")))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unusable(format!("is no PEM ({error})")))?;
        roots
            .add(certificate)
            .map_err(|error| unusable(format!("holds an unusable certificate ({error})")))?;
    }
    if roots.is_empty() {
        return Err(unusable("holds no certificate".to_owned()));
    }
    Ok(roots)
}
