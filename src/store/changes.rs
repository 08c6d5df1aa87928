//! The change feed.

use std::sync::{Mutex, PoisonError};

use super::{
    Database, Store,
    revocations::{self, read_revocation},
    value::{Outcome, Row, Statement, Step, single_integer},
};
use crate::{
    clock::Timestamp,
    oauth::{
        client::ClientId,
        store::{Change, ChangeFeed, Changes, Sequence, State, StoreError},
    },
};

/// Takes the next sequence. The row stays locked until the end of the transaction, so the next writer waits here.
const NEXT: &str = "UPDATE feed SET sequence = sequence + 1 WHERE id = 1 RETURNING sequence";
const ADD: &str =
    "INSERT INTO changes (sequence, kind, subject) SELECT sequence, $1, $2 FROM feed WHERE id = 1";
const FEED: &str = "SELECT incarnation, sequence, known_after FROM feed WHERE id = 1";
const AFTER: &str = "SELECT c.sequence, c.kind, c.subject, r.sequence, r.kind, r.subject, r.issued_until, r.revoked_at, r.expires_at \
                     FROM changes c LEFT JOIN revocations r ON r.sequence = c.sequence \
                     WHERE c.sequence > $1 ORDER BY c.sequence LIMIT 1000";

pub(super) const CLIENT: &str = "client";
pub(super) const KEYS: &str = "keys";
pub(super) const REVOCATION: &str = "revocation";

/// The first step of a transaction that others must learn of.
pub(super) fn next() -> Step {
    Step::must(NEXT, Vec::new())
}

/// What others are to learn, at the sequence that was taken last.
pub(super) fn add(kind: &str, subject: &str) -> Step {
    Step::must(ADD, vec![kind.into(), subject.into()])
}

/// The sequence that the step at `at`, a [`next`], took.
pub(super) fn taken(results: &[Vec<Row>], at: usize) -> Result<Sequence, StoreError> {
    single_integer(results.get(at).map_or(&[], Vec::as_slice))
}

/// The sequence of a transaction whose first step is [`next`], or the step that changed nothing.
pub(super) fn sequence(outcome: Outcome) -> Result<Result<Sequence, usize>, StoreError> {
    match outcome {
        Outcome::Done(results) => taken(&results, 0).map(Ok),
        Outcome::Undone(at) => Ok(Err(at)),
    }
}

/// The row of the feed.
#[derive(Clone, Debug)]
struct Feed {
    incarnation: String,
    sequence: Sequence,
    /// Changes up to here may be forgotten.
    known_after: Sequence,
}

/// The feed as it was at a data version of SQLite: while that stays the same nothing needs to be read.
#[derive(Debug, Default)]
pub(super) struct FeedCache(Mutex<Option<(i64, Feed)>>);

impl Store {
    async fn feed(&self) -> Result<Feed, StoreError> {
        let version = match &*self.database {
            Database::Sqlite(sqlite) => {
                self.ready().await?;
                sqlite.data_version().await?
            }
            Database::Postgres(_) => None,
        };
        // Asked for before the feed is read: a commit in between makes the next version differ.
        let Some(version) = version else { return self.read_feed().await };
        let cached = self.feed.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, feed)) = cached
            && at == version
        {
            return Ok(feed);
        }
        let feed = self.read_feed().await?;
        *self.feed.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((version, feed.clone()));
        Ok(feed)
    }

    async fn read_feed(&self) -> Result<Feed, StoreError> {
        read_feed(&self.read(FEED, Vec::new()).await?)
    }
}

fn read_feed(rows: &[Row]) -> Result<Feed, StoreError> {
    let mut row =
        rows.first().cloned().ok_or_else(|| StoreError::Corrupt("the feed has no row".to_owned()))?;
    Ok(Feed { incarnation: row.text()?, sequence: row.integer()?, known_after: row.integer()? })
}

#[async_trait::async_trait]
impl ChangeFeed for Store {
    async fn state(&self, now: Timestamp) -> Result<State, StoreError> {
        let statements = vec![
            Statement::new(FEED, Vec::new()),
            Statement::new(super::keys::LIST, Vec::new()),
            Statement::new(revocations::LIVE, vec![now.into()]),
        ];
        let mut results = self.snapshot(statements).await?.into_iter();
        let mut rows = || results.next().unwrap_or_default();
        let Feed { incarnation, sequence, .. } = read_feed(&rows())?;
        let keys = super::keys::read_keys(rows())?;
        let revocations = rows().into_iter().map(read_revocation).collect::<Result<_, _>>()?;
        Ok(State { incarnation, sequence, keys, revocations })
    }

    async fn changes(&self, incarnation: &str, after: Sequence) -> Result<Changes, StoreError> {
        let feed = self.feed().await?;
        if feed.incarnation != incarnation || after < feed.known_after || after > feed.sequence {
            return Ok(Changes::Gap);
        }
        if after == feed.sequence {
            return Ok(Changes::After { changes: Vec::new(), sequence: after });
        }
        let rows = self.read(AFTER, vec![after.into()]).await?;
        let mut changes = Vec::with_capacity(rows.len());
        let mut reached = after;
        for mut row in rows {
            let sequence = row.integer()?;
            // Forgotten since the feed was read.
            if sequence != reached + 1 {
                return Ok(Changes::Gap);
            }
            reached = sequence;
            if let Some(change) = read_change(row)? {
                changes.push((sequence, change));
            }
        }
        if reached == after { Ok(Changes::Gap) } else { Ok(Changes::After { changes, sequence: reached }) }
    }

    async fn hint(&self) {
        self.hint.notified().await;
    }
}

/// `None` for a revocation that has expired, or that a later change is about again.
fn read_change(mut row: Row) -> Result<Option<Change>, StoreError> {
    let (kind, subject) = (row.text()?, row.text()?);
    match &*kind {
        CLIENT => {
            let client_id =
                ClientId::parse(&subject).map_err(|_| StoreError::Corrupt("a client_id".to_owned()))?;
            Ok(Some(Change::Client(client_id)))
        }
        KEYS => Ok(Some(Change::Keys)),
        REVOCATION if row.clone().maybe_integer()?.is_none() => Ok(None),
        REVOCATION => read_revocation(row).map(Change::Revocation).map(Some),
        _ => Err(StoreError::Corrupt(format!("a change of the unknown kind {kind}"))),
    }
}
