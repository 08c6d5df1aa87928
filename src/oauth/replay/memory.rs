//! What this replica has claimed, for as long as it may be presented.

use std::collections::{BTreeMap, HashMap};

use super::ReplayKey;
use crate::clock::Timestamp;

/// Half of a digest: nobody finds two identifiers that share it, and whoever did would only hinder himself.
type Short = [u8; 16];

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// It is the first of this replica.
    Now,
    /// It is not.
    Before,
    /// There is no room to remember it.
    Forgotten,
}

/// Claims of this replica. Only time makes it forget one.
#[derive(Debug)]
pub(super) struct Memory {
    capacity: usize,
    /// Until when, in seconds since the epoch.
    claims: HashMap<Short, u64>,
    /// The same by that instant.
    by_end: BTreeMap<u64, Vec<Short>>,
    /// Until when something may be presented that found no room.
    forgotten_until: Option<Timestamp>,
}

impl Memory {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, claims: HashMap::new(), by_end: BTreeMap::new(), forgotten_until: None }
    }

    pub(super) fn len(&self) -> usize {
        self.claims.len()
    }

    pub(super) fn knows(&self, key: &ReplayKey, now: Timestamp) -> bool {
        self.claims.get(&short(key)).is_some_and(|until| *until >= now.seconds())
    }

    /// Whether something found no room that may still be presented.
    pub(super) fn has_forgotten(&self, now: Timestamp) -> bool {
        self.forgotten_until.is_some_and(|until| now <= until)
    }

    pub(super) fn claim(&mut self, key: &ReplayKey, until: Timestamp, now: Timestamp) -> Claimed {
        self.expire(now);
        if self.knows(key, now) {
            return Claimed::Before;
        }
        if self.claims.len() >= self.capacity {
            self.forgotten_until = self.forgotten_until.max(Some(until));
            return Claimed::Forgotten;
        }
        // Rounded up: part of a second is a second.
        let until = until.seconds().saturating_add(1);
        self.claims.insert(short(key), until);
        self.by_end.entry(until).or_default().push(short(key));
        Claimed::Now
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some(first) = self.by_end.first_entry()
            && *first.key() < now.seconds()
        {
            for key in first.remove() {
                self.claims.remove(&key);
            }
        }
    }
}

fn short(key: &ReplayKey) -> Short {
    let mut short = Short::default();
    short.copy_from_slice(&key[..16]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> ReplayKey {
        let mut key = ReplayKey::default();
        key[..4].copy_from_slice(&number.to_be_bytes());
        key
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    // V-17
    #[test]
    fn room_is_made_by_time_alone() {
        let mut memory = Memory::new(1000);
        for n in 0..1000 {
            assert_eq!(memory.claim(&key(n), at(100), at(10)), Claimed::Now);
        }
        assert!(!memory.has_forgotten(at(10)));
        for n in 1000..3000 {
            assert_eq!(memory.claim(&key(n), at(90), at(10)), Claimed::Forgotten);
        }
        for n in 0..1000 {
            assert_eq!(memory.claim(&key(n), at(100), at(100)), Claimed::Before);
        }
        assert!(memory.has_forgotten(at(90)) && !memory.has_forgotten(at(91)));
        assert_eq!(memory.claim(&key(5000), at(200), at(102)), Claimed::Now);
        assert_eq!((memory.len(), memory.by_end.len()), (1, 1));
    }

    #[test]
    fn a_claim_lasts_to_its_end() {
        let mut memory = Memory::new(10);
        assert_eq!(memory.claim(&key(1), at(100), at(10)), Claimed::Now);
        assert_eq!(memory.claim(&key(1), at(500), at(100)), Claimed::Before);
        assert_eq!(memory.claim(&key(2), at(300), at(100)), Claimed::Now);
        assert!(memory.knows(&key(1), at(100)));
        assert!(!memory.knows(&key(1), at(102)) && memory.knows(&key(2), at(102)));
    }
}
