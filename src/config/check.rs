//! From the text of the settings to checked values, every problem reported.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use super::{
    Config, EffectiveSetting, Limits, LogFormat, Reach, Sources, Tokens, clients, duration,
    methods::Methods,
    problem::{ConfigErrors, NamedFile, Origin, Problem},
    provided::Provided,
    rate,
    raw::RawConfig,
    setting::{Kind, SETTINGS},
};
use crate::{
    jose::SigningAlgorithm,
    key_file::KeyFiles,
    oauth::{
        client::{SecretHash, registration::LIFETIME_RANGE},
        issuer::Issuer,
    },
    rate::Rate,
    secret::Secret,
    store::Location,
};

/// The word that stands in place of a key file and asks for a generated one.
pub(super) const AUTO_GENERATE: &str = "auto-gen";

/// Below, a timer could not tell waiting from its own steps; above, callers have given up.
const QUEUE_WAIT_RANGE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(10);

/// Above, whoever runs the server has ended it by force.
const SHUTDOWN_DELAY_RANGE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(300);

/// RFC 7518 §3.2: a key of the same size as the hash output or larger, in bytes.
const MIN_JWT_SECRET: usize = 32;

/// Checks every setting and every client. A setting that is wrong has its default while the rest is checked.
///
/// # Errors
/// What is wrong, together with the `problems` found before.
pub(super) fn check(
    raw: RawConfig,
    sources: Sources,
    file: Option<PathBuf>,
    mut problems: Vec<Problem>,
) -> Result<Config, ConfigErrors> {
    let dev = sources.dev;
    let mut check = Checker { raw: &raw, problems: &mut problems };
    let issuer = check.issuer();
    let (listen, ops_listen) = check.addresses(dev);
    let jwt_secret = check.value("jwt_secret", |text| jwt_secret(text).map(Some), None);
    let tokens = check.tokens();
    let rs256_key_files = check.key_files();
    let log = check.value("log", log_filter, String::new());
    let log_format = check.value("log_format", log_format, LogFormat::Text);
    let jwks_max_age =
        check.value("keys.jwks_max_age", |text| seconds(text, &JWKS_MAX_AGE), *JWKS_MAX_AGE.start());
    let key_rotation_period = check.key_rotation_period(jwks_max_age);
    let store = check.store();
    let registration = check.value("admin.registration", boolean, false);
    let reflection = check.value("reflection.enabled", boolean, false);
    let limits = check.limits();
    let (proxy, replay) = (check.proxy(), check.replay());
    let (tls, client_ca_file) = check.tls(sources.tls, proxy.as_ref());
    let (dpop, jwks_fetch) = (check.dpop(), check.jwks_fetch());
    let (trust_domains, trusted_issuers) = check.tables(issuer.as_ref().ok(), &jwks_fetch);
    let allow_plain_http = check.value("allow_plain_http", boolean, false);
    if !(dev || allow_plain_http || tls.is_some() || listen.ip().is_loopback()) {
        check.report("listen", plain_beyond_loopback(listen));
    }

    let methods = Methods::of(tls.as_ref(), client_ca_file.is_some(), proxy.as_ref(), &trust_domains);

    // A refused JWT_SECRET is one problem, not one of every client that needs it.
    let has_jwt_secret = raw.get("jwt_secret").is_some();
    if tokens.signing_alg.is_symmetric() && !has_jwt_secret {
        let text = "HS256 needs a key; set JWT_SECRET to at least 32 random bytes";
        Checker { raw: &raw, problems: &mut problems }.report("tokens.signing_alg", text);
    }
    // No time goes into hashing while the rest is checked.
    let stand_in = |secret: &Secret<String>, form| Ok(SecretHash::stand_in(secret, form));
    let provided = Provided {
        methods: &methods,
        trusted_issuers: &trusted_issuers,
        trust_domains: &trust_domains,
        jwks_fetch: &jwks_fetch,
    };
    if let Err(errors) = clients::check(&raw.clients, &tokens.defaults(), has_jwt_secret, provided, stand_in)
    {
        problems.extend_from_slice(errors.problems());
    }

    ConfigErrors::unless_empty(problems)?;
    let issuer = issuer?;
    let settings = effective(&raw);
    Ok(Config {
        dev,
        issuer,
        listen,
        ops_listen,
        jwt_secret,
        rs256_key_files,
        log,
        log_format,
        tokens,
        jwks_max_age,
        key_rotation_period,
        store,
        registration,
        reflection,
        limits,
        allow_plain_http,
        tls,
        client_ca_file,
        proxy,
        replay,
        dpop,
        jwks_fetch,
        trust_domains,
        trusted_issuers,
        methods,
        settings,
        clients: raw.clients,
        file,
        sources,
    })
}

const JWKS_MAX_AGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

