//! Clients.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    Store, changes,
    value::{Outcome, ROWS, Row, Step, Value, rows},
};
use crate::oauth::{
    client::ClientId,
    store::{ClientOrder, ClientQuery, ClientRecord, ClientStore, SecretUse, Sequence, StoreError},
};

/// The columns of [`read_client`].
const COLUMNS: &str = "client_id, enabled, document, revision, created_at, updated_at";
const GET: &str =
    "SELECT client_id, enabled, document, revision, created_at, updated_at FROM clients WHERE client_id = $1";
pub(super) const INSERT_ROWS: &str =
    "INSERT INTO clients (client_id, enabled, document, revision, created_at, updated_at, request_id)";
/// The number of columns of [`INSERT_ROWS`].
pub(super) const WIDTH: usize = 7;
const UPDATE: &str = "UPDATE clients SET enabled = $2, document = $3, revision = $4, created_at = $5, updated_at = $6 \
                      WHERE client_id = $1 AND revision = $4 - 1";
const DELETE: &str = "DELETE FROM clients WHERE client_id = $1";
const DELETE_REVISION: &str = "DELETE FROM clients WHERE client_id = $1 AND revision = $2";
const DELETE_USES: &str = "DELETE FROM secret_uses WHERE client_id = $1";
/// Greater than every character of a `client_id`, which is made of U+0020 to U+007E.
const BEYOND: char = '\u{7f}';

#[async_trait::async_trait]
impl ClientStore for Store {
    async fn get(&self, client_id: &ClientId) -> Result<Option<ClientRecord>, StoreError> {
        let rows = self.read(GET, vec![client_id.as_str().into()]).await?;
        rows.into_iter().next().map(read_client).transpose()
    }

    async fn list(&self, query: &ClientQuery) -> Result<Vec<ClientRecord>, StoreError> {
        let (sql, values) = list(query);
        self.read(sql, values).await?.into_iter().map(read_client).collect()
    }

    async fn create(&self, client: &ClientRecord, request_id: Option<&str>) -> Result<Sequence, StoreError> {
        let steps = vec![
            changes::next(),
            Step::must(format!("{INSERT_ROWS} {}", rows(1, WIDTH)), values(client, request_id)),
            changes::add(changes::CLIENT, client.client_id.as_str()),
        ];
        changes::sequence(self.write(steps).await?)?.map_err(|_| StoreError::Conflict)
    }

    async fn created_by(&self, request_id: &str) -> Result<Option<ClientId>, StoreError> {
        let sql = "SELECT client_id FROM clients WHERE request_id = $1";
        let rows = self.read(sql, vec![request_id.into()]).await?;
        rows.into_iter().next().map(|mut row| read_client_id(&mut row)).transpose()
    }

    async fn update(&self, client: &ClientRecord) -> Result<Sequence, StoreError> {
        let mut values = values(client, None);
        values.pop();
        let steps = vec![
            changes::next(),
            Step::must(UPDATE, values),
            changes::add(changes::CLIENT, client.client_id.as_str()),
        ];
        self.write_one(&client.client_id, steps).await
    }

    async fn delete(&self, client_id: &ClientId, revision: Option<u64>) -> Result<Sequence, StoreError> {
        let id = || Value::from(client_id.as_str());
        let delete = match revision {
            Some(revision) => Step::must(DELETE_REVISION, vec![id(), revision.into()]),
            None => Step::must(DELETE, vec![id()]),
        };
        let steps = vec![
            changes::next(),
            delete,
            Step::new(DELETE_USES, vec![id()]),
            changes::add(changes::CLIENT, client_id.as_str()),
        ];
        self.write_one(client_id, steps).await
    }

    async fn record_uses(&self, uses: &[SecretUse]) -> Result<(), StoreError> {
        // The latest of each, in an order in which two writers never wait for each other.
        let mut latest: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for SecretUse { client_id, secret_id, used_at } in uses {
            let at = latest.entry((client_id.as_str(), secret_id)).or_default();
            *at = used_at.seconds().max(*at);
        }
        let latest: Vec<_> = latest.into_iter().collect();
        let steps: Vec<_> = latest.chunks(ROWS).map(record).collect();
        if steps.is_empty() { Ok(()) } else { self.write_quietly(steps).await.map(|_| ()) }
    }

