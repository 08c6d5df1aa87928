//! Which signing keys the server starts with: those that are configured, and fresh ones for every other algorithm that
//! a client needs.

use std::{path::Path, thread};

use super::StartError;
use crate::{
    config::Config,
    jose::{SigningAlgorithm, SigningKey, verification_key::InvalidKey},
    oauth::{Keys, client::Client},
};

/// The keys, and the algorithms whose keys exist only in memory.
pub(super) struct Provisioned {
    pub(super) keys: Keys,
    pub(super) generated: Vec<SigningAlgorithm>,
}

/// Loads or generates a key for RS256, which every server supports (RFC 9068 §2.1), for the default algorithm, and for
/// each algorithm that a client signs with. Generation takes as long as the slowest key, not as their sum.
pub(super) fn provision(
    config: &Config,
    clients: &[Client],
    key_directory: &Path,
) -> Result<Provisioned, StartError> {
    let wanted = SigningAlgorithm::ALL.into_iter().filter(|alg| {
        *alg == SigningAlgorithm::RS256
            || *alg == config.tokens.signing_alg
            || clients.iter().any(|client| client.access_token_signing_alg == *alg)
    });
    let mut generated = Vec::new();
    let keys: Vec<Result<SigningKey, StartError>> = thread::scope(|scope| {
        let threads: Vec<_> = wanted
            .map(|alg| match alg {
                SigningAlgorithm::RS256 if config.rs256_key_files.is_some() => {
                    scope.spawn(move || load_rs256(config, key_directory))
                }
                SigningAlgorithm::HS256 => scope.spawn(move || load_hs256(config)),
                _ => {
                    generated.push(alg);
                    scope.spawn(move || Ok(SigningKey::generate(alg)?))
                }
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(Err(StartError::Key(InvalidKey)))).collect()
    });
    let keys = Keys::fixed(keys.into_iter().collect::<Result<_, _>>()?)?;
    Ok(Provisioned { keys, generated })
}

fn load_rs256(config: &Config, key_directory: &Path) -> Result<SigningKey, StartError> {
    let files = config.rs256_key_files.as_ref().ok_or(StartError::Key(InvalidKey))?;
    Ok(SigningKey::from_pkcs8(SigningAlgorithm::RS256, &files.load(key_directory)?)?)
}

fn load_hs256(config: &Config) -> Result<SigningKey, StartError> {
    // The configuration has refused every client that needs HS256 without a secret.
    let secret = config.jwt_secret.as_ref().ok_or(StartError::Key(InvalidKey))?;
    Ok(SigningKey::from_shared_secret(secret)?)
}
