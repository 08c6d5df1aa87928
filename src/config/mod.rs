//! Configuration: settings from defaults, a TOML file, the environment and flags, as checked values.
//!
//! - [`setting`]: the table of all settings
//! - [`sources`]: where they come from, as plain values
//! - `document`, `client_table`, `proof_tables`, `json`: the TOML file
//! - `dev`: what `--dev` adds
//! - `raw`: the layers on top of each other, as text
//! - `check`, `check_store`, `check_proof`, [`proof`], [`methods`], [`duration`], [`rate`], `clients`, `provided`: from text to
//!   checked values
//! - [`problem`], `names`: what is wrong, where, and what to do
//!
//! [`load`] does all of it and depends on nothing but its argument and the files that it names, so that a reload is the
//! same call again and a refused reload leaves the running values untouched.

mod check;
mod check_proof;
mod check_store;
mod client_table;
mod clients;
mod dev;
mod document;
pub mod duration;
mod json;
pub mod methods;
mod names;
pub mod problem;
pub mod proof;
mod proof_tables;
mod provided;
pub mod rate;
mod raw;
pub mod setting;
pub mod sources;

use std::{
    fs::File,
    io::{self, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use zeroize::Zeroizing;

use self::{clients::LocatedRegistration, document::Document, provided::Provided, raw::RawConfig};
pub use self::{
    problem::{ConfigErrors, NamedFile, Origin, Problem},
    setting::{SETTINGS, Setting},
    sources::{Environment, Sources},
};
use crate::{
    jose::SigningAlgorithm,
    key_file::KeyFiles,
    oauth::client::{
        Client, SecretForm, SecretHash,
        registration::{ClientRegistration, RegistrationDefaults},
    },
    oauth::issuer::Issuer,
    rate::Rate,
    secret::Secret,
    store::Location,
};

/// The checked settings. Debug output contains no secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether the demonstration clients and secrets, known to everybody, are in use.
    pub dev: bool,
    /// The issuer identifier, byte for byte as it was given.
    pub issuer: Issuer,
    /// The address of the one port.
    pub listen: SocketAddr,
    /// The address of the metrics port.
    pub ops_listen: SocketAddr,
    /// The HS256 key: at least 32 bytes.
    pub jwt_secret: Option<Secret<String>>,
    /// The RS256 key files; `None` when no path was given.
    pub rs256_key_files: Option<KeyFiles>,
    /// The log filter, in the syntax of `tracing_subscriber::EnvFilter`.
    pub log: String,
    /// The form of log lines.
    pub log_format: LogFormat,
    /// What tokens get when their client says nothing else.
    pub tokens: Tokens,
    /// How long others may cache the JWKS: 1 s to 24 h, whole seconds.
    pub jwks_max_age: Duration,
    /// How long a signing key that the server owns is in use: 1 min to 10 years, whole seconds.
    pub key_rotation_period: Duration,
    /// Where and how state is kept.
    pub store: StoreSettings,
    /// Whether clients may register themselves (RFC 7591).
    pub registration: bool,
    /// Whether gRPC reflection answers.
    pub reflection: bool,
    /// What one caller may take.
    pub limits: Limits,
    /// Whether `listen` may be beyond loopback without TLS.
    pub allow_plain_http: bool,
    /// TLS on the one port.
    pub tls: Option<proof::Tls>,
    /// The authorities of client certificates.
    pub client_ca_file: Option<NamedFile>,
    /// Whose word is taken about client certificates.
    pub proxy: Option<proof::Proxy>,
    /// What happens to single use while the store is away.
    pub replay: proof::Replay,
    /// DPoP (RFC 9449).
    pub dpop: proof::Dpop,
    /// How key sets of others are fetched.
    pub jwks_fetch: proof::JwksFetch,
    /// Trust domains of SPIFFE.
    pub trust_domains: Vec<proof::TrustDomain>,
    /// Issuers whose tokens are accepted.
    pub trusted_issuers: Vec<proof::TrustedIssuer>,
    /// How clients can prove who they are.
    pub methods: methods::Methods,
    settings: Vec<EffectiveSetting>,
    clients: Vec<LocatedRegistration>,
    file: Option<PathBuf>,
    sources: Sources,
}

/// `[tokens]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// The lifetime of access tokens: 30 s to `max_lifetime`, whole seconds.
    pub default_lifetime: Duration,
    /// The longest lifetime any client may have: 30 s to 24 h, whole seconds.
    pub max_lifetime: Duration,
    /// The algorithm for clients that name none.
    pub signing_alg: SigningAlgorithm,
}

/// `database_url`, the master key and `[store]`
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The database.
    pub location: Location,
    /// The CA certificates of PostgreSQL; `None`: those the system trusts.
    pub ca_file: Option<PathBuf>,
    /// The master key; `None` with SQLite only, where one is made beside the database.
    pub master_key: Option<MasterKeySource>,
    /// How long clients that were read stay usable while the store is away.
    pub max_staleness: Duration,
    /// Without news of revocations for longer than this nothing is introspected.
    pub max_revocation_age: Duration,
    /// How often the store is asked what has changed; in milliseconds.
    pub poll_interval: Duration,
    /// Whether PostgreSQL is asked to tell of changes.
    pub notify: bool,
    /// The encrypted copy to start from while the store is away.
    pub snapshot_file: Option<PathBuf>,
    /// Clients that are kept in memory.
    pub client_cache: usize,
}

