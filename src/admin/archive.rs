//! Archives: everything a store holds in one encrypted file, to move it to another database or to keep it.
//!
//! The first line names the format and the archive; each other line is one chunk of JSON, sealed under the master key with
//! its archive and its number as context, in base64url. Chunks that are missing, exchanged, repeated or taken from another
//! archive therefore do not open, and the last one says how much there must have been. Private keys are sealed twice: the
//! archive carries them as the store keeps them.

use std::io::{self, BufRead, Write};

use base64::engine::{Engine, general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    oauth::store::{ClientQuery, ClientRecord, KeyRecord, Revocation, StoreError, Stores, TransferStore},
    random::{self, Random, RandomError},
    sealing::{MasterKeys, Unopened},
};

const FORMAT: u32 = 1;

/// Clients read at once, and the most of a chunk: a chunk is opened whole, in memory.
const CHUNK: usize = 1000;

/// Of clients with large documents a chunk has fewer: it ends with the one that makes it this long, in bytes.
const CHUNK_LENGTH: usize = 8 << 20;

/// No line is longer than this, in bytes: a chunk of that length whose JSON is text in JSON, sealed and in base64, and has
/// grown to less than three times of it.
const MAX_LINE: u64 = 64 << 20;

/// How much an archive holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Clients.
    pub clients: u64,
    /// Signing keys.
    pub keys: u64,
    /// Revocations that had not expired.
    pub revocations: u64,
}

/// Why an archive could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// There were no random bytes.
    #[error("{0}")]
    Random(#[from] RandomError),
    /// The file failed.
    #[error("the archive cannot be read or written ({0})")]
    File(#[from] io::Error),
    /// It is no archive of this version.
    #[error("this is no archive that `mintage export` of this version wrote")]
    Format,
    /// It ends too early.
    #[error("the archive is not complete; export it again")]
    Truncated,
    /// A chunk does not open.
    #[error("the archive cannot be opened: {0}")]
    Sealed(#[from] Unopened),
    /// The store is in use.
    #[error("the store is not empty; import into a new database")]
    NotEmpty,
}

#[derive(Serialize, Deserialize)]
struct Header {
    mintage_archive: u32,
    id: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Chunk {
    Clients(Vec<ClientRecord>),
    State { keys: Vec<KeyRecord>, values: Vec<(String, String)>, revocations: Vec<Revocation> },
    End(Contents),
}

/// Writes everything that `stores` hold. Clients that are registered while it runs may be missing; keys and revocations are
/// those of one instant, read last.
///
/// # Errors
/// [`ArchiveError`]; what was written so far is then no archive.
pub async fn export(
    stores: &Stores,
    master: &MasterKeys,
    random: &dyn Random,
    now: Timestamp,
    file: &mut (dyn Write + Send),
) -> Result<Contents, ArchiveError> {
    let id = URL_SAFE_NO_PAD.encode(random::bytes::<16>(random)?);
    let mut writer = Writer { file, master, random, id, chunks: 0 };
    writer.begin()?;
    let mut contents = Contents::default();

    let mut query = ClientQuery { limit: CHUNK as u32, ..ClientQuery::default() };
    loop {
        let clients = stores.clients.list(&query).await?;
        let Some(last) = clients.last() else { break };
        query.after = Some((last.client_id.clone(), last.created_at));
        contents.clients += clients.len() as u64;
        for chunk in chunks(clients, CHUNK_LENGTH) {
            writer.write(&Chunk::Clients(chunk))?;
        }
    }
    let values = stores.keys.sealed_values().await?;
    let values = values.into_iter().map(|(name, sealed)| (name, URL_SAFE_NO_PAD.encode(sealed))).collect();
    let state = stores.changes.state(now).await?;
    contents.keys = state.keys.len() as u64;
    contents.revocations = state.revocations.len() as u64;
    writer.write(&Chunk::State { keys: state.keys, values, revocations: state.revocations })?;
    writer.write(&Chunk::End(contents))?;
    writer.file.flush()?;
    Ok(contents)
}

/// Opens every chunk of an archive and says what it holds.
///
/// # Errors
/// [`ArchiveError`]: it cannot be imported.
pub fn inspect(master: &MasterKeys, file: impl BufRead) -> Result<Contents, ArchiveError> {
    let mut reader = Reader::begin(master, file)?;
    let mut found = Contents::default();
    while let Some(chunk) = reader.next()? {
        match chunk {
            Chunk::Clients(clients) => found.clients += clients.len() as u64,
            Chunk::State { keys, revocations, .. } => {
                found.keys += keys.len() as u64;
                found.revocations += revocations.len() as u64;
            }
            Chunk::End(contents) if contents == found && reader.next()?.is_none() => return Ok(contents),
            Chunk::End(_) => return Err(ArchiveError::Truncated),
        }
    }
    Err(ArchiveError::Truncated)
}

/// Fills an empty store from an archive that [`inspect`] has accepted. An import that broke off can be repeated.
///
/// # Errors
/// [`ArchiveError`].
pub async fn import(
    store: &dyn TransferStore,
    stores: &Stores,
    master: &MasterKeys,
    now: Timestamp,
    file: impl BufRead,
) -> Result<Contents, ArchiveError> {
    let state = stores.changes.state(now).await?;
    // Sealed values are there before the first client is.
    let values = stores.keys.sealed_values().await?;
    if !state.keys.is_empty() || !state.revocations.is_empty() || !values.is_empty() {
        return Err(ArchiveError::NotEmpty);
    }
    let mut reader = Reader::begin(master, file)?;
    while let Some(chunk) = reader.next()? {
        match chunk {
            Chunk::Clients(clients) => store.import_clients(&clients).await.map_err(refusal)?,
            Chunk::State { keys, values, revocations } => {
                let values = values
                    .into_iter()
                    .map(|(name, text)| URL_SAFE_NO_PAD.decode(text).map(|sealed| (name, sealed)))
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|_| ArchiveError::Format)?;
                store.finish_import(&keys, &values, &revocations).await.map_err(refusal)?;
            }
            Chunk::End(contents) => return Ok(contents),
        }
    }
    Err(ArchiveError::Truncated)
}

/// The same clients in lists of which each ends with the client that makes it `longest` bytes long, or with the last.
fn chunks(clients: Vec<ClientRecord>, longest: usize) -> Vec<Vec<ClientRecord>> {
    let mut chunks = Vec::new();
    let (mut chunk, mut length) = (Vec::new(), 0);
    for client in clients {
        length += client.document.len();
        chunk.push(client);
        if length >= longest {
            chunks.push(std::mem::take(&mut chunk));
            length = 0;
        }
    }
    chunks.extend(Some(chunk).filter(|chunk| !chunk.is_empty()));
    chunks
}

/// What is there already and differs was not put there by an import of this archive.
fn refusal(error: StoreError) -> ArchiveError {
    if error == StoreError::Conflict { ArchiveError::NotEmpty } else { error.into() }
}

struct Writer<'a> {
    file: &'a mut (dyn Write + Send),
    master: &'a MasterKeys,
    random: &'a dyn Random,
    id: String,
    chunks: u64,
}

impl Writer<'_> {
    fn begin(&mut self) -> Result<(), ArchiveError> {
        let header = Header { mintage_archive: FORMAT, id: self.id.clone() };
        serde_json::to_writer(&mut *self.file, &header).map_err(io::Error::from)?;
        Ok(self.file.write_all(b"\n")?)
    }

    fn write(&mut self, chunk: &Chunk) -> Result<(), ArchiveError> {
        let text = serde_json::to_vec(chunk).map_err(io::Error::from)?;
        let sealed = self.master.seal(&context(&self.id, self.chunks), &text, self.random)?;
        self.chunks += 1;
        self.file.write_all(URL_SAFE_NO_PAD.encode(sealed).as_bytes())?;
        Ok(self.file.write_all(b"\n")?)
    }
}

