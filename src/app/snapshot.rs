//! The snapshot file: what a replica needs to serve when it starts while its store is down.
//!
//! It holds the keys, the revocations and the clients that were in use, sealed under the master key. It is as old as
//! `saved_at` says: everything that depends on the age of what a replica knows counts from there.

use std::path::Path;

use base64::engine::{Engine, general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    oauth::store::{ClientRecord, State},
    private_file,
    random::Random,
    sealing::MasterKeys,
};

const CONTEXT: &str = "snapshot/1";

/// A snapshot is not read when it is larger than this, in bytes.
const MAX_LENGTH: u64 = 1 << 30;

/// What a replica knew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Snapshot {
    /// When the store was last followed.
    pub(super) saved_at: Timestamp,
    /// Keys and revocations.
    pub(super) state: State,
    /// Sealed values by name, in base64url.
    values: Vec<(String, String)>,
    /// Clients that were in use.
    pub(super) clients: Vec<ClientRecord>,
}

impl Snapshot {
    pub(super) fn new(
        saved_at: Timestamp,
        state: State,
        values: Vec<(String, Vec<u8>)>,
        clients: Vec<ClientRecord>,
    ) -> Self {
        let values =
            values.into_iter().map(|(name, sealed)| (name, URL_SAFE_NO_PAD.encode(sealed))).collect();
        Self { saved_at, state, values, clients }
    }

    /// A sealed value.
    pub(super) fn value(&self, name: &str) -> Option<Vec<u8>> {
        let (_, text) = self.values.iter().find(|(other, _)| other == name)?;
        URL_SAFE_NO_PAD.decode(text).ok()
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// A sentence; the old file is then as it was.
    pub(super) fn save(&self, path: &Path, master: &MasterKeys, random: &dyn Random) -> Result<(), String> {
        let text = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        let sealed = master.seal(CONTEXT, &text, random).map_err(|error| error.to_string())?;
        private_file::replace(path, &sealed)
    }

    /// Reads the file; `None` when there is none.
    ///
    /// # Errors
    /// A sentence that says why it is of no use.
    pub(super) fn load(path: &Path, master: &MasterKeys) -> Result<Option<Self>, String> {
        let Some(sealed) = private_file::read(path, MAX_LENGTH)? else { return Ok(None) };
        let text = master.open(CONTEXT, &sealed).map_err(|error| format!("cannot be opened: {error}"))?;
        serde_json::from_slice(text.expose()).map(Some).map_err(|_| "is of another version".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    #[test]
    fn a_snapshot_is_read_back_under_its_master_key_alone() {
        let keys = || MasterKeys::parse(&MasterKeys::generate(&SystemRandom).unwrap()).unwrap();
        let (master, other) = (keys(), keys());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("snapshot");
        assert_eq!(Snapshot::load(&path, &master), Ok(None));
        let state = State { incarnation: "a".into(), sequence: 7, keys: vec![], revocations: vec![] };
        let snapshot =
            Snapshot::new(Timestamp::from_seconds(5), state, vec![("x".into(), vec![1, 2])], vec![]);
        snapshot.save(&path, &master, &SystemRandom).unwrap();
        snapshot.save(&path, &master, &SystemRandom).unwrap();
        assert_eq!(Snapshot::load(&path, &master), Ok(Some(snapshot.clone())));
        assert_eq!(snapshot.value("x"), Some(vec![1, 2]));
        assert!(Snapshot::load(&path, &other).is_err());
        std::fs::write(&path, b"garbage").unwrap();
        assert!(Snapshot::load(&path, &master).is_err());
    }
}
