//! The keys of a running server: those that are configured and those of the store, as one ring that is current.
//!
//! A request takes the ring and never waits. The ring is replaced when the records of the store have changed and when an
//! instant of a key's life has come.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::store::{KeyRecord, KeyStore, StoreError};
use crate::{
    clock::Timestamp,
    jose::{
        KeyInstants, KeyRing, KeyTiming, ManagedKey, SigningAlgorithm, SigningKey, key_ring::DuplicateKey,
        verification_key::InvalidKey,
    },
    sealing::{MasterKeys, Unopened},
};

/// The keys of a running server.
pub struct Keys {
    ring: ArcSwap<KeyRing>,
    source: Mutex<Source>,
    /// Follows the ring, and tells when another set is published.
    published: watch::Sender<Arc<KeyRing>>,
    configured: Vec<ManagedKey>,
    configured_elsewhere: Option<SigningAlgorithm>,
    master: Option<Arc<MasterKeys>>,
    timing: KeyTiming,
}

/// What rings are made of.
#[derive(Default)]
struct Source {
    stored: Vec<ManagedKey>,
    /// Opened once, since parsing a private key costs as much as a signature.
    opened: HashMap<String, Arc<SigningKey>>,
    /// How often records were taken over.
    installed: u64,
}

/// A key of the store cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key {kid} ({alg}) cannot be used: {reason}")]
pub struct UnusableKey {
    /// Its identifier.
    pub kid: String,
    /// What it would sign with.
    pub alg: SigningAlgorithm,
    /// Why.
    pub reason: UnusableKeyReason,
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableKeyReason {
    /// It does not open.
    #[error("{0}")]
    Unopened(#[from] Unopened),
    /// It opens and is no key.
    #[error("{0}")]
    Invalid(#[from] InvalidKey),
    /// It opens and is another key.
    #[error("it is another key than its kid says")]
    OtherKey,
    /// There is nothing to open it with.
    #[error("there is no master key; set MINTAGE_MASTER_KEY or MINTAGE_MASTER_KEY_FILE")]
    NoMasterKey,
}

/// Some keys of the store cannot be used; the others are in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableKeys(pub Vec<UnusableKey>);

impl fmt::Display for UnusableKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, key) in self.0.iter().enumerate() {
            write!(f, "{}{key}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnusableKeys {}

impl Keys {
    /// Keys of a store, none of which is read yet, beside configured ones.
    ///
    /// # Errors
    /// [`DuplicateKey`] when two configured keys are for one algorithm, or are one key.
    pub fn new(
        configured: Vec<SigningKey>,
        master: Arc<MasterKeys>,
        timing: KeyTiming,
    ) -> Result<Self, DuplicateKey> {
        Self::build(configured, Some(master), timing)
    }

    /// Configured keys alone.
    ///
    /// # Errors
    /// As [`Keys::new`].
    pub fn fixed(configured: Vec<SigningKey>) -> Result<Self, DuplicateKey> {
        Self::build(configured, None, KeyTiming::default())
    }

    fn build(
        configured: Vec<SigningKey>,
        master: Option<Arc<MasterKeys>>,
        timing: KeyTiming,
    ) -> Result<Self, DuplicateKey> {
        let mut seen: Vec<ManagedKey> = Vec::with_capacity(configured.len());
        for key in configured {
            let (alg, kid) = (key.alg(), key.kid().to_owned());
            let is_taken = |other: &ManagedKey| {
                other.alg == alg || other.key.as_ref().is_some_and(|other| other.kid() == kid)
            };
            if seen.iter().any(is_taken) {
                return Err(DuplicateKey { alg, kid });
            }
            seen.push(key.into());
        }
        let ring = Arc::new(KeyRing::at(&seen, Timestamp::from_seconds(0), &timing));
        Ok(Self {
            ring: ArcSwap::new(Arc::clone(&ring)),
            source: Mutex::default(),
            published: watch::Sender::new(ring),
            configured: seen,
            configured_elsewhere: None,
            master,
            timing,
        })
    }

    /// The same for a process that does not sign and need not read the configured key: this algorithm has one.
    #[must_use]
    pub fn with_configured(self, alg: Option<SigningAlgorithm>) -> Self {
        Self { configured_elsewhere: alg, ..self }
    }

    /// The ring that counts now. Hold it for one request, not longer.
    pub fn current(&self) -> Guard<Arc<KeyRing>> {
        self.ring.load()
    }

    /// Follows the ring whenever it publishes another set.
    pub fn subscribe(&self) -> watch::Receiver<Arc<KeyRing>> {
        self.published.subscribe()
    }

    /// How long the steps of a key's life last.
    pub fn timing(&self) -> &KeyTiming {
        &self.timing
    }

    /// Whether a configured key signs for this algorithm, so that the store needs none.
    pub fn is_configured(&self, alg: SigningAlgorithm) -> bool {
        self.configured_elsewhere == Some(alg) || self.configured.iter().any(|key| key.alg == alg)
    }

    /// Reads every record of the store and takes it over. Keys that cannot be opened are returned; the others are in use.
    ///
    /// # Errors
    /// [`StoreError`]; the keys stay as they were.
    pub async fn reload(&self, store: &dyn KeyStore, now: Timestamp) -> Result<Vec<UnusableKey>, StoreError> {
        loop {
            let before = self.lock().installed;
            let records = store.list().await?;
            let mut source = self.lock();
            // What somebody else took over meanwhile may be newer.
            if source.installed == before {
                return Ok(self.take_over(&mut source, &records, now));
            }
        }
    }

    /// Takes over every record of the store.
    ///
    /// # Errors
    /// [`UnusableKeys`] names keys that could not be opened; the others are in use all the same.
    pub fn install(&self, records: &[KeyRecord], now: Timestamp) -> Result<(), UnusableKeys> {
        let unusable = self.take_over(&mut self.lock(), records, now);
        if unusable.is_empty() { Ok(()) } else { Err(UnusableKeys(unusable)) }
    }

    fn take_over(&self, source: &mut Source, records: &[KeyRecord], now: Timestamp) -> Vec<UnusableKey> {
        let mut opened = HashMap::new();
        let mut unusable = Vec::new();
        let mut stored = Vec::with_capacity(records.len());
        for record in records {
            let mut key = None;
            // A key that is destroyed or revoked is nothing but its instants.
            if !record.sealed.is_empty() && record.revoked_at.is_none() {
                let known = source.opened.get(&record.kid).cloned();
                match known.map_or_else(|| self.open(record), Ok) {
                    Ok(usable) => {
                        opened.insert(record.kid.clone(), Arc::clone(&usable));
                        key = Some(usable);
                    }
                    Err(reason) => {
                        unusable.push(UnusableKey { kid: record.kid.clone(), alg: record.alg, reason });
                    }
                }
            }
            stored.push(ManagedKey { alg: record.alg, key, instants: Some(instants(record)) });
        }
        *source = Source { stored, opened, installed: source.installed + 1 };
        self.rebuild(source, now);
        unusable
    }

    /// Replaces the ring when an instant of a key's life has come. Returns whether it did.
    pub fn refresh(&self, now: Timestamp) -> bool {
        let is_due = |ring: &KeyRing| ring.next_transition().is_some_and(|at| at <= now);
        if !is_due(&self.current()) {
            return false;
        }
        self.rebuild(&self.lock(), now);
        true
    }

    fn rebuild(&self, source: &Source, now: Timestamp) {
        let keys = [&self.configured[..], &source.stored].concat();
        let ring = Arc::new(KeyRing::at(&keys, now, &self.timing));
        self.ring.store(Arc::clone(&ring));
        self.published.send_if_modified(|last| {
            let differs = last.published() != ring.published();
            *last = ring;
            differs
        });
    }

    fn open(&self, record: &KeyRecord) -> Result<Arc<SigningKey>, UnusableKeyReason> {
        // A change of the master key leaves the kid alone, so that what is open stays open.
        let master = self.master.as_ref().ok_or(UnusableKeyReason::NoMasterKey)?;
        let der = master.open(&sealing_context(&record.kid), &record.sealed)?;
        let key = SigningKey::from_pkcs8(record.alg, &der)?;
        if key.kid() == record.kid { Ok(Arc::new(key)) } else { Err(UnusableKeyReason::OtherKey) }
    }

    fn lock(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("ring", &self.current()).finish_non_exhaustive()
    }
}

/// What a private key is sealed for.
pub fn sealing_context(kid: &str) -> String {
    format!("signing-key/{kid}")
}

/// The instants of a record.
pub fn instants(record: &KeyRecord) -> KeyInstants {
    KeyInstants {
        generation: record.generation,
        publish_at: record.publish_at,
        activate_at: record.activate_at,
        retired_at: record.retired_at,
        revoked_at: record.revoked_at,
        destroyed_at: record.destroyed_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    const ALG: SigningAlgorithm = SigningAlgorithm::EdDSA;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn master() -> Arc<MasterKeys> {
        Arc::new(MasterKeys::parse(&MasterKeys::generate(&SystemRandom).unwrap()).unwrap())
    }

    fn record(master: &MasterKeys, generation: u64, activate_at: u64) -> KeyRecord {
        let der = SigningKey::generate_pkcs8(ALG).unwrap();
        let kid = SigningKey::from_pkcs8(ALG, &der).unwrap().kid().to_owned();
        KeyRecord {
            sealed: master.seal(&sealing_context(&kid), der.expose(), &SystemRandom).unwrap(),
            kid,
            alg: ALG,
            generation,
            created_at: at(0),
            publish_at: Some(at(0)),
            activate_at: Some(at(activate_at)),
            retired_at: None,
            revoked_at: None,
            destroyed_at: None,
            revision: 1,
        }
    }

    fn signs(keys: &Keys) -> Option<String> {
        keys.current().signing_key(ALG).map(|key| key.kid().to_owned())
    }

    #[test]
    fn the_ring_follows_the_store_and_the_time() {
        let master = master();
        let keys = Keys::new(Vec::new(), Arc::clone(&master), KeyTiming::default()).unwrap();
        assert_eq!(signs(&keys), None);
        let (first, second) = (record(&master, 1, 0), record(&master, 2, 2000));
        keys.install(&[first.clone(), second.clone()], at(1000)).unwrap();
        assert_eq!(signs(&keys), Some(first.kid));
        assert!(!keys.refresh(at(1999)));
        assert!(keys.refresh(at(2000)));
        assert_eq!(signs(&keys), Some(second.kid));
        assert!(!keys.refresh(at(2001)));
    }

    #[test]
    fn a_key_is_opened_once() {
        let master = master();
        let keys = Keys::new(Vec::new(), Arc::clone(&master), KeyTiming::default()).unwrap();
        let mut record = record(&master, 1, 0);
        keys.install(std::slice::from_ref(&record), at(0)).unwrap();
        let before = Arc::clone(keys.current().signing_key(ALG).unwrap());
        record.sealed = master.seal(&sealing_context(&record.kid), b"not read", &SystemRandom).unwrap();
        keys.install(&[record], at(1)).unwrap();
        assert!(Arc::ptr_eq(&before, keys.current().signing_key(ALG).unwrap()));
    }

    #[test]
    fn a_key_that_does_not_open_leaves_the_others_working() {
        let master = master();
        let keys = Keys::new(Vec::new(), Arc::clone(&master), KeyTiming::default()).unwrap();
        let good = record(&master, 5, 500);
        let foreign = record(&self::master(), 1, 0);
        let mut swapped = record(&master, 2, 0);
        swapped.sealed = good.sealed.clone();
        let mut other = record(&master, 3, 0);
        let der = SigningKey::generate_pkcs8(ALG).unwrap();
        other.sealed = master.seal(&sealing_context(&other.kid), der.expose(), &SystemRandom).unwrap();
        let mut text = record(&master, 4, 0);
        text.sealed = master.seal(&sealing_context(&text.kid), b"text", &SystemRandom).unwrap();
        let bad = [foreign, swapped, other, text];
        let mut all = bad.to_vec();
        all.push(good.clone());
        let UnusableKeys(unusable) = keys.install(&all, at(1000)).unwrap_err();
        let told: Vec<_> = unusable.iter().map(|key| (key.kid.clone(), key.reason)).collect();
        let kid = |index: usize| bad[index].kid.clone();
        assert_eq!(
            told,
            [
                (kid(0), UnusableKeyReason::Unopened(Unopened::OtherKey)),
                (kid(1), UnusableKeyReason::Unopened(Unopened::Damaged)),
                (kid(2), UnusableKeyReason::OtherKey),
                (kid(3), UnusableKeyReason::Invalid(InvalidKey)),
            ]
        );
        assert_eq!(signs(&keys), Some(good.kid));
    }

    #[test]
    fn without_a_master_key_configured_keys_work_and_no_others() {
        let configured = SigningKey::generate(ALG).unwrap();
        let kid = configured.kid().to_owned();
        let keys = Keys::fixed(vec![configured]).unwrap();
        let stored = record(&master(), 1, 0);
        let problem = keys.install(std::slice::from_ref(&stored), at(0)).unwrap_err();
        assert_eq!(problem.0[0].reason, UnusableKeyReason::NoMasterKey);
        assert!(problem.to_string().contains(&stored.kid));
        assert_eq!(signs(&keys), Some(kid));
        assert!(keys.is_configured(ALG) && !keys.is_configured(SigningAlgorithm::RS256));
        let two = || SigningKey::generate(ALG).unwrap();
        assert!(Keys::fixed(vec![two(), two()]).is_err());
    }

    #[test]
    fn who_subscribes_hears_of_another_set_alone() {
        let master = master();
        let keys = Keys::new(Vec::new(), Arc::clone(&master), KeyTiming::default()).unwrap();
        let mut changes = keys.subscribe();
        let (first, second) = (record(&master, 1, 0), record(&master, 2, 2000));
        keys.install(&[first.clone(), second.clone()], at(1000)).unwrap();
        assert!(changes.has_changed().unwrap());
        assert_eq!(changes.borrow_and_update().published().keys.len(), 2);
        keys.install(&[first, second], at(1000)).unwrap();
        keys.refresh(at(2000));
        assert!(!changes.has_changed().unwrap(), "another key signs, the same are published");
        let retention = keys.timing().retention();
        keys.refresh(at(2000) + retention);
        assert!(changes.has_changed().unwrap());
        assert_eq!(changes.borrow_and_update().published().keys.len(), 1);
    }
}