struct Reader<'a, R> {
    file: R,
    master: &'a MasterKeys,
    id: String,
    chunks: u64,
}

impl<'a, R: BufRead> Reader<'a, R> {
    fn begin(master: &'a MasterKeys, mut file: R) -> Result<Self, ArchiveError> {
        let line = read_line(&mut file)?.ok_or(ArchiveError::Format)?;
        let header: Header = serde_json::from_slice(&line).map_err(|_| ArchiveError::Format)?;
        if header.mintage_archive != FORMAT {
            return Err(ArchiveError::Format);
        }
        Ok(Self { file, master, id: header.id, chunks: 0 })
    }

    fn next(&mut self) -> Result<Option<Chunk>, ArchiveError> {
        let Some(line) = read_line(&mut self.file)? else { return Ok(None) };
        let sealed = URL_SAFE_NO_PAD.decode(line).map_err(|_| ArchiveError::Format)?;
        let text = self.master.open(&context(&self.id, self.chunks), &sealed)?;
        self.chunks += 1;
        serde_json::from_slice(text.expose()).map(Some).map_err(|_| ArchiveError::Format)
    }
}

fn context(id: &str, number: u64) -> String {
    format!("archive/{id}/{number}")
}

/// One line without its end; `None` at the end of the file.
fn read_line(file: &mut impl BufRead) -> Result<Option<Vec<u8>>, ArchiveError> {
    let mut line = Vec::new();
    io::Read::take(&mut *file, MAX_LINE).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => Err(ArchiveError::Truncated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::client::ClientId;

    #[test]
    fn large_documents_make_short_chunks() {
        let client = |length: usize| ClientRecord {
            client_id: ClientId::parse("c").unwrap(),
            enabled: true,
            document: "x".repeat(length),
            revision: 1,
            created_at: Timestamp::from_seconds(1),
            updated_at: Timestamp::from_seconds(1),
        };
        let lengths = |documents: &[usize]| -> Vec<Vec<usize>> {
            let clients = documents.iter().map(|length| client(*length)).collect();
            let lengths =
                |chunk: Vec<ClientRecord>| chunk.iter().map(|client| client.document.len()).collect();
            chunks(clients, 10).into_iter().map(lengths).collect()
        };
        assert!(lengths(&[]).is_empty());
        assert_eq!(lengths(&[1, 2, 3]), [[1, 2, 3]]);
        assert_eq!(lengths(&[4, 6, 1, 30, 2]), [vec![4, 6], vec![1, 30], vec![2]]);
    }
}