/// Only where the server listens and how, for whoever wants to reach it rather than to be it.
pub(super) fn reach(raw: &RawConfig) -> Result<Reach, Problem> {
    let mut problems = Vec::new();
    let mut check = Checker { raw, problems: &mut problems };
    let reach = Reach {
        listen: check.value("listen", address, DEFAULT_LISTEN),
        ops_listen: check.value("ops_listen", address, DEFAULT_OPS_LISTEN),
        tls: raw.get("tls.cert_file").is_some(),
        certificate_required: raw
            .get("tls.client_auth")
            .is_some_and(|given| given.text.expose() == "required"),
    };
    problems.pop().map_or(Ok(reach), Err)
}

/// A server that shows secrets to a network was hardly meant to.
fn plain_beyond_loopback(listen: SocketAddr) -> String {
    format!(
        "{listen}: plain HTTP beyond loopback shows every secret and token to the network; set tls.cert_file and \
         tls.key_file, or allow_plain_http = true (MINTAGE_ALLOW_PLAIN_HTTP) when a sidecar or proxy in front speaks TLS"
    )
}

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8000);

const DEFAULT_OPS_LISTEN: SocketAddr = SocketAddr::new(DEFAULT_LISTEN.ip(), 9000);

pub(super) struct Checker<'a> {
    pub(super) raw: &'a RawConfig,
    problems: &'a mut Vec<Problem>,
}

impl Checker<'_> {
    /// The value of a setting; `instead` stands for one that is not set or refused.
    pub(super) fn value<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
        instead: T,
    ) -> T {
        let Some(given) = self.raw.get(key) else { return instead };
        parse(given.text.expose()).unwrap_or_else(|text| {
            self.report(key, text);
            instead
        })
    }

    /// The file that a setting names.
    pub(super) fn file(&self, key: &str) -> Option<NamedFile> {
        let given = self.raw.get(key)?;
        Some(NamedFile::new(given.text.expose(), key, given.origin.clone()))
    }

    pub(super) fn report(&mut self, key: &str, text: impl Into<String>) {
        let origin = self.raw.get(key).map_or(Origin::Default, |given| given.origin.clone());
        self.problems.push(Problem::new(origin, key, text));
    }

    pub(super) fn report_at(&mut self, origin: &Origin, name: String, text: impl Into<String>) {
        self.problems.push(Problem::new(origin.clone(), name, text));
    }

    /// The error repeats what is reported, for the one setting that has nothing to stand in for it.
    fn issuer(&mut self) -> Result<Issuer, ConfigErrors> {
        let problem = match self.raw.get("issuer") {
            Some(given) => match Issuer::parse(given.text.expose()) {
                Ok(issuer) => return Ok(issuer),
                Err(error) => Problem::new(given.origin.clone(), "issuer", error.to_string()),
            },
            None => Problem::new(
                Origin::Default,
                "issuer",
                "is not set; set ISSUER_URL, or issuer in the TOML file, to the URL at which clients reach this server, or \
                 try `mintage serve --dev`",
            ),
        };
        if self.raw.get("issuer").is_some() || self.raw.complete {
            self.problems.push(problem.clone());
        }
        Err(ConfigErrors::one(problem))
    }

    fn addresses(&mut self, dev: bool) -> (SocketAddr, SocketAddr) {
        let listen = self.value("listen", address, DEFAULT_LISTEN);
        let ops_listen = self.value("ops_listen", address, DEFAULT_OPS_LISTEN);
        let by_flag = self.raw.get("listen").is_some_and(|given| matches!(given.origin, Origin::Flag(_)));
        // The demonstration credentials are public: opening them to a network takes an explicit word.
        if dev && !listen.ip().is_loopback() && !by_flag {
            let text = "--dev has public credentials and listens on loopback only; name the address with --listen to open it \
                        all the same";
            self.report("listen", format!("{listen}: {text}"));
        }
        if dev && !ops_listen.ip().is_loopback() {
            self.report(
                "ops_listen",
                format!("{ops_listen}: --dev keeps the metrics port on loopback; leave it out"),
            );
        }
        if listen == ops_listen && listen.port() != 0 {
            self.report(
                "ops_listen",
                format!("{ops_listen} is the address of listen already; choose another port"),
            );
        }
        (listen, ops_listen)
    }

    fn tokens(&mut self) -> Tokens {
        let max_lifetime =
            self.value("tokens.max_lifetime", |text| seconds(text, &LIFETIME_RANGE), *LIFETIME_RANGE.end());
        let default_lifetime = self.value(
            "tokens.default_lifetime",
            |text| seconds(text, &LIFETIME_RANGE),
            *LIFETIME_RANGE.start(),
        );
        if default_lifetime > max_lifetime {
            let given =
                self.raw.get("tokens.default_lifetime").is_some_and(|given| given.origin != Origin::Default);
            // Whoever lowers one setting has not written the other.
            let (key, relation, other, value) = if given {
                ("tokens.default_lifetime", "above", "tokens.max_lifetime", max_lifetime)
            } else {
                ("tokens.max_lifetime", "below", "tokens.default_lifetime", default_lifetime)
            };
            self.report(
                key,
                format!("is {relation} {other}, {}; change one of the two", duration::format(value)),
            );
        }
        let signing_alg =
            self.value("tokens.signing_alg", |text| in_words(text.parse()), SigningAlgorithm::RS256);
        Tokens { default_lifetime, max_lifetime, signing_alg }
    }

    fn limits(&mut self) -> Limits {
        Limits {
            max_connections: self.value("limits.max_connections", |text| number(text, 1..=1_000_000), 1),
            max_connections_per_source: Some(self.value(
                "limits.max_connections_per_source",
                |text| number(text, 0..=1_000_000),
                0,
            ))
            .filter(|count| *count > 0),
            max_body_bytes: self.value("limits.max_body_bytes", |text| number(text, 1024..=16 << 20), 1024),
            max_header_bytes: self.value(
                "limits.max_header_bytes",
                |text| number(text, 8192..=1 << 20),
                8192,
            ),
            failed_auth_rate: self.rate("limits.failed_auth_rate"),
            client_rate: self.rate("limits.client_rate"),
            source_rate: self.rate("limits.source_rate"),
            queue_wait: self.value("limits.queue_wait", queue_wait, *QUEUE_WAIT_RANGE.end()),
            shutdown_delay: self.value(
                "limits.shutdown_delay",
                |text| seconds(text, &SHUTDOWN_DELAY_RANGE),
                Duration::ZERO,
            ),
        }
    }

    fn rate(&mut self, key: &'static str) -> Option<Rate> {
        self.value(key, |text| in_words(rate::parse(text)), None)
    }

    /// `auto-gen` in either variable decides; otherwise the private key is what signs and the public key a check of it.
    fn key_files(&mut self) -> Option<KeyFiles> {
        let path = |key| self.raw.get(key).map(|given| given.text.expose().as_str());
        match (path("rs256_private_key_path"), path("rs256_public_key_path")) {
            (Some(AUTO_GENERATE), _) | (_, Some(AUTO_GENERATE)) => Some(KeyFiles::AutoGenerate),
            (Some(private), public) => {
                Some(KeyFiles::Given { private: private.into(), public: public.map(PathBuf::from) })
            }
            (None, Some(_)) => {
                let text = "needs the private key beside it; set RS256_PRIVATE_KEY_PATH, or auto-gen to generate a pair";
                self.report("rs256_public_key_path", text);
                None
            }
            (None, None) => None,
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} must be an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000")
    })
}