    async fn uses(&self, client_id: &ClientId) -> Result<Vec<SecretUse>, StoreError> {
        let sql = "SELECT secret_id, used_at FROM secret_uses WHERE client_id = $1 ORDER BY secret_id";
        let rows = self.read(sql, vec![client_id.as_str().into()]).await?;
        let read = |mut row: Row| {
            Ok(SecretUse { client_id: client_id.clone(), secret_id: row.text()?, used_at: row.instant()? })
        };
        rows.into_iter().map(read).collect()
    }
}

impl Store {
    /// A change to one client. When there was nothing to change, its existence tells why.
    async fn write_one(&self, client_id: &ClientId, steps: Vec<Step>) -> Result<Sequence, StoreError> {
        match changes::sequence(self.write(steps).await?)? {
            Ok(sequence) => Ok(sequence),
            Err(_) if ClientStore::get(self, client_id).await?.is_some() => Err(StoreError::Conflict),
            Err(_) => Err(StoreError::NotFound),
        }
    }
}

/// The statement for a query. Its text is put together from constants; what the caller wrote is a value (V-43).
fn list(query: &ClientQuery) -> (String, Vec<Value>) {
    let mut conditions: Vec<Cow<'static, str>> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    let mut bind = |value: Value| {
        values.push(value);
        format!("${}", values.len())
    };
    if let Some(prefix) = &query.client_id_prefix {
        // No identifier contains another character, and PostgreSQL would refuse U+0000.
        let from = prefix.split(|c| !(' '..='~').contains(&c)).next().unwrap_or_default();
        let beyond = if from == prefix { format!("{from}{BEYOND}") } else { String::new() };
        conditions.push(format!("client_id >= {}", bind(from.into())).into());
        conditions.push(format!("client_id < {}", bind(beyond.as_str().into())).into());
    }
    if let Some(enabled) = query.enabled {
        conditions.push(format!("enabled = {}", bind(enabled.into())).into());
    }
    let (is_behind, direction) = if query.descending { ("<", "DESC") } else { (">", "ASC") };
    if let Some((client_id, created_at)) = &query.after {
        let id = bind(client_id.as_str().into());
        conditions.push(match query.order {
            ClientOrder::ClientId => format!("client_id {is_behind} {id}").into(),
            ClientOrder::CreatedAt => {
                format!("(created_at, client_id) {is_behind} ({}, {id})", bind((*created_at).into())).into()
            }
        });
    }
    let order = match query.order {
        ClientOrder::ClientId => format!("client_id {direction}"),
        ClientOrder::CreatedAt => format!("created_at {direction}, client_id {direction}"),
    };
    let limit = bind(u64::from(query.limit).into());
    let filter =
        if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    (format!("SELECT {COLUMNS} FROM clients {filter} ORDER BY {order} LIMIT {limit}"), values)
}

/// `client_id, enabled, document, revision, created_at, updated_at, request_id`
pub(super) fn values(client: &ClientRecord, request_id: Option<&str>) -> Vec<Value> {
    vec![
        client.client_id.as_str().into(),
        client.enabled.into(),
        client.document.as_str().into(),
        client.revision.into(),
        client.created_at.into(),
        client.updated_at.into(),
        request_id.into(),
    ]
}

fn read_client(mut row: Row) -> Result<ClientRecord, StoreError> {
    Ok(ClientRecord {
        client_id: read_client_id(&mut row)?,
        enabled: row.flag()?,
        document: row.text()?,
        revision: row.integer()?,
        created_at: row.instant()?,
        updated_at: row.instant()?,
    })
}

pub(super) fn read_client_id(row: &mut Row) -> Result<ClientId, StoreError> {
    ClientId::parse(&row.text()?).map_err(|_| StoreError::Corrupt("a client_id cannot be read".to_owned()))
}

fn record(uses: &[((&str, &str), u64)]) -> Step {
    let sql = format!(
        "INSERT INTO secret_uses (client_id, secret_id, used_at) {} \
         ON CONFLICT (client_id, secret_id) DO UPDATE SET used_at = excluded.used_at \
         WHERE excluded.used_at > secret_uses.used_at",
        rows(uses.len(), 3)
    );
    let values = uses.iter().flat_map(|((client_id, secret_id), used_at)| {
        [Value::from(*client_id), Value::from(*secret_id), Value::from(*used_at)]
    });
    Step::new(sql, values.collect())
}

/// The outcome of steps none of which must change something.
pub(super) fn done(outcome: Outcome) -> Result<Vec<Vec<Row>>, StoreError> {
    match outcome {
        Outcome::Done(results) => Ok(results),
        Outcome::Undone(_) => Err(StoreError::Conflict),
    }
}
