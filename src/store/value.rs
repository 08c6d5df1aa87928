//! What goes into a statement and comes out of it, the same for both databases.

use std::borrow::Cow;

use crate::{clock::Timestamp, oauth::store::StoreError};

/// A value of one of the three column types, all of which may be null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// `BIGINT` or `INTEGER`
    Integer(Option<i64>),
    /// `TEXT`
    Text(Option<String>),
    /// `BYTEA` or `BLOB`
    Blob(Option<Vec<u8>>),
}

impl From<u64> for Value {
    /// What does not fit is far beyond every instant and counter in use.
    fn from(number: u64) -> Self {
        Self::Integer(Some(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Integer(Some(i64::from(value)))
    }
}

impl From<Timestamp> for Value {
    fn from(instant: Timestamp) -> Self {
        instant.seconds().into()
    }
}

impl From<Option<Timestamp>> for Value {
    fn from(instant: Option<Timestamp>) -> Self {
        instant.map_or(Self::Integer(None), Self::from)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Blob(Some(bytes.to_vec()))
    }
}

/// A statement with its values. Text that callers give is only ever among the values (V-43).
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) sql: Cow<'static, str>,
    /// For `$1`, `$2`, ...
    pub(super) values: Vec<Value>,
}

impl Statement {
    pub(super) fn new(sql: impl Into<Cow<'static, str>>, values: Vec<Value>) -> Self {
        Self { sql: sql.into(), values }
    }
}

/// A statement of a transaction.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) statement: Statement,
    /// When it changes fewer rows, the whole transaction is undone.
    pub(super) at_least: u64,
}

impl Step {
    /// A step that may change nothing.
    pub(super) fn new(sql: impl Into<Cow<'static, str>>, values: Vec<Value>) -> Self {
        Self { statement: Statement::new(sql, values), at_least: 0 }
    }

    /// A step without which the others must not happen either.
    pub(super) fn must(sql: impl Into<Cow<'static, str>>, values: Vec<Value>) -> Self {
        Self { at_least: 1, ..Self::new(sql, values) }
    }
}

/// What a transaction is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Others are to learn of it.
    Change,
    /// Nobody need learn of it.
    Quiet,
    /// Nobody need learn of it, and it may take long.
    Import,
}

/// How a transaction ended.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It is durable. What each step returned.
    Done(Vec<Vec<Row>>),
    /// It was undone, because this step changed too few rows.
    Undone(usize),
}

/// The columns of a row, read from the first to the last.
#[derive(Clone, Debug)]
pub(super) struct Row(std::vec::IntoIter<Value>);

impl Row {
    pub(super) fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    pub(super) fn maybe_integer(&mut self) -> Result<Option<u64>, StoreError> {
        match self.0.next() {
            Some(Value::Integer(None)) => Ok(None),
            Some(Value::Integer(Some(number))) => u64::try_from(number).map(Some).map_err(|_| unreadable()),
            // SQLite does not know what type a null is.
            Some(Value::Text(None)) => Ok(None),
            _ => Err(unreadable()),
        }
    }

    pub(super) fn integer(&mut self) -> Result<u64, StoreError> {
        self.maybe_integer()?.ok_or_else(unreadable)
    }

    pub(super) fn flag(&mut self) -> Result<bool, StoreError> {
        Ok(self.integer()? != 0)
    }

    pub(super) fn instant(&mut self) -> Result<Timestamp, StoreError> {
        self.integer().map(Timestamp::from_seconds)
    }

    pub(super) fn maybe_instant(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.maybe_integer()?.map(Timestamp::from_seconds))
    }

    pub(super) fn text(&mut self) -> Result<String, StoreError> {
        self.maybe_text()?.ok_or_else(unreadable)
    }

    pub(super) fn maybe_text(&mut self) -> Result<Option<String>, StoreError> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(unreadable()),
        }
    }

    pub(super) fn blob(&mut self) -> Result<Vec<u8>, StoreError> {
        match self.0.next() {
            Some(Value::Blob(Some(bytes))) => Ok(bytes),
            _ => Err(unreadable()),
        }
    }
}

fn unreadable() -> StoreError {
    StoreError::Corrupt("a column has another type, or a value it cannot have".to_owned())
}

/// The most rows of one statement; PostgreSQL counts its values with 16 bits.
pub(super) const ROWS: usize = 1000;

/// `VALUES ($1, $2), ($3, $4)` for rows of a width.
pub(super) fn rows(count: usize, width: usize) -> String {
    let row = |at: usize| {
        let columns: Vec<_> = (1..=width).map(|column| format!("${}", at * width + column)).collect();
        format!("({})", columns.join(", "))
    };
    format!("VALUES {}", (0..count).map(row).collect::<Vec<_>>().join(", "))
}

/// The one value of the one row, such as a count or a sequence.
pub(super) fn single_integer(rows: &[Row]) -> Result<u64, StoreError> {
    rows.first().cloned().ok_or_else(|| StoreError::Corrupt("a row is missing".to_owned()))?.integer()
}
