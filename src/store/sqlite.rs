//! SQLite (bundled): one thread per connection, one connection that writes, and one beside it that reads.
//!
//! A thread of its own keeps a disk that hangs away from every other thread of the server: whoever waits gives up after
//! [`DEADLINE`], and jobs that nobody waits for any more are not begun.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, ToSql,
    ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID, SQLITE_CONSTRAINT_UNIQUE},
    types::{ToSqlOutput, ValueRef},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    OpenError,
    value::{Kind, Outcome, Row, Statement, Step, Value},
};
use crate::oauth::store::StoreError;

/// How long a writer waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);
/// How long a caller waits for the answer to a statement or a transaction.
const DEADLINE: Duration = Duration::from_secs(8);
/// The same where every record may be involved.
const LONG_DEADLINE: Duration = Duration::from_secs(600);
/// Callers that wait in line; one more waits before the line.
const QUEUE: usize = 1024;

#[derive(Clone, Debug)]
pub(super) struct Sqlite {
    writer: Worker,
    /// A database in memory has one connection for everything.
    reader: Option<Worker>,
    path: Option<PathBuf>,
}

impl Sqlite {
    pub(super) fn in_memory() -> Result<Self, OpenError> {
        let connection =
            Connection::open_in_memory().map_err(|error| OpenError::Unusable(error.to_string()))?;
        set_up(&connection).map_err(|error| OpenError::Unusable(error.to_string()))?;
        Ok(Self { writer: Worker::start(connection)?, reader: None, path: None })
    }

    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        create(path)?;
        let unusable = |error: rusqlite::Error| {
            OpenError::Unusable(format!(
                "{}: {error}; check that it is an SQLite database, that this user may write it and its directory, and that the \
                 disk has room",
                path.display()
            ))
        };
        let writer = connect(path).map_err(unusable)?;
        let reader = connect(path).map_err(unusable)?;
        reader.pragma_update(None, "query_only", true).map_err(unusable)?;
        Ok(Self {
            writer: Worker::start(writer)?,
            reader: Some(Worker::start(reader)?),
            path: Some(path.to_owned()),
        })
    }

    fn reader(&self) -> &Worker {
        self.reader.as_ref().unwrap_or(&self.writer)
    }

    /// One statement that changes nothing.
    pub(super) async fn read(&self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        self.reader()
            .run(DEADLINE, move |connection| Ok(run(connection, &statement).map_err(refusal)?.0))
            .await
    }

    /// Statements that change nothing and see the same instant.
    pub(super) async fn snapshot(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, StoreError> {
        self.reader()
            .run(LONG_DEADLINE, move |connection| {
                let transaction = connection.transaction().map_err(refusal)?;
                statements
                    .iter()
                    .map(|statement| Ok(run(&transaction, statement).map_err(refusal)?.0))
                    .collect()
            })
            .await
    }

    /// A transaction.
    pub(super) async fn write(&self, steps: Vec<Step>, kind: Kind) -> Result<Outcome, StoreError> {
        let deadline = if kind == Kind::Import { LONG_DEADLINE } else { DEADLINE };
        self.writer.run(deadline, move |connection| transaction(connection, &steps).map_err(refusal)).await
    }

    /// A number that changes when another connection has committed. `None` where every commit is our own.
    pub(super) async fn data_version(&self) -> Result<Option<i64>, StoreError> {
        let Some(reader) = &self.reader else { return Ok(None) };
        reader
            .run(DEADLINE, |connection| {
                connection
                    .prepare_cached("PRAGMA data_version")
                    .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
                    .map(Some)
                    .map_err(refusal)
            })
            .await
    }

    /// Copies the database to an existing, empty file. Nobody waits for it: it has a connection of its own.
    pub(super) async fn copy(&self, to: String) -> Result<(), StoreError> {
        let copy = move |connection: &Connection| {
            connection.execute("VACUUM INTO ?1", [&to]).map_err(refusal).map(drop)
        };
        let Some(path) = self.path.clone() else {
            return self.writer.run(LONG_DEADLINE, move |connection| copy(connection)).await;
        };
        let task = tokio::task::spawn_blocking(move || copy(&connect(&path).map_err(refusal)?));
        task.await.unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string())))
    }

    /// Something else, on the connection that writes.
    pub(super) async fn with_writer<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(LONG_DEADLINE, |connection| job(connection).map_err(refusal)).await
    }
}

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A connection and its thread, which ends with the last handle.
#[derive(Clone, Debug)]
struct Worker {
    jobs: mpsc::Sender<Job>,
}

impl Worker {
    fn start(mut connection: Connection) -> Result<Self, OpenError> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        thread::Builder::new()
            .name("sqlite".to_owned())
            .spawn(move || {
                while let Some(job) = queue.blocking_recv() {
                    // A panic is the end of a job, whose transaction it undoes, and not of the store.
                    let _ = panic::catch_unwind(AssertUnwindSafe(|| job(&mut connection)));
                }
            })
            .map_err(|error| OpenError::Unusable(format!("a thread cannot be started: {error}")))?;
        Ok(Self { jobs })
    }

    async fn run<T: Send + 'static>(
        &self,
        deadline: Duration,
        job: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            if !reply.is_closed() {
                // Whoever waited may be gone by now.
                let _ = reply.send(job(connection));
            }
        });
        let ended = || {
            StoreError::Unavailable(
                "a statement was given up; restart the server if this happens again".to_owned(),
            )
        };
        timeout(deadline, async {
            self.jobs.send(job).await.map_err(|_| ended())?;
            answer.await.map_err(|_| ended())?
        })
        .await
        .map_err(|_| StoreError::Unavailable("SQLite does not answer; check the disk".to_owned()))?
    }
}

