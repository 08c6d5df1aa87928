//! Which signing keys are configured; the store has those of every other algorithm.

use std::{path::Path, sync::Arc};

use super::StartError;
use crate::{
    config::Config,
    jose::{KeyTiming, SigningAlgorithm, SigningKey},
    oauth::Keys,
    sealing::MasterKeys,
};

/// How far the clocks of replicas and verifiers may be apart.
const CLOCK_SKEW: std::time::Duration = std::time::Duration::from_secs(10);

/// The configured keys: RS256 from key files, HS256 from `JWT_SECRET`. Generated key files lie in `key_directory`.
pub(super) fn configured(
    config: &Config,
    master: Arc<MasterKeys>,
    key_directory: &Path,
) -> Result<Keys, StartError> {
    let mut keys = Vec::new();
    if let Some(files) = &config.rs256_key_files {
        keys.push(SigningKey::from_pkcs8(SigningAlgorithm::RS256, &files.load(key_directory)?)?);
    }
    if let Some(secret) = &config.jwt_secret {
        keys.push(SigningKey::from_shared_secret(secret)?);
    }
    Ok(Keys::new(keys, master, timing(config))?)
}

/// How long the steps of a key's life last.
pub(super) fn timing(config: &Config) -> KeyTiming {
    KeyTiming {
        jwks_max_age: config.jwks_max_age,
        max_lifetime: config.tokens.max_lifetime,
        max_staleness: config.store.max_staleness,
        skew: CLOCK_SKEW,
        rotation_period: config.key_rotation_period,
    }
}

/// The algorithms whose keys the store has: all that have a key pair and no configured one.
pub(super) fn stored(keys: &Keys) -> Vec<SigningAlgorithm> {
    SigningAlgorithm::ALL.into_iter().filter(|alg| !alg.is_symmetric() && !keys.is_configured(*alg)).collect()
}
