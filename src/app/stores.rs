//! The store of a configuration, and the master keys that open what is sealed in it.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use zeroize::Zeroizing;

use super::StartError;
use crate::{
    admin::signing_keys::value_context,
    config::{Config, MasterKeySource},
    oauth::store::{KeyStore, Stores},
    private_file,
    random::{self, SystemRandom},
    sealing::MasterKeys,
    secret::Secret,
    store::{Options, Store},
};

/// The name of the sealed value that generated client secrets are hashed with.
pub(super) const SECRET_HASH_KEY: &str = "secret-hash-key";

/// No master key file is longer, in bytes.
const MAX_LENGTH: u64 = 4096;

/// A store that is ready to be used.
#[derive(Debug)]
pub struct OpenedStore {
    /// The database.
    pub store: Arc<Store>,
    /// The same, as the core knows it.
    pub stores: Stores,
    /// What opens its secrets.
    pub master: Arc<MasterKeys>,
}

/// Opens the store of a configuration, its tables up to date.
///
/// # Errors
/// [`StartError::Store`] and [`StartError::MasterKey`].
pub async fn open_store(config: &Config) -> Result<OpenedStore, StartError> {
    let opened = connect(config).await?;
    opened.store.migrate().await?;
    Ok(opened)
}

/// The same without asking the database for anything.
pub(super) async fn connect(config: &Config) -> Result<OpenedStore, StartError> {
    let store = Store::connect(&config.store.location, options(config)).await?;
    refuse_without_the_lost_key(config, &store).await?;
    let master = Arc::new(master_keys(config)?);
    Ok(OpenedStore { stores: store.stores(), store, master })
}

fn options(config: &Config) -> Options {
    let settings = &config.store;
    Options { ca_file: settings.ca_file.clone(), notify: settings.notify, ..Options::default() }
}

/// A database that was copied without the master key beside it gets no new one, which would open nothing.
async fn refuse_without_the_lost_key(config: &Config, store: &Store) -> Result<(), StartError> {
    let Some(database) = config.store.location.file() else { return Ok(()) };
    let path = beside(database);
    if config.store.master_key.is_some() || path.exists() {
        return Ok(());
    }
    // A database that is new, or of no use for another reason, has nothing to say about this.
    if store.sealed_values().await.is_ok_and(|values| !values.is_empty()) {
        return Err(StartError::MasterKey(format!(
            "{} is missing, and what {} holds is sealed under it; put it back, or set MINTAGE_MASTER_KEY_FILE to the file \
             that holds it",
            path.display(),
            database.display()
        )));
    }
    Ok(())
}

/// Whether the files that [`connect`] reads can be used. Makes no master key, and opens no database.
pub(super) fn check(config: &Config) -> Vec<StartError> {
    let settings = &config.store;
    let is_made = settings.master_key.is_none()
        && settings.location.file().is_none_or(|database| !beside(database).exists());
    let master = if is_made { None } else { master_keys(config).err() };
    let ca_file = Store::check(&settings.location, &options(config)).err();
    let ca_file = ca_file.map(|error| config.problem("database_ca_file", error.to_string()).into());
    master.into_iter().chain(ca_file).collect()
}

/// The master keys: those that are configured; beside an SQLite database, those of a file that is made when it is missing;
/// for a database in memory, one that nobody needs to know.
fn master_keys(config: &Config) -> Result<MasterKeys, StartError> {
    let refused =
        |path: &Path, problem: String| StartError::MasterKey(format!("{}: {problem}", path.display()));
    match &config.store.master_key {
        Some(MasterKeySource::Given(text)) => {
            MasterKeys::parse(text).map_err(|error| StartError::MasterKey(error.to_string()))
        }
        Some(MasterKeySource::File(file)) => {
            let text = read_given(&file.path).map_err(|error| {
                file.problem(format!("cannot be read ({error}); make it with `openssl rand -base64 32`"))
            })?;
            Ok(parse(&text).map_err(|problem| file.problem(problem))?)
        }
        None => match config.store.location.file() {
            Some(database) => {
                let path = beside(database);
                let text = read_or_make(&path).map_err(|problem| refused(&path, problem))?;
                parse(&text).map_err(|problem| refused(&path, problem))
            }
            None if config.store.location.is_private() => Ok(MasterKeys::parse(&MasterKeys::generate(&SystemRandom)?)
                .map_err(|error| StartError::MasterKey(error.to_string()))?),
            None => Err(StartError::MasterKey(
                "PostgreSQL keeps signing keys sealed; set MINTAGE_MASTER_KEY_FILE to a file with the output of \
                 `openssl rand -base64 32`, the same for every replica"
                    .to_owned(),
            )),
        },
    }
}

/// A file that somebody named: a container platform may own it and reach it through a link.
fn read_given(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::new());
    File::open(path)?.take(MAX_LENGTH).read_to_end(&mut text)?;
    Ok(text)
}

/// `mintage.db` -> `mintage.db.key`
fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".key");
    name.into()
}

fn read_or_make(path: &Path) -> Result<Vec<u8>, String> {
    if let Some(text) = private_file::read(path, MAX_LENGTH)? {
        return Ok(text.to_vec());
    }
    let text = MasterKeys::generate(&SystemRandom).map_err(|error| error.to_string())?;
    let text = private_file::publish(path, text.expose().as_bytes())?;
    tracing::warn!(
        path = %path.display(),
        "no master key is configured: one was made and lies beside the database; keep a copy of it somewhere else, because \
         without it the signing keys in the database are lost"
    );
    Ok(text.to_vec())
}

fn parse(text: &[u8]) -> Result<MasterKeys, String> {
    let text = std::str::from_utf8(text).map_err(|_| "is no text".to_owned())?;
    MasterKeys::parse(&Secret::from(text)).map_err(|error| error.to_string())
}

/// The key that generated client secrets are hashed with: made by whoever needs it first, then the same for all.
pub(super) async fn secret_hash_key(
    keys: &dyn KeyStore,
    master: &MasterKeys,
) -> Result<Secret<[u8; 32]>, StartError> {
    let sealed = match keys.sealed_value(SECRET_HASH_KEY).await? {
        Some(sealed) => sealed,
        None => {
            let fresh = random::bytes::<32>(&SystemRandom)?;
            let sealed = master.seal(&value_context(SECRET_HASH_KEY), &fresh, &SystemRandom)?;
            keys.keep_sealed_value(SECRET_HASH_KEY, &sealed).await?
        }
    };
    open_secret_hash_key(master, &sealed)
}

/// Opens that key.
pub(super) fn open_secret_hash_key(
    master: &MasterKeys,
    sealed: &[u8],
) -> Result<Secret<[u8; 32]>, StartError> {
    let opened = master
        .open(&value_context(SECRET_HASH_KEY), sealed)
        .map_err(|error| StartError::MasterKey(format!("what the store holds cannot be used: {error}")))?;
    let key = opened.expose().as_slice().try_into();
    key.map(Secret::new)
        .map_err(|_| StartError::MasterKey("the secret hash key of the store is damaged".to_owned()))
}
