//! Signing keys and sealed values.

use super::{
    Store, changes, revocations,
    value::{Outcome, Row, Step, Value},
};
use crate::oauth::store::{KeyRecord, KeyStore, KeyWrite, NewRevocation, Sequence, StoreError};

pub(super) const LIST: &str = "SELECT kid, alg, generation, sealed, created_at, publish_at, activate_at, retired_at, revoked_at, destroyed_at, revision \
                               FROM signing_keys";
pub(super) const INSERT: &str = "INSERT INTO signing_keys (kid, alg, generation, sealed, created_at, publish_at, activate_at, retired_at, revoked_at, destroyed_at, revision) \
                                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
const UPDATE: &str = "UPDATE signing_keys SET alg = $2, generation = $3, sealed = $4, created_at = $5, publish_at = $6, activate_at = $7, \
                      retired_at = $8, revoked_at = $9, destroyed_at = $10, revision = $11 WHERE kid = $1 AND revision = $11 - 1";
const REMOVE: &str = "DELETE FROM signing_keys WHERE kid = $1 AND destroyed_at IS NOT NULL";
/// A key that was destroyed meanwhile stays destroyed.
const RESEAL: &str = "UPDATE signing_keys SET sealed = $2 WHERE kid = $1 AND destroyed_at IS NULL";
pub(super) const INSERT_VALUE: &str = "INSERT INTO sealed_values (name, sealed) VALUES ($1, $2)";
const RESEAL_VALUE: &str = "UPDATE sealed_values SET sealed = $2 WHERE name = $1";

#[async_trait::async_trait]
impl KeyStore for Store {
    async fn list(&self) -> Result<Vec<KeyRecord>, StoreError> {
        read_keys(self.read(LIST, Vec::new()).await?)
    }

    async fn write(&self, keys: &[KeyWrite], revocations: &[NewRevocation]) -> Result<Sequence, StoreError> {
        let mut steps = vec![changes::next()];
        steps.extend(keys.iter().map(step));
        steps.push(changes::add(changes::KEYS, ""));
        // Each has a sequence of its own.
        for revocation in revocations {
            steps.push(changes::next());
            steps.push(Step { at_least: 0, ..revocations::keep(revocation) });
            steps.push(changes::add(changes::REVOCATION, ""));
        }
        match Store::write(self, steps).await? {
            // The transaction reaches as far as the last sequence it took.
            Outcome::Done(results) => changes::taken(&results, last_taken(keys.len(), revocations.len())),
            Outcome::Undone(at) => Err(match at.checked_sub(1).and_then(|at| keys.get(at)) {
                Some(KeyWrite::Update(KeyRecord { kid, .. }) | KeyWrite::Remove { kid }) => {
                    self.why_not(kid).await?
                }
                Some(KeyWrite::Add(_)) | None => StoreError::Conflict,
            }),
        }
    }

    async fn sealed_value(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let rows = self.read("SELECT sealed FROM sealed_values WHERE name = $1", vec![name.into()]).await?;
        rows.into_iter().next().map(|mut row| row.blob()).transpose()
    }

    async fn keep_sealed_value(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        if let Some(kept) = self.sealed_value(name).await? {
            return Ok(kept);
        }
        let sql = format!("{INSERT_VALUE} ON CONFLICT (name) DO NOTHING");
        self.write_quietly(vec![Step::new(sql, vec![name.into(), sealed.into()])]).await?;
        self.sealed_value(name).await?.ok_or(StoreError::NotFound)
    }

    async fn sealed_values(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let rows = self.read("SELECT name, sealed FROM sealed_values ORDER BY name", Vec::new()).await?;
        rows.into_iter().map(|mut row| Ok((row.text()?, row.blob()?))).collect()
    }

    async fn reseal(
        &self,
        keys: &[(String, Vec<u8>)],
        values: &[(String, Vec<u8>)],
    ) -> Result<Sequence, StoreError> {
        let step = |sql: &'static str| {
            move |(name, sealed): &(String, Vec<u8>)| {
                Step::must(sql, vec![name.as_str().into(), sealed.as_slice().into()])
            }
        };
        let mut steps = vec![changes::next()];
        steps.extend(keys.iter().map(step(RESEAL)));
        steps.extend(values.iter().map(step(RESEAL_VALUE)));
        steps.push(changes::add(changes::KEYS, ""));
        match changes::sequence(Store::write(self, steps).await?)? {
            Ok(sequence) => Ok(sequence),
            Err(at) => Err(match at.checked_sub(1).and_then(|at| keys.get(at)) {
                Some((kid, _)) => self.why_not(kid).await?,
                None => StoreError::NotFound,
            }),
        }
    }
}

impl Store {
    /// Why a key could not be changed.
    async fn why_not(&self, kid: &str) -> Result<StoreError, StoreError> {
        let rows = self.read("SELECT 1 FROM signing_keys WHERE kid = $1", vec![kid.into()]).await?;
        Ok(if rows.is_empty() { StoreError::NotFound } else { StoreError::Conflict })
    }
}

/// Where the last [`changes::next`] of a write stands: the first step, or the first of the three of the last revocation.
fn last_taken(keys: usize, revocations: usize) -> usize {
    match revocations {
        0 => 0,
        _ => 2 + keys + 3 * (revocations - 1),
    }
}

fn step(write: &KeyWrite) -> Step {
    match write {
        KeyWrite::Add(record) => Step::must(INSERT, values(record)),
        KeyWrite::Update(record) => Step::must(UPDATE, values(record)),
        KeyWrite::Remove { kid } => Step::must(REMOVE, vec![kid.as_str().into()]),
    }
}

/// In the order of the columns of [`LIST`].
pub(super) fn values(key: &KeyRecord) -> Vec<Value> {
    vec![
        key.kid.as_str().into(),
        key.alg.as_str().into(),
        key.generation.into(),
        key.sealed.as_slice().into(),
        key.created_at.into(),
        key.publish_at.into(),
        key.activate_at.into(),
        key.retired_at.into(),
        key.revoked_at.into(),
        key.destroyed_at.into(),
        key.revision.into(),
    ]
}

/// Keys ordered by algorithm and generation.
pub(super) fn read_keys(rows: Vec<Row>) -> Result<Vec<KeyRecord>, StoreError> {
    let mut keys = rows.into_iter().map(read_key).collect::<Result<Vec<_>, _>>()?;
    keys.sort_by_key(|key| (key.alg, key.generation));
    Ok(keys)
}

fn read_key(mut row: Row) -> Result<KeyRecord, StoreError> {
    Ok(KeyRecord {
        kid: row.text()?,
        alg: row.text()?.parse().map_err(|_| {
            StoreError::Corrupt("a signing key has an algorithm this version does not know".to_owned())
        })?,
        generation: row.integer()?,
        sealed: row.blob()?,
        created_at: row.instant()?,
        publish_at: row.maybe_instant()?,
        activate_at: row.maybe_instant()?,
        retired_at: row.maybe_instant()?,
        revoked_at: row.maybe_instant()?,
        destroyed_at: row.maybe_instant()?,
        revision: row.integer()?,
    })
}
