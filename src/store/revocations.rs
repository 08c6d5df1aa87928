//! Revocations.

use super::{
    Store, changes,
    clients::done,
    value::{Outcome, Row, Step, Value, rows, single_integer},
};
use crate::{
    clock::Timestamp,
    oauth::{
        client::ClientId,
        store::{NewRevocation, Revocation, RevocationStore, Revoked, StoreError},
    },
};

/// Keeps the revocation at the sequence taken last. One of the same thing is replaced only when the new one reaches
/// further, in time of issue or of expiry, and keeps the greater of both.
const KEEP: &str = "INSERT INTO revocations (kind, subject, sequence, issued_until, revoked_at, expires_at) \
    SELECT $1, $2, sequence, $3, $4, $5 FROM feed WHERE id = 1 \
    ON CONFLICT (kind, subject) DO UPDATE SET \
    sequence = excluded.sequence, revoked_at = excluded.revoked_at, \
    issued_until = CASE WHEN excluded.issued_until > revocations.issued_until THEN excluded.issued_until ELSE revocations.issued_until END, \
    expires_at = CASE WHEN excluded.expires_at > revocations.expires_at THEN excluded.expires_at ELSE revocations.expires_at END \
    WHERE excluded.issued_until > revocations.issued_until OR excluded.expires_at > revocations.expires_at";
const GET: &str = "SELECT sequence, kind, subject, issued_until, revoked_at, expires_at FROM revocations WHERE kind = $1 AND subject = $2";
pub(super) const LIVE: &str = "SELECT sequence, kind, subject, issued_until, revoked_at, expires_at FROM revocations \
                               WHERE expires_at >= $1 ORDER BY sequence";
const INSERT_ROWS: &str =
    "INSERT INTO revocations (sequence, kind, subject, issued_until, revoked_at, expires_at)";

/// Purged in portions, so that no transaction takes long.
const PORTION: u64 = 5000;
const EXPIRED: &str =
    "SELECT COUNT(*) FROM (SELECT 1 FROM revocations WHERE expires_at < $1 LIMIT 1) AS expired";
const PURGE: &str = "DELETE FROM revocations WHERE sequence IN \
                     (SELECT sequence FROM revocations WHERE expires_at < $1 LIMIT 5000) RETURNING 1";
/// The newest changes that are kept for those who were away.
const KEPT_CHANGES: u64 = 10_000;
/// Not at every purge, but when there is some work to do.
const FORGETTABLE: &str = "SELECT COUNT(*) FROM feed WHERE id = 1 AND sequence - known_after > $1";
const FORGET_UNTIL: &str =
    "UPDATE feed SET known_after = sequence - $1 WHERE id = 1 AND sequence - known_after > $1";
const FORGET: &str = "DELETE FROM changes WHERE sequence <= (SELECT known_after FROM feed WHERE id = 1)";

#[async_trait::async_trait]
impl RevocationStore for Store {
    async fn revoke(&self, revocation: &NewRevocation) -> Result<Revocation, StoreError> {
        let (kind, subject, _) = columns(&revocation.revoked);
        let get = || vec![Value::from(kind), Value::from(subject)];
        let steps = vec![
            changes::next(),
            keep(revocation),
            changes::add(changes::REVOCATION, ""),
            Step::new(GET, get()),
        ];
        let found = match self.write(steps).await? {
            Outcome::Done(mut results) => results.pop().unwrap_or_default(),
            // The kept one reaches as far.
            Outcome::Undone(_) => self.read(GET, get()).await?,
        };
        let row = found.into_iter().next();
        // It was purged this very moment: nothing is left that it could concern.
        row.map_or(Err(StoreError::NotFound), read_revocation)
    }

    async fn client_refused_until(&self, client_id: &ClientId) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.read(GET, vec![CLIENT.into(), client_id.as_str().into()]).await?;
        let found = rows.into_iter().next().map(read_revocation).transpose()?;
        Ok(found.and_then(|revocation| match revocation.revoked {
            Revoked::Client { issued_until, .. } => Some(issued_until),
            Revoked::Token { .. } | Revoked::Key { .. } => None,
        }))
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut purged = 0;
        while single_integer(&self.read(EXPIRED, vec![now.into()]).await?)? > 0 {
            let results = done(self.write_quietly(vec![Step::new(PURGE, vec![now.into()])]).await?)?;
            purged += results.first().map_or(0, |rows| rows.len() as u64);
        }
        let slack = (KEPT_CHANGES + PORTION).into();
        if single_integer(&self.read(FORGETTABLE, vec![slack]).await?)? > 0 {
            let steps =
                vec![Step::new(FORGET_UNTIL, vec![KEPT_CHANGES.into()]), Step::new(FORGET, Vec::new())];
            self.write_quietly(steps).await?;
        }
        Ok(purged)
    }
}

/// The step that keeps a revocation.
pub(super) fn keep(revocation: &NewRevocation) -> Step {
    let (kind, subject, issued_until) = columns(&revocation.revoked);
    Step::must(
        KEEP,
        vec![
            kind.into(),
            subject.into(),
            issued_until.into(),
            revocation.revoked_at.into(),
            revocation.expires_at.into(),
        ],
    )
}

/// The step that puts revocations back as they were.
pub(super) fn restore(revocations: &[Revocation]) -> Step {
    let values = revocations.iter().flat_map(|revocation| {
        let (kind, subject, issued_until) = columns(&revocation.revoked);
        [
            Value::from(revocation.sequence),
            kind.into(),
            subject.into(),
            issued_until.into(),
            revocation.revoked_at.into(),
            revocation.expires_at.into(),
        ]
    });
    Step::new(format!("{INSERT_ROWS} {}", rows(revocations.len(), 6)), values.collect())
}

const TOKEN: &str = "token";
const CLIENT: &str = "client";
const KEY: &str = "key";

/// `kind`, `subject` and `issued_until`, which only a client has.
fn columns(revoked: &Revoked) -> (&'static str, &str, u64) {
    match revoked {
        Revoked::Token { token_id } => (TOKEN, token_id, 0),
        Revoked::Client { client_id, issued_until } => (CLIENT, client_id.as_str(), issued_until.seconds()),
        Revoked::Key { kid } => (KEY, kid, 0),
    }
}

/// From `sequence, kind, subject, issued_until, revoked_at, expires_at`.
pub(super) fn read_revocation(mut row: Row) -> Result<Revocation, StoreError> {
    let sequence = row.integer()?;
    let (kind, subject, issued_until) = (row.text()?, row.text()?, row.instant()?);
    let revoked = match &*kind {
        TOKEN => Revoked::Token { token_id: subject },
        CLIENT => Revoked::Client {
            client_id: ClientId::parse(&subject)
                .map_err(|_| StoreError::Corrupt("a client_id cannot be read".to_owned()))?,
            issued_until,
        },
        KEY => Revoked::Key { kid: subject },
        _ => return Err(StoreError::Corrupt(format!("a revocation of the unknown kind {kind}"))),
    };
    Ok(Revocation { sequence, revoked, revoked_at: row.instant()?, expires_at: row.instant()? })
}
