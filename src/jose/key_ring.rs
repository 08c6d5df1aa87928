//! The keys that count at one instant: which one signs for an algorithm, which ones verify, what is published.
//!
//! A ring never changes; when the next instant of a key's life has come, another ring takes its place
//! ([`KeyRing::next_transition`]).

use std::{collections::HashMap, sync::Arc};

use super::{
    SigningAlgorithm, SigningKey, VerificationKey,
    jwk::PublishedJwkSet,
    key_lifecycle::{KeyInstants, KeyLife, KeyState, KeyTiming},
};
use crate::clock::Timestamp;

/// The keys that count at one instant.
#[derive(Debug, Default)]
pub struct KeyRing {
    signing: Vec<Arc<SigningKey>>,
    /// By `kid`.
    verifying: HashMap<String, Arc<SigningKey>>,
    /// The same keys by what their access tokens begin with.
    by_header: HashMap<String, Arc<SigningKey>>,
    published: PublishedJwkSet,
    next_transition: Option<Timestamp>,
    signing_since: Vec<(SigningAlgorithm, Timestamp)>,
}

/// A key and what decides over its use.
#[derive(Clone, Debug)]
pub struct ManagedKey {
    /// What it signs with.
    pub alg: SigningAlgorithm,
    /// The key itself; `None` when its private half is destroyed or cannot be opened. Its instants still say when the key
    /// before it ended.
    pub key: Option<Arc<SigningKey>>,
    /// When it is used for what; `None` for a configured key, which always signs.
    pub instants: Option<KeyInstants>,
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

impl From<SigningKey> for ManagedKey {
    /// A configured key.
    fn from(key: SigningKey) -> Self {
        Self { alg: key.alg(), key: Some(Arc::new(key)), instants: None }
    }
}

impl KeyRing {
    /// The ring of an instant. A configured key signs whatever other keys its algorithm has; those still verify.
    pub fn at(keys: &[ManagedKey], now: Timestamp, timing: &KeyTiming) -> Self {
        let mut ring = Self::default();
        for alg in SigningAlgorithm::ALL {
            let of_alg = || keys.iter().filter(move |key| key.alg == alg);
            for key in of_alg().filter(|key| key.instants.is_none()).filter_map(|key| key.key.as_ref()) {
                ring.add(key, ring.signing_key(alg).is_none(), true);
            }
            let (managed, instants): (Vec<_>, Vec<_>) =
                of_alg().filter_map(|key| Some((key, key.instants?))).unzip();
            for ((key, instants), life) in
                managed.iter().zip(&instants).zip(KeyLife::of_algorithm(&instants, timing))
            {
                let next = life.next_transition(now);
                ring.next_transition = [ring.next_transition, next].into_iter().flatten().min();
                let Some(key) = key.key.as_ref().filter(|_| life.verifies(now)) else { continue };
                let signs = life.state(now) == KeyState::Active && ring.signing_key(alg).is_none();
                if let Some(since) = instants.activate_at.filter(|_| signs) {
                    ring.signing_since.push((alg, since));
                }
                ring.add(key, signs, life.is_published(now));
            }
        }
        ring
    }

    /// Since when each key of the store signs.
    pub fn signing_since(&self) -> &[(SigningAlgorithm, Timestamp)] {
        &self.signing_since
    }

    /// Puts a configured key on the ring.
    ///
    /// # Errors
    /// [`DuplicateKey`] when its algorithm has a key or its `kid` is taken: a `kid` must name one key and one algorithm.
    pub fn insert(&mut self, key: SigningKey) -> Result<(), DuplicateKey> {
        if self.signing_key(key.alg()).is_some() || self.verifying.contains_key(key.kid()) {
            return Err(DuplicateKey { alg: key.alg(), kid: key.kid().to_owned() });
        }
        self.add(&Arc::new(key), true, true);
        Ok(())
    }

    /// A `kid` that is taken stays with the key that has it.
    fn add(&mut self, key: &Arc<SigningKey>, signs: bool, is_published: bool) {
        if self.verifying.contains_key(key.kid()) {
            return;
        }
        self.verifying.insert(key.kid().to_owned(), Arc::clone(key));
        self.by_header.insert(key.access_token_header().to_owned(), Arc::clone(key));
        if signs {
            self.signing.push(Arc::clone(key));
        }
        if is_published {
            self.published.keys.extend(key.jwk().cloned());
        }
    }

    /// The key that signs for an algorithm.
    pub fn signing_key(&self, alg: SigningAlgorithm) -> Option<&Arc<SigningKey>> {
        self.signing.iter().find(|key| key.alg() == alg)
    }

    /// The key a token's `kid` names.
    pub fn verification_key(&self, kid: &str) -> Option<&VerificationKey> {
        self.verifying.get(kid).map(|key| key.verification_key().as_ref())
    }

    /// The key whose access tokens have this encoded header.
    pub fn key_of_header(&self, header: &str) -> Option<&SigningKey> {
        self.by_header.get(header).map(Arc::as_ref)
    }

