//! PostgreSQL, and what speaks its protocol: a small pool in which every wait ends.
//!
//! A connection that did not answer in time, or whose user went away in the middle, is never given to anybody again
//! (V-68): it leaves the pool and is closed.

use std::{error::Error as _, fmt, future::Future, pin::pin, time::Duration};

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use tokio::{sync::Semaphore, time::timeout};
use tokio_postgres::{
    Client, Config, NoTls, Socket,
    error::SqlState,
    tls::{MakeTlsConnect, TlsConnect},
    types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_stream::StreamExt;

use super::{
    OpenError, Options, hint, tls,
    value::{Kind, Outcome, Row, Statement, Step, Value},
};
use crate::oauth::store::StoreError;

/// How long a connection, a connect, or the answer to one statement is waited for.
const WAIT: Duration = Duration::from_secs(2);
/// How long everything together may take, with what is tried again.
const DEADLINE: Duration = Duration::from_secs(5);
/// For a statement, and for all of them, where every record may be involved.
const LONG_WAIT: Duration = Duration::from_secs(60);
const LONG_DEADLINE: Duration = Duration::from_secs(600);
const CONNECTIONS: usize = 8;
/// Writers wait for each other anyway. They leave connections to those who read: a replica must not fall behind because
/// others write much.
const WRITERS: usize = 3;
/// How often a transaction is begun when others get in its way.
const ATTEMPTS: u32 = 10;

/// What a new connection is told, in words CockroachDB knows too. The server gives up on its own when we no longer can
/// tell it to.
const GREETING: &str = "SET statement_timeout = 2000; SET idle_in_transaction_session_timeout = 10000";

pub(super) struct Postgres {
    pool: Pool,
    writers: Semaphore,
    /// Said in each write transaction, so that others need not wait for their next poll.
    notify: bool,
    /// Ends with the last handle.
    _listener: Option<hint::Listener>,
}

impl Postgres {
    /// Connects when it is first asked something.
    pub(super) fn new(config: &Config, options: &Options, hint: &hint::Hint) -> Result<Self, OpenError> {
        let mut config = config.clone();
        config
            .application_name("mintage")
            .connect_timeout(WAIT)
            .tcp_user_timeout(Duration::from_secs(5))
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(3))
            .keepalives_retries(3);
        match Self::tls(&config, options)? {
            None => Self::with(config, NoTls, options, hint),
            Some(tls) => Self::with(config, tls, options, hint),
        }
    }

    /// How it is connected to over TLS, unless that is switched off.
    pub(super) fn tls(config: &Config, options: &Options) -> Result<Option<MakeRustlsConnect>, OpenError> {
        let is_on = config.get_ssl_mode() != tokio_postgres::config::SslMode::Disable;
        is_on.then(|| tls::connector(options.ca_file.as_deref())).transpose()
    }

    fn with<T>(config: Config, tls: T, options: &Options, hint: &hint::Hint) -> Result<Self, OpenError>
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send + Sync,
        T::TlsConnect: Send + Sync,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let listener = options.notify.then(|| hint::Listener::start(config.clone(), tls.clone(), hint));
        let manager =
            Manager::from_config(config, tls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(WAIT))
            .recycle_timeout(Some(WAIT))
            .post_create(Hook::async_fn(|client, _| {
                Box::pin(async move { client.batch_execute(GREETING).await.map_err(HookError::Backend) })
            }))
            .build()
            .map_err(|error| OpenError::Unusable(error.to_string()))?;
        Ok(Self { pool, writers: Semaphore::new(WRITERS), notify: options.notify, _listener: listener })
    }

    /// One statement that changes nothing.
    pub(super) async fn read(&self, statement: &Statement) -> Result<Vec<Row>, StoreError> {
        self.attempt(DEADLINE, async || {
            let lease = self.lease().await?;
            let (rows, _) = lease.run(statement, WAIT).await?;
            lease.give_back();
            Ok(rows)
        })
        .await
    }

    /// Statements that change nothing and see the same instant.
    pub(super) async fn snapshot(&self, statements: &[Statement]) -> Result<Vec<Vec<Row>>, StoreError> {
        self.attempt(LONG_DEADLINE, async || {
            let lease = self.lease().await?;
            lease.say("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            lease.say("SET LOCAL statement_timeout = 60000").await?;
            let mut results = Vec::with_capacity(statements.len());
            for statement in statements {
                results.push(lease.run(statement, LONG_WAIT).await?.0);
            }
            lease.say("COMMIT").await?;
            lease.give_back();
            Ok(results)
        })
        .await
    }

    /// One statement in a transaction of its own, without waiting for other writers. A second attempt would find what the
    /// first has written, so there is none unless the server says that it wrote nothing.
    pub(super) async fn write_once(&self, statement: &Statement) -> Result<Vec<Row>, StoreError> {
        self.attempt(DEADLINE, async || {
            let lease = self.lease().await?;
            match lease.run(statement, WAIT).await {
                Ok((rows, _)) => {
                    lease.give_back();
                    Ok(rows)
                }
                Err(failure) => Err(Failure { again: failure.is_serialization(), ..failure }),
            }
        })
        .await
    }

    /// A transaction.
    pub(super) async fn write(&self, steps: &[Step], kind: Kind) -> Result<Outcome, StoreError> {
        let deadline = if kind == Kind::Import { LONG_DEADLINE } else { DEADLINE };
        self.attempt(deadline, async || {
            // Never closed.
            let _turn = self.writers.acquire().await.map_err(|_| no_answer())?;
            self.transaction(steps, kind).await
        })
        .await
    }

    async fn transaction(&self, steps: &[Step], kind: Kind) -> Result<Outcome, Failure> {
        let lease = self.lease().await?;
        lease.say("BEGIN").await?;
        let long = kind == Kind::Import;
        if long {
            lease.say("SET LOCAL statement_timeout = 60000").await?;
        }
        let wait = if long { LONG_WAIT } else { WAIT };
        let mut results = Vec::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate() {
            match lease.run(&step.statement, wait).await {
                Ok((_, changed)) if changed < step.at_least => {
                    lease.say("ROLLBACK").await?;
                    lease.give_back();
                    return Ok(Outcome::Undone(at));
                }
                Ok((rows, _)) => results.push(rows),
                Err(failure) if failure.leaves_connection_usable() => {
                    if lease.say("ROLLBACK").await.is_ok() {
                        lease.give_back();
                    }
                    return Err(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
        let commit = if self.notify && kind == Kind::Change { NOTIFY_AND_COMMIT } else { "COMMIT" };
        // Whether it took place is unknown when this fails, unless the server says that it did not.
        match lease.say(commit).await {
            Ok(()) => lease.give_back(),
            Err(failure) => return Err(Failure { again: failure.is_serialization(), ..failure }),
        }
        Ok(Outcome::Done(results))
    }

    /// Several statements in one text, without values, as one transaction.
    pub(super) async fn script(&self, sql: &str) -> Result<(), StoreError> {
        self.attempt(LONG_DEADLINE, async || {
            let lease = self.lease().await?;
            lease.say("BEGIN").await?;
            lease.say("SET LOCAL statement_timeout = 60000").await?;
            lease.say_within(sql, LONG_WAIT).await?;
            lease.say("COMMIT").await?;
            lease.give_back();
            Ok(())
        })
        .await
    }

    /// Does it again when others got in the way, or the connection turned out to be closed before anything was done.
    async fn attempt<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        deadline: Duration,
        mut work: impl FnMut() -> F,
    ) -> Result<T, StoreError> {
        let all = async {
            let mut attempt = 1;
            loop {
                match work().await {
                    Err(failure) if failure.again && attempt < ATTEMPTS => {
                        tokio::time::sleep(Duration::from_millis(5 * u64::from(attempt))).await;
                        attempt += 1;
                    }
                    result => return result.map_err(|failure| failure.error),
                }
            }
        };
        timeout(deadline, all).await.unwrap_or_else(|_| Err(no_answer()))
    }

    async fn lease(&self) -> Result<Lease, Failure> {
        match self.pool.get().await {
            Ok(object) => Ok(Lease(Some(object))),
            Err(PoolError::Backend(error)) => Err(Failure::new(&error)),
            Err(PoolError::Timeout(_)) => Err(no_answer().into()),
            Err(PoolError::PostCreateHook(HookError::Backend(error))) => Err(Failure::new(&error)),
            Err(error) => Err(StoreError::Unavailable(error.to_string()).into()),
        }
    }
}

const NOTIFY_AND_COMMIT: &str = "NOTIFY mintage_changes; COMMIT";

fn no_answer() -> StoreError {
    StoreError::Unavailable("PostgreSQL does not answer in time".to_owned())
}

impl fmt::Debug for Postgres {
    /// The derived form would show more than is wanted of the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("notify", &self.notify).finish_non_exhaustive()
    }
}

/// A connection of the pool. Unless it is given back it is closed, so that nobody gets one that is in the middle of
/// something or does not answer.
struct Lease(Option<Object>);

impl Lease {
    fn client(&self) -> Result<&Client, Failure> {
        self.0.as_ref().map(|object| &***object).ok_or_else(|| no_answer().into())
    }

    async fn run(&self, statement: &Statement, wait: Duration) -> Result<(Vec<Row>, u64), Failure> {
        let client = self.client()?;
        let work = async {
            let values = statement.values.iter().map(|value| (value, value.kind()));
            let mut stream = pin!(client.query_typed_raw(&statement.sql, values).await?);
            let mut rows = Vec::new();
            while let Some(row) = stream.next().await {
                rows.push(row?);
            }
            Ok((rows, stream.rows_affected().unwrap_or(0)))
        };
        let (rows, changed) = within(wait, work).await?;
        let rows = rows.iter().map(read).collect::<Result<_, _>>().map_err(Failure::from)?;
        Ok((rows, changed))
    }

    async fn say(&self, sql: &str) -> Result<(), Failure> {
        self.say_within(sql, WAIT).await
    }

    async fn say_within(&self, sql: &str, wait: Duration) -> Result<(), Failure> {
        within(wait, self.client()?.batch_execute(sql)).await
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

async fn within<T>(
    wait: Duration,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Failure> {
    match timeout(wait, work).await {
        Ok(result) => result.map_err(|error| Failure::new(&error)),
        Err(_) => Err(no_answer().into()),
    }
}

/// Why an attempt failed.
struct Failure {
    error: StoreError,
    /// Whether it may be tried again: nothing was done.
    again: bool,
    state: Option<SqlState>,
}

impl Failure {
    fn new(error: &tokio_postgres::Error) -> Self {
        let state = error.code().cloned();
        let this = Self { error: refusal(error), again: error.is_closed(), state };
        Self { again: this.again || this.is_serialization(), ..this }
    }

    fn is_serialization(&self) -> bool {
        let again = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
        self.state.as_ref().is_some_and(|state| again.contains(state))
    }

    /// The server refused the statement and goes on.
    fn leaves_connection_usable(&self) -> bool {
        self.error == StoreError::Conflict || self.is_serialization()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { error, again: false, state: None }
    }
}

/// What an error means to the caller. The message of the server names tables and columns; values would be in its detail.
fn refusal(error: &tokio_postgres::Error) -> StoreError {
    let Some(answer) = error.as_db_error() else {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        return StoreError::Unavailable(format!("{error}{cause}"));
    };
    let text = format!("{} ({})", answer.message(), answer.code().code());
    match answer.code().code() {
        "23505" => StoreError::Conflict,
        // Invalid values, broken constraints, unknown tables and columns.
        code if ["22", "23", "42"].iter().any(|class| code.starts_with(class)) && code != "42501" => {
            StoreError::Corrupt(text)
        }
        _ => StoreError::Unavailable(text),
    }
}

fn read(row: &tokio_postgres::Row) -> Result<Row, StoreError> {
    let value = |(at, column): (usize, &tokio_postgres::Column)| match *column.type_() {
        Type::INT8 => row.try_get(at).map(Value::Integer),
        Type::INT4 => row.try_get::<_, Option<i32>>(at).map(|number| Value::Integer(number.map(i64::from))),
        Type::BYTEA => row.try_get(at).map(Value::Blob),
        _ => row.try_get(at).map(Value::Text),
    };
    let values = row.columns().iter().enumerate().map(value).collect::<Result<_, _>>();
    values.map(Row::new).map_err(|error| StoreError::Corrupt(error.to_string()))
}

impl Value {
    fn kind(&self) -> Type {
        match self {
            Self::Integer(_) => Type::INT8,
            Self::Text(_) => Type::TEXT,
            Self::Blob(_) => Type::BYTEA,
        }
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Integer(number) => number.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
            Self::Blob(bytes) => bytes.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::BYTEA].contains(kind)
    }

    to_sql_checked!();
}
