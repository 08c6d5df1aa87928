//! The authorities of client certificates and X.509-SVIDs: read at the start, and again when their files change.

use std::sync::Arc;

use super::{
    StartError,
    watch::{self, Contents, Watched},
};
use crate::{
    certificates::Authorities,
    config::{Config, NamedFile, Problem},
    oauth::client::mtls::CertificateTrust,
};

/// The label of the authorities of clients in metrics.
const CLIENT_CA: &str = "client_ca";

/// The label of all X.509 bundles in metrics.
const BUNDLE: &str = "x509_bundle";

/// What is trusted, and the files it came from.
///
/// # Errors
/// [`StartError::File`].
pub(super) fn from_files(config: &Config) -> Result<(Arc<CertificateTrust>, Vec<Watched>), StartError> {
    let clients = config.client_ca_file.as_ref().map(read).transpose()?;
    let domains = config
        .trust_domains
        .iter()
        .filter_map(|domain| Some((domain.name.clone(), domain.x509_bundle_file.as_ref()?)))
        .map(|(name, file)| Ok((name, file.clone(), read(file)?)))
        .collect::<Result<Vec<_>, StartError>>()?;

    let (of_clients, contents_of_clients) = clients.unzip();
    let (mut bundles, mut files) = (Vec::new(), Vec::new());
    for (name, file, (authorities, contents)) in domains {
        bundles.push((name.clone(), authorities));
        files.push((name, file, contents));
    }
    let trust = Arc::new(CertificateTrust::new(of_clients, bundles));

    let mut watched = Vec::new();
    if let (Some(file), Some(contents)) = (&config.client_ca_file, contents_of_clients) {
        let (trust, file) = (Arc::clone(&trust), file.clone());
        watched.push(Watched::new(CLIENT_CA, vec![file.clone()], &contents, move |contents| {
            trust.replace_clients(parse(&file, contents)?);
            Ok(())
        }));
    }
    for (name, file, contents) in files {
        let trust = Arc::clone(&trust);
        watched.push(Watched::new(BUNDLE, vec![file.clone()], &contents, move |contents| {
            trust.replace_trust_domain(&name, parse(&file, contents)?);
            Ok(())
        }));
    }
    Ok((trust, watched))
}

type Read = (Authorities, Vec<zeroize::Zeroizing<Vec<u8>>>);

pub(super) fn read(file: &NamedFile) -> Result<Read, Problem> {
    let contents = watch::read(std::slice::from_ref(file))?;
    Ok((parse(file, &contents)?, contents))
}

fn parse(file: &NamedFile, contents: &Contents) -> Result<Authorities, Problem> {
    Authorities::from_pem(&contents[0]).map_err(|error| {
        file.problem(format!(
            "{error}; it must be a PEM file of certificate authorities, and may hold their revocation lists"
        ))
    })
}
