//! What may be used once and was used.
//!
//! A claim is a single statement in a transaction of its own, without the row of `feed`: claims of several replicas meet
//! only when they are about the same key. Claims of one replica that wait at the same time are made durable together: one
//! commit is what a claim costs, on SQLite a sync of the disk, and a hundred of them cost hardly more than one.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::{mpsc, oneshot};

use super::{
    Database, Store,
    clients::done,
    value::{Kind, Row, Statement, Step, Value, rows},
};
use crate::{
    clock::Timestamp,
    oauth::store::{ReplayKey, ReplayStore, StoreError},
};

const INSERT_ROWS: &str = "INSERT INTO replays (digest, expires_at)";

/// Purged in portions, between which others claim.
const PORTION: u64 = 1000;
const PURGE: &str = "DELETE FROM replays WHERE digest IN \
                     (SELECT digest FROM replays WHERE expires_at < $1 LIMIT 1000) RETURNING 1";
/// Several replicas purge, and the clock of one may be ahead: what the database itself does not find expired stays.
const PURGE_SHARED: &str = "DELETE FROM replays WHERE digest IN (SELECT digest FROM replays \
                            WHERE expires_at < $1 AND expires_at < extract(epoch FROM now())::bigint LIMIT 1000) RETURNING 1";

/// Claims that are committed together at most.
const TOGETHER: usize = 256;
/// Claims that wait for a commit; one more waits before the line.
const QUEUE: usize = 1024;

/// Somebody waits for this.
struct Claim {
    key: ReplayKey,
    expires_at: u64,
    now: Timestamp,
    reply: oneshot::Sender<Result<bool, StoreError>>,
}

/// Where claims wait.
pub(super) struct Claims(mpsc::Sender<Claim>);

impl Claims {
    /// Begins to serve them. It ends when the last handle is dropped.
    pub(super) fn serve(database: Arc<Database>, statements: Arc<AtomicU64>) -> Self {
        let (claims, mut queue) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let mut waiting = Vec::with_capacity(TOGETHER);
            while queue.recv_many(&mut waiting, TOGETHER).await > 0 {
                statements.fetch_add(1, Ordering::Relaxed);
                commit(&database, waiting.drain(..)).await;
            }
        });
        Self(claims)
    }
}

/// Commits claims together, and tells each who waits. The order of the keys keeps two replicas from waiting for each other.
async fn commit(database: &Database, claims: impl Iterator<Item = Claim>) {
    let mut by_key = BTreeMap::<ReplayKey, Vec<Claim>>::new();
    // Whoever gave up has used nothing.
    for claim in claims.filter(|claim| !claim.reply.is_closed()) {
        by_key.entry(claim.key).or_default().push(claim);
    }
    // The earliest: what is expired for it is expired for all.
    let Some(now) = by_key.values().flatten().map(|claim| claim.now).min() else { return };
    let mut values = Vec::with_capacity(by_key.len() * 2 + 1);
    for (key, claims) in &by_key {
        values.push(Value::from(key.as_slice()));
        values.push(claims.iter().map(|claim| claim.expires_at).max().unwrap_or_default().into());
    }
    values.push(now.into());
    let sql = format!(
        "{INSERT_ROWS} {} ON CONFLICT (digest) DO UPDATE SET expires_at = excluded.expires_at \
         WHERE replays.expires_at < ${} RETURNING digest",
        rows(by_key.len(), 2),
        values.len()
    );
    let claimed = run(database, Statement::new(sql, values)).await;
    for (key, claims) in by_key {
        for (at, claim) in claims.into_iter().enumerate() {
            let result = claimed.as_ref().map(|claimed| at == 0 && claimed.contains(key.as_slice()));
            // Whoever waited may be gone by now: the key stays claimed.
            let _ = claim.reply.send(result.map_err(Clone::clone));
        }
    }
}

/// The keys that were claimed by this statement.
async fn run(database: &Database, statement: Statement) -> Result<HashSet<Vec<u8>>, StoreError> {
    let found = match database {
        Database::Sqlite(sqlite) => {
            let step = Step { statement, at_least: 0 };
            done(sqlite.write(vec![step], Kind::Quiet).await?)?.pop().unwrap_or_default()
        }
        Database::Postgres(postgres) => postgres.write_once(&statement).await?,
    };
    found.into_iter().map(|mut row: Row| row.blob()).collect()
}

#[async_trait::async_trait]
impl ReplayStore for Store {
    async fn claim(
        &self,
        key: &ReplayKey,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.ready().await?;
        let ended = || StoreError::Unavailable("claims are no longer served; restart the server".to_owned());
        let whole = Timestamp::from_seconds(expires_at.seconds());
        let expires_at = expires_at.seconds().saturating_add(u64::from(whole < expires_at));
        let (reply, answer) = oneshot::channel();
        let claim = Claim { key: *key, expires_at, now, reply };
        self.claims.0.send(claim).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    async fn purge_replays(&self, now: Timestamp) -> Result<u64, StoreError> {
        let sql = match &*self.database {
            Database::Sqlite(_) => PURGE,
            Database::Postgres(_) => PURGE_SHARED,
        };
        let mut purged = 0;
        loop {
            let results = done(self.write_quietly(vec![Step::new(sql, vec![now.into()])]).await?)?;
            let portion = results.first().map_or(0, |rows| rows.len() as u64);
            purged += portion;
            if portion < PORTION {
                return Ok(purged);
            }
        }
    }
}