    /// The algorithms there is a key for, in the order of [`SigningAlgorithm::ALL`].
    pub fn algorithms(&self) -> Vec<SigningAlgorithm> {
        SigningAlgorithm::ALL.into_iter().filter(|alg| self.signing_key(*alg).is_some()).collect()
    }

    /// The public half of every asymmetric key that verifiers should know (RFC 7517 §5).
    pub fn published(&self) -> &PublishedJwkSet {
        &self.published
    }

    /// When another ring must take the place of this one.
    pub fn next_transition(&self) -> Option<Timestamp> {
        self.next_transition
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ALG: SigningAlgorithm = SigningAlgorithm::EdDSA;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn managed(generation: u64, publish_at: u64, activate_at: u64) -> ManagedKey {
        let instants = KeyInstants {
            generation,
            publish_at: Some(at(publish_at)),
            activate_at: Some(at(activate_at)),
            ..KeyInstants::default()
        };
        let key = SigningKey::generate(ALG).unwrap();
        ManagedKey { alg: ALG, key: Some(Arc::new(key)), instants: Some(instants) }
    }

    fn kid(key: &ManagedKey) -> &str {
        key.key.as_ref().unwrap().kid()
    }

    fn signs(ring: &KeyRing) -> Option<&str> {
        ring.signing_key(ALG).map(|key| key.kid())
    }

    fn published(ring: &KeyRing) -> Vec<&str> {
        ring.published().keys.iter().map(|key| key.kid()).collect()
    }

    #[test]
    fn a_kid_names_one_key_and_one_algorithm() {
        let der = SigningKey::generate_pkcs8(SigningAlgorithm::RS256).unwrap();
        let mut ring = KeyRing::default();
        ring.insert(SigningKey::from_pkcs8(SigningAlgorithm::RS256, &der).unwrap()).unwrap();
        let same_key = SigningKey::from_pkcs8(SigningAlgorithm::PS256, &der).unwrap();
        assert!(ring.insert(same_key).is_err());
        assert!(ring.insert(SigningKey::generate(SigningAlgorithm::RS256).unwrap()).is_err());
        assert_eq!(ring.algorithms(), [SigningAlgorithm::RS256]);
    }

    #[test]
    fn the_ring_of_each_instant() {
        let timing = KeyTiming::default();
        let retention = timing.retention().as_secs();
        let (first, second) = (managed(1, 1000, 1000), managed(2, 2000, 3000));
        let keys = [first.clone(), second.clone()];
        let ring = |now| KeyRing::at(&keys, at(now), &timing);
        let (one, two) = (kid(&first), kid(&second));
        for (now, signer, set, next) in [
            (999, None, vec![], Some(1000)),
            (1000, Some(one), vec![one], Some(2000)),
            (2000, Some(one), vec![one, two], Some(3000)),
            (3000, Some(two), vec![one, two], Some(3000 + retention)),
            (3000 + retention, Some(two), vec![two], None),
        ] {
            let ring = ring(now);
            assert_eq!((signs(&ring), published(&ring)), (signer, set), "at {now}");
            assert_eq!(ring.next_transition(), next.map(at), "at {now}");
        }
        // A replica whose clock is ahead may sign with it already.
        assert!(ring(1500).verification_key(two).is_some());
        assert!(ring(3000 + retention).verification_key(one).is_none());
    }

    #[test]
    fn a_configured_key_signs_while_others_verify() {
        let configured = ManagedKey::from(SigningKey::generate(ALG).unwrap());
        let other = managed(1, 1000, 1000);
        let keys = [other.clone(), configured.clone()];
        let ring = KeyRing::at(&keys, at(1000), &KeyTiming::default());
        assert_eq!(signs(&ring), Some(kid(&configured)));
        assert_eq!(published(&ring), [kid(&configured), kid(&other)]);
        assert!(ring.verification_key(kid(&other)).is_some());
    }

    #[test]
    fn a_key_that_cannot_be_used_still_ends_the_one_before() {
        let (first, mut second) = (managed(1, 1000, 1000), managed(2, 2000, 3000));
        second.key = None;
        let keys = [first.clone(), second];
        let ring = KeyRing::at(&keys, at(3000), &KeyTiming::default());
        assert_eq!(signs(&ring), None);
        assert!(ring.verification_key(kid(&first)).is_some());
    }

    #[test]
    fn what_is_prepared_or_revoked_is_unknown() {
        let (mut prepared, mut revoked) = (managed(1, 0, 0), managed(2, 0, 0));
        prepared.instants = Some(KeyInstants { generation: 1, ..KeyInstants::default() });
        revoked.instants =
            revoked.instants.map(|instants| KeyInstants { revoked_at: Some(at(9000)), ..instants });
        let keys = [prepared, revoked];
        let ring = KeyRing::at(&keys, at(1000) + Duration::from_secs(1), &KeyTiming::default());
        assert_eq!(signs(&ring), None);
        assert!(keys.iter().all(|key| ring.verification_key(kid(key)).is_none()));
        assert_eq!(published(&ring), [""; 0]);
    }
}