// CHK-77
fn jwt_secret(text: &str) -> Result<Secret<String>, String> {
    if text.len() < MIN_JWT_SECRET {
        return Err(format!(
            "has {} bytes, and HS256 needs at least {MIN_JWT_SECRET}; use the output of `openssl rand -base64 32`",
            text.len()
        ));
    }
    Ok(Secret::from(text))
}

fn log_filter(text: &str) -> Result<String, String> {
    match text.parse::<tracing_subscriber::EnvFilter>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            Err(format!("{error}; write a level such as info, or pairs such as info,mintage=debug"))
        }
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be text or json".to_owned()),
    }
}

pub(super) fn seconds(text: &str, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    let value = in_words(duration::parse(text))?;
    if !range.contains(&value) || value.subsec_nanos() != 0 {
        let (shortest, longest) = (duration::format(*range.start()), duration::format(*range.end()));
        return Err(format!("must be {shortest} to {longest}, in whole seconds"));
    }
    Ok(value)
}

fn queue_wait(text: &str) -> Result<Duration, String> {
    let value = in_words(duration::parse(text))?;
    let (shortest, longest) =
        (duration::format(*QUEUE_WAIT_RANGE.start()), duration::format(*QUEUE_WAIT_RANGE.end()));
    QUEUE_WAIT_RANGE
        .contains(&value)
        .then_some(value)
        .ok_or_else(|| format!("must be a duration of {shortest} to {longest}"))
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".to_owned())
}

pub(super) fn number(text: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    let value = text.parse().ok().filter(|value| range.contains(value));
    value.ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
}

pub(super) fn in_words<T, E: ToString>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// Every setting with its text and origin; secrets as `***`.
fn effective(raw: &RawConfig) -> Vec<EffectiveSetting> {
    SETTINGS
        .iter()
        .map(|setting| {
            let given = raw.get(setting.key);
            let shown = |text: &Secret<String>| match setting.kind {
                _ if setting.secret => "***".to_owned(),
                // Without the password.
                Kind::Database => {
                    Location::parse(text.expose()).map_or("***".to_owned(), |location| location.to_string())
                }
                _ => text.expose().clone(),
            };
            EffectiveSetting {
                setting,
                value: given.map(|given| shown(&given.text)),
                origin: given.map_or(Origin::Default, |given| given.origin.clone()),
            }
        })
        .collect()
}
