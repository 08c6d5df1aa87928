//! Which key signs now, and which keys verify.

use std::sync::Arc;

use super::{SigningAlgorithm, SigningKey, VerificationKey, jwk::PublishedJwkSet};

/// The server's keys: one that signs per algorithm.
#[derive(Debug, Default)]
pub struct KeyRing {
    keys: Vec<Arc<SigningKey>>,
}

/// Two keys are the same key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{alg} already has a signing key, or another algorithm uses the same key ({kid})")]
pub struct DuplicateKey {
    /// The algorithm of the key that was refused.
    pub alg: SigningAlgorithm,
    /// Its identifier.
    pub kid: String,
}

impl KeyRing {
    /// Puts a key on the ring.
    ///
    /// # Errors
    /// [`DuplicateKey`] when its algorithm has a key or its `kid` is taken: a `kid` must name one key and one algorithm.
    pub fn insert(&mut self, key: SigningKey) -> Result<(), DuplicateKey> {
        if self.keys.iter().any(|other| other.alg() == key.alg() || other.kid() == key.kid()) {
            return Err(DuplicateKey { alg: key.alg(), kid: key.kid().to_owned() });
        }
        self.keys.push(Arc::new(key));
        Ok(())
    }

    /// The key that signs for an algorithm.
    pub fn signing_key(&self, alg: SigningAlgorithm) -> Option<&Arc<SigningKey>> {
        self.keys.iter().find(|key| key.alg() == alg)
    }

    /// The key a token's `kid` names.
    pub fn verification_key(&self, kid: &str) -> Option<&VerificationKey> {
        self.keys.iter().find(|key| key.kid() == kid).map(|key| key.verification_key().as_ref())
    }

    /// The algorithms there is a key for, in the order of [`SigningAlgorithm::ALL`].
    pub fn algorithms(&self) -> Vec<SigningAlgorithm> {
        SigningAlgorithm::ALL.into_iter().filter(|alg| self.signing_key(*alg).is_some()).collect()
    }

    /// The public half of every asymmetric key (RFC 7517 §5).
    pub fn published(&self) -> PublishedJwkSet {
        PublishedJwkSet { keys: self.keys.iter().filter_map(|key| key.jwk().cloned()).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kid_names_one_key_and_one_algorithm() {
        let der = crate::jose::signing_key::generate_rsa_pkcs8().unwrap();
        let mut ring = KeyRing::default();
        ring.insert(SigningKey::from_pkcs8(SigningAlgorithm::RS256, &der).unwrap()).unwrap();
        let same_key = SigningKey::from_pkcs8(SigningAlgorithm::PS256, &der).unwrap();
        assert!(ring.insert(same_key).is_err());
        assert!(ring.insert(SigningKey::generate(SigningAlgorithm::RS256).unwrap()).is_err());
        assert_eq!(ring.algorithms(), [SigningAlgorithm::RS256]);
    }
}