/// Creates the file, readable by its owner alone, when there is none.
fn create(path: &Path) -> Result<(), OpenError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let directory = directory.unwrap_or(Path::new("."));
            let text = match error.kind() {
                io::ErrorKind::NotFound => format!(
                    "{}: the directory {} does not exist; create it, or correct database_url",
                    path.display(),
                    directory.display()
                ),
                _ => format!(
                    "{}: cannot be created ({error}); let this user write the directory {}",
                    path.display(),
                    directory.display()
                ),
            };
            Err(OpenError::Unusable(text))
        }
    }
}

/// Without `SQLITE_OPEN_URI`: a path is a path, whatever it begins with.
fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection)?;
    Ok(connection)
}

fn set_up(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    // The change to WAL does not wait for others as statements do.
    let mut attempts = 0;
    loop {
        match connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0)) {
            Ok(_) => break,
            Err(error) if attempts < 50 && error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                attempts += 1;
                thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(error),
        }
    }
    // A commit that was acknowledged survives the loss of power. What is deleted is gone from the file.
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON; \
         PRAGMA journal_size_limit = 67108864;",
    )
}

fn transaction(connection: &mut Connection, steps: &[Step]) -> Result<Outcome, rusqlite::Error> {
    // Rolls back when it is dropped. BEGIN IMMEDIATE: a writer waits at the start and never finds itself outrun later.
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let mut results = Vec::with_capacity(steps.len());
    for (at, step) in steps.iter().enumerate() {
        let (rows, changed) = run(&transaction, &step.statement)?;
        if changed < step.at_least {
            return Ok(Outcome::Undone(at));
        }
        results.push(rows);
    }
    transaction.commit()?;
    Ok(Outcome::Done(results))
}

/// Runs a statement to its end. The number of changed rows means something for INSERT, UPDATE and DELETE alone.
pub(super) fn run(
    connection: &Connection,
    statement: &Statement,
) -> Result<(Vec<Row>, u64), rusqlite::Error> {
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    for (at, value) in statement.values.iter().enumerate() {
        // By name, because SQLite numbers parameters in the order in which they occur.
        if let Some(index) = prepared.parameter_index(&format!("${}", at + 1))? {
            prepared.raw_bind_parameter(index, value)?;
        }
    }
    let columns = prepared.column_count();
    let mut found = Vec::new();
    let mut rows = prepared.raw_query();
    while let Some(row) = rows.next()? {
        let values =
            (0..columns).map(|column| row.get_ref(column).and_then(value)).collect::<Result<_, _>>()?;
        found.push(Row::new(values));
    }
    drop(rows);
    Ok((found, connection.changes()))
}

fn value(value: ValueRef<'_>) -> Result<Value, rusqlite::Error> {
    Ok(match value {
        ValueRef::Null => Value::Text(None),
        ValueRef::Integer(number) => Value::Integer(Some(number)),
        ValueRef::Text(text) => Value::Text(Some(std::str::from_utf8(text)?.to_owned())),
        ValueRef::Blob(bytes) => Value::Blob(Some(bytes.to_vec())),
        ValueRef::Real(_) => return Err(rusqlite::Error::InvalidQuery),
    })
}

impl ToSql for Value {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>, rusqlite::Error> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Integer(Some(number)) => ValueRef::Integer(*number),
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Blob(Some(bytes)) => ValueRef::Blob(bytes),
            Self::Integer(None) | Self::Text(None) | Self::Blob(None) => ValueRef::Null,
        }))
    }
}

/// What an error of SQLite means to the caller. Its text names tables and columns, never a value.
#[expect(clippy::needless_pass_by_value, reason = "it is the argument of map_err")]
fn refusal(error: rusqlite::Error) -> StoreError {
    let rusqlite::Error::SqliteFailure(failure, _) = &error else {
        return StoreError::Corrupt(error.to_string());
    };
    match failure.code {
        ErrorCode::ConstraintViolation
            if [SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_ROWID]
                .contains(&failure.extended_code) =>
        {
            StoreError::Conflict
        }
        ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::ConstraintViolation
        | ErrorCode::TypeMismatch
        | ErrorCode::Unknown => StoreError::Corrupt(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// Makes a new file for [`Sqlite::copy`], readable by its owner alone; an existing one is never touched.
pub(super) fn create_for_copy(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}

/// Gives the copy a name of its own for its history, and makes the file and its name durable.
pub(super) fn finish_copy(path: &Path, incarnation: &str) -> Result<(), String> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .map_err(|error| error.to_string())?;
    connection
        .execute("UPDATE feed SET incarnation = ?1 WHERE id = 1", [incarnation])
        .map_err(|error| error.to_string())?;
    connection.close().map_err(|(_, error)| error.to_string())?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for path in [path, directory] {
        fs::File::open(path).and_then(|file| file.sync_all()).map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // F-33
    #[tokio::test]
    async fn a_panic_ends_its_job_and_undoes_its_transaction() {
        let store = Sqlite::in_memory().unwrap();
        let statement = |sql: &'static str| {
            store.with_writer(move |connection| connection.execute(sql, []).map(|count| count as i64))
        };
        statement("CREATE TABLE t (n INTEGER)").await.unwrap();
        let panicked: Result<(), _> = store
            .with_writer(|connection| {
                let transaction = connection.transaction()?;
                transaction.execute("INSERT INTO t VALUES (1)", [])?;
                panic!("on purpose");
            })
            .await;
        assert!(matches!(panicked, Err(StoreError::Unavailable(_))), "{panicked:?}");
        assert_eq!(statement("INSERT INTO t VALUES (2)").await, Ok(1));
        assert_eq!(statement("DELETE FROM t").await, Ok(1));
    }
}