/// Where the master key comes from.
#[derive(Clone, Debug)]
pub enum MasterKeySource {
    /// Its text, which [`crate::sealing::MasterKeys::parse`] reads.
    Given(Secret<String>),
    /// The file that holds it.
    File(NamedFile),
}

/// `[limits]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections: 1 to 1,000,000.
    pub max_connections: usize,
    /// Open connections of one source address, proxies that are trusted excepted: 1 to 1,000,000; `None`: not limited.
    pub max_connections_per_source: Option<usize>,
    /// Bytes of a request body: 1 KiB to 16 MiB.
    pub max_body_bytes: usize,
    /// Bytes of all headers of a request: 8 KiB to 1 MiB.
    pub max_header_bytes: usize,
    /// Failed authentications per client and source address; `None`: not limited.
    pub failed_auth_rate: Option<Rate>,
    /// Requests per client, once it is known who asks; `None`: not limited.
    pub client_rate: Option<Rate>,
    /// Requests per source address; `None`: not limited.
    pub source_rate: Option<Rate>,
    /// How long work may wait for its turn: 1 ms to 10 s.
    pub queue_wait: Duration,
    /// How long the server goes on once it has said that it will end: 0 s to 5 min.
    pub shutdown_delay: Duration,
}

/// `log_format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// A setting as it is in effect.
#[derive(Clone, Debug)]
pub struct EffectiveSetting {
    /// Which one.
    pub setting: &'static Setting,
    /// Its text as it was given, a secret as `***`; `None` when it is not set.
    pub value: Option<String>,
    /// Where the value came from; [`Origin::Default`] also when it is not set.
    pub origin: Origin,
}

impl Config {
    /// Every setting, in the order of [`SETTINGS`].
    pub fn settings(&self) -> &[EffectiveSetting] {
        &self.settings
    }

    /// A problem with the value of a setting, found after the configuration was loaded.
    pub fn problem(&self, key: &str, text: impl Into<String>) -> Problem {
        let origin = self.settings.iter().find(|setting| setting.setting.key == key);
        Problem::new(origin.map_or(Origin::Default, |setting| setting.origin.clone()), key, text)
    }

    /// The TOML file that was read.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The configured clients as they were written, each with its place.
    pub fn registrations(&self) -> impl ExactSizeIterator<Item = (&ClientRegistration, &Origin)> {
        self.clients.iter().map(|client| (&client.registration, &client.place.origin))
    }

    /// The configured clients, checked. `keep` makes of a plain secret what is kept of it, in the given form; its error
    /// text must not contain the secret.
    ///
    /// # Errors
    /// [`ConfigErrors`] when `keep` fails; [`load`] has made all the other checks already.
    pub fn clients(
        &self,
        keep: impl FnMut(&Secret<String>, SecretForm) -> Result<SecretHash, String>,
    ) -> Result<Vec<Client>, ConfigErrors> {
        let provided = Provided {
            methods: &self.methods,
            trusted_issuers: &self.trusted_issuers,
            trust_domains: &self.trust_domains,
            jwks_fetch: &self.jwks_fetch,
        };
        clients::check(&self.clients, &self.tokens.defaults(), self.jwt_secret.is_some(), provided, keep)
    }

    /// Loads the same sources again. This configuration stays as it is, so that a refused reload changes nothing (F-30).
    ///
    /// # Errors
    /// As [`load`].
    pub fn reload(&self) -> Result<Self, ConfigErrors> {
        load(&self.sources)
    }
}

impl Tokens {
    /// What a client that leaves members out gets instead.
    pub const fn defaults(&self) -> RegistrationDefaults {
        RegistrationDefaults {
            signing_alg: self.signing_alg,
            lifetime: self.default_lifetime,
            max_lifetime: self.max_lifetime,
        }
    }
}

/// Reads and checks the whole configuration.
///
/// # Errors
/// Every problem of the file, the environment and the flags at once, clients included.
pub fn load(sources: &Sources) -> Result<Config, ConfigErrors> {
    let mut problems = Vec::new();
    let (raw, file) = read(sources, &mut problems);
    check::check(raw, sources.clone(), file, problems)
}

/// Where a server listens and what is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The address of the one port.
    pub listen: SocketAddr,
    /// The address of the metrics port, which never speaks TLS.
    pub ops_listen: SocketAddr,
    /// Whether the one port speaks TLS.
    pub tls: bool,
    /// Whether nobody gets in there without a certificate.
    pub certificate_required: bool,
}

/// The addresses the server listens on, whatever else may be wrong with the configuration.
///
/// # Errors
/// The problem with an address.
pub fn reach(sources: &Sources) -> Result<Reach, Problem> {
    let (raw, _) = read(sources, &mut Vec::new());
    check::reach(&raw)
}

fn read(sources: &Sources, problems: &mut Vec<Problem>) -> (RawConfig, Option<PathBuf>) {
    let named = raw::config_file(sources);
    let document = named.as_ref().map(|(path, origin)| match read_file(path) {
        Ok(text) => document::read(path, &text, problems),
        Err(error) => {
            let text =
                format!("{}: cannot be read ({error}); correct the path or its permissions", path.display());
            problems.push(Problem::new(origin.clone(), "", text));
            Document::default()
        }
    });
    (RawConfig::layer(sources, document, problems), named.map(|(path, _)| path.to_owned()))
}

/// The text of the file, wiped from memory after use because it may hold secrets.
fn read_file(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let length = File::open(path)?.take(document::MAX_LENGTH + 1).read_to_string(&mut text)?;
    if length as u64 > document::MAX_LENGTH {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    Ok(text)
}
