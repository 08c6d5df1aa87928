//! Which signing keys are configured; the store has those of every other algorithm.

use std::{path::Path, sync::Arc};

use super::StartError;
use crate::{
    config::Config,
    jose::{KeyTiming, SigningAlgorithm, SigningKey},
    key_file::KeyFiles,
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
        keys.push(rs256(config, files, key_directory)?);
    }
    if let Some(secret) = &config.jwt_secret {
        keys.push(SigningKey::from_shared_secret(secret)?);
    }
    Ok(Keys::new(keys, master, timing(config))?)
}

/// Whether the key files that somebody made can be used. A pair that the server would generate is left to it.
pub(super) fn check(config: &Config) -> Result<(), StartError> {
    match &config.rs256_key_files {
        Some(files @ KeyFiles::Given { .. }) => rs256(config, files, Path::new("")).map(drop),
        Some(KeyFiles::AutoGenerate) | None => Ok(()),
    }
}

fn rs256(config: &Config, files: &KeyFiles, key_directory: &Path) -> Result<SigningKey, StartError> {
    let key = files.load(key_directory).map_err(|error| {
        let is_public =
            matches!(files, KeyFiles::Given { public: Some(public), .. } if public == error.path());
        let setting = if is_public { "rs256_public_key_path" } else { "rs256_private_key_path" };
        config.problem(setting, error.to_string())
    })?;
    Ok(SigningKey::from_pkcs8(SigningAlgorithm::RS256, &key)?)
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
