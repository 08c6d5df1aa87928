//! What a start would refuse in the files that the configuration names, found without starting: no store is opened, nothing
//! is fetched and nothing is made.

use super::{StartError, authorities, federation, keys, stores, tls};
use crate::{clock::Timestamp, config::Config};

/// Reads what a start at `now` would read, as it would, and returns all that would end it.
pub fn check_files(config: &Config, now: Timestamp) -> Vec<StartError> {
    let bundles = config.trust_domains.iter().filter_map(|domain| domain.x509_bundle_file.as_ref());
    let authorities = config
        .client_ca_file
        .iter()
        .chain(bundles)
        .filter_map(|file| Some(authorities::read(file).err()?.into()));
    let of_domains = config.trust_domains.iter().filter_map(|domain| domain.jwt_bundle.as_ref());
    let key_sets = config.trusted_issuers.iter().map(|issuer| &issuer.keys).chain(of_domains);
    let key_sets =
        key_sets.filter_map(|keys| Some(federation::published(keys, &mut Vec::new()).err()?.into()));

    let mut found: Vec<StartError> = Vec::new();
    found.extend(keys::check(config).err());
    found.extend(tls::check(config, now).err());
    found.extend(authorities);
    found.extend(key_sets);
    found.extend(stores::check(config));
    found
}
