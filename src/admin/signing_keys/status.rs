//! What an operator sees of a key: everything but the key.

use crate::{
    clock::Timestamp,
    jose::{KeyLife, KeyState, SigningAlgorithm},
    oauth::store::KeyRecord,
};

/// A key of the store and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// The RFC 7638 thumbprint.
    pub kid: String,
    /// What it signs with.
    pub alg: SigningAlgorithm,
    /// 1 for the first key of the algorithm.
    pub generation: u64,
    /// What it is used for now.
    pub state: KeyState,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it entered the key set, or will.
    pub published_from: Option<Timestamp>,
    /// When it began to sign, or will.
    pub active_from: Option<Timestamp>,
    /// When it stopped signing, or will.
    pub retired_from: Option<Timestamp>,
    /// When it leaves the key set, or left it.
    pub unpublished_from: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When its private half was destroyed.
    pub destroyed_at: Option<Timestamp>,
    /// Grows with every change.
    pub revision: u64,
}

impl KeyStatus {
    pub(super) fn new(record: &KeyRecord, life: &KeyLife, now: Timestamp) -> Self {
        Self {
            kid: record.kid.clone(),
            alg: record.alg,
            generation: record.generation,
            state: life.state(now),
            created_at: record.created_at,
            published_from: life.published_from(),
            active_from: life.active_from(),
            retired_from: life.retired_from(),
            unpublished_from: record.revoked_at.or(life.destroyed_from()),
            revoked_at: record.revoked_at,
            destroyed_at: record.destroyed_at,
            revision: record.revision,
        }
    }
}
