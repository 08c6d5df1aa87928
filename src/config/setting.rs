//! Every setting of the server in one table: its key, environment names, kind, default and meaning.
//!
//! The TOML reader, the environment reader, `mintage config show` and the documentation are driven by this table, so
//! that a setting cannot exist in one of them alone. What a value must look like beyond its kind is decided in `check`.

/// What a value is, which also decides how TOML writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A list of texts, joined by commas outside TOML.
    Texts,
    /// An `https` or `http` URL.
    Url,
    /// An IP address and a port.
    Address,
    /// The path of a file.
    Path,
    /// A database.
    Database,
    /// A number with a unit.
    Duration,
    /// Events per time.
    Rate,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Boolean,
}

impl Kind {
    /// The kind in words, as an error and the documentation give it, with the way TOML writes it.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Text => "text in quotes",
            Self::Texts => "a list of texts in quotes, such as [\"a\", \"b\"]",
            Self::Url => "a URL in quotes",
            Self::Address => "an address with a port in quotes, such as \"127.0.0.1:8000\"",
            Self::Path => "a path in quotes",
            Self::Database => "a database in quotes, such as \"sqlite:///var/lib/mintage/mintage.db\"",
            Self::Duration => "a duration in quotes: a number and ms, s, m, h or d, such as \"30s\"",
            Self::Rate => "a rate in quotes, such as \"40/10s\", or \"off\"",
            Self::Number => "a whole number without quotes",
            Self::Boolean => "true or false, without quotes",
        }
    }
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// The key in the TOML file, with its section: `tokens.default_lifetime`.
    pub key: &'static str,
    /// What the value is.
    pub kind: Kind,
    /// The value when nobody gives one. Sizes are in bytes.
    pub default: Option<&'static str>,
    /// The environment name that older deployments use beside [`Setting::environment`].
    pub original_environment: Option<&'static str>,
    /// Whether the value must never be shown.
    pub secret: bool,
    /// The meaning, in one line.
    pub doc: &'static str,
}

impl Setting {
    /// The environment name made from the key: `MINTAGE_TOKENS_DEFAULT_LIFETIME`.
    pub fn environment(&self) -> String {
        environment_name(self.key)
    }

    /// Every environment name of the setting, the original one first.
    pub fn environment_names(&self) -> impl Iterator<Item = String> {
        self.original_environment.map(str::to_owned).into_iter().chain([self.environment()])
    }
}

/// `tokens.default_lifetime` -> `MINTAGE_TOKENS_DEFAULT_LIFETIME`
pub(super) fn environment_name(key: &str) -> String {
    format!("MINTAGE_{}", key.replace('.', "_").to_ascii_uppercase())
}

/// A setting that is neither secret nor has an original environment name.
const fn setting(key: &'static str, kind: Kind, default: Option<&'static str>, doc: &'static str) -> Setting {
    Setting { key, kind, default, original_environment: None, secret: false, doc }
}

/// All settings, in the order in which they are shown.
pub static SETTINGS: [Setting; 49] = [
    Setting {
        original_environment: Some("ISSUER_URL"),
        ..setting(
            "issuer",
            Kind::Url,
            None,
            "issuer identifier, used byte for byte; with --dev http://localhost and the port",
        )
    },
    setting("listen", Kind::Address, Some("127.0.0.1:8000"), "address of the one port for REST and gRPC"),
    setting("ops_listen", Kind::Address, Some("127.0.0.1:9000"), "address of the metrics and health port"),
    Setting {
        original_environment: Some("JWT_SECRET"),
        secret: true,
        ..setting(
            "jwt_secret",
            Kind::Text,
            None,
            "HS256 key, at least 32 bytes; a public demo value with --dev",
        )
    },
    Setting {
        original_environment: Some("RS256_PRIVATE_KEY_PATH"),
        ..setting(
            "rs256_private_key_path",
            Kind::Path,
            None,
            "PEM file of the RS256 signing key, or auto-gen",
        )
    },
    Setting {
        original_environment: Some("RS256_PUBLIC_KEY_PATH"),
        ..setting(
            "rs256_public_key_path",
            Kind::Path,
            None,
            "PEM file of its public key, which must match, or auto-gen",
        )
    },
    setting(
        "allow_plain_http",
        Kind::Boolean,
        Some("false"),
        "whether `listen` may be beyond loopback without TLS: a sidecar or proxy in front encrypts",
    ),
    setting(
        "tls.cert_file",
        Kind::Path,
        None,
        "PEM file of the certificate and its intermediates; the one port then speaks TLS",
    ),
    setting("tls.key_file", Kind::Path, None, "PEM file of its private key"),
    setting(
        "tls.client_ca_file",
        Kind::Path,
        None,
        "PEM file of the authorities whose client certificates tls_client_auth accepts",
    ),
    setting(
        "tls.client_auth",
        Kind::Text,
        Some("off"),
        "whether clients are asked for a certificate: off, optional or required",
    ),
    setting(
        "proxy.trusted",
        Kind::Texts,
        None,
        "networks whose proxies are believed about client certificates, such as [\"10.0.0.0/8\"]",
    ),
    setting(
        "proxy.client_cert_header",
        Kind::Text,
        None,
        "header in which they pass it on: x-forwarded-client-cert or client-cert",
    ),
    setting(
        "replay",
        Kind::Text,
        Some("strict"),
        "while the store cannot be reached: strict refuses what must be used once, local remembers it per replica",
    ),
    setting(
        "dpop.nonce",
        Kind::Text,
        Some("off"),
        "whether DPoP proofs must carry a nonce of this server: off or required",
    ),
    setting("dpop.max_age", Kind::Duration, Some("60s"), "how old a DPoP proof may be, 1s to 10m"),
    setting(
        "jwks_fetch.allow_hosts",
        Kind::Texts,
        None,
        "hosts, with or without port, that key sets are fetched from whatever address they have",
    ),
    setting(
        "jwks_fetch.allow_private",
        Kind::Boolean,
        Some("false"),
        "whether key sets are fetched from private and loopback addresses",
    ),
    setting(
        "jwks_fetch.allow_http",
        Kind::Boolean,
        Some("false"),
        "whether key sets are fetched without TLS",
    ),
    setting(
        "jwks_fetch.timeout",
        Kind::Duration,
        Some("2s"),
        "how long fetching a key set may take, 100ms to 30s",
    ),
    setting(
        "jwks_fetch.max_bytes",
        Kind::Number,
        Some("262144"),
        "how long a fetched key set may be, 1024 to 4194304",
    ),
    setting(
        "database_url",
        Kind::Database,
        Some("sqlite://mintage.db"),
        "sqlite://PATH, sqlite::memory: or postgres://...; with --dev sqlite::memory:",
    ),
    setting(
        "database_ca_file",
        Kind::Path,
        None,
        "PEM file of the CA that PostgreSQL's certificate is verified with; else those the system trusts",
    ),
    Setting {
        secret: true,
        ..setting(
            "master_key",
            Kind::Text,
            None,
            "key that seals secrets in the store: 32 bytes in base64; with SQLite one is made when it is not set",
        )
    },
    setting("master_key_file", Kind::Path, None, "file that holds the master key instead"),
    setting(
        "log",
        Kind::Text,
        Some("info"),
        "log filter: a level, or target=level pairs separated by commas",
    ),
    setting("log_format", Kind::Text, Some("text"), "form of the log lines: text or json"),
    setting(
        "tokens.default_lifetime",
        Kind::Duration,
        Some("1h"),
        "lifetime of access tokens, 30s to max_lifetime",
    ),
    setting(
        "tokens.max_lifetime",
        Kind::Duration,
        Some("24h"),
        "longest lifetime any client may have, 30s to 24h",
    ),
    setting(
        "tokens.signing_alg",
        Kind::Text,
        Some("RS256"),
        "algorithm of clients that name none: RS256, PS256, ES256, ES384, EdDSA or HS256",
    ),
    setting("keys.jwks_max_age", Kind::Duration, Some("5m"), "how long others may cache the JWKS, 1s to 24h"),
    setting(
        "keys.rotation_period",
        Kind::Duration,
        Some("90d"),
        "how long a signing key that the server owns is in use, 1m to 3650d",
    ),
    setting(
        "store.max_staleness",
        Kind::Duration,
        Some("24h"),
        "how long clients that were read stay usable while the store is away, 0s to 30d",
    ),
    setting(
        "store.max_revocation_age",
        Kind::Duration,
        Some("30s"),
        "without news of revocations for longer than this nothing is introspected, 1s to 1h",
    ),
    setting(
        "store.poll_interval",
        Kind::Duration,
        Some("500ms"),
        "how often the store is asked what has changed, 50ms to 1m",
    ),
    setting(
        "store.notify",
        Kind::Boolean,
        Some("true"),
        "whether PostgreSQL tells of changes before the next poll; false for what has no LISTEN",
    ),
    setting(
        "store.snapshot_file",
        Kind::Path,
        None,
        "encrypted copy of keys, clients and revocations to start from while the store is away",
    ),
    setting(
        "store.client_cache",
        Kind::Number,
        Some("100000"),
        "clients of the store that are kept in memory, 100 to 10000000",
    ),
    setting(
        "admin.registration",
        Kind::Boolean,
        Some("false"),
        "dynamic client registration (RFC 7591) on the public port",
    ),
    setting("reflection.enabled", Kind::Boolean, Some("false"), "gRPC server reflection; true with --dev"),
    setting("limits.max_connections", Kind::Number, Some("10000"), "open connections, 1 to 1000000"),
    setting(
        "limits.max_connections_per_source",
        Kind::Number,
        Some("0"),
        "open connections from one source address that is no trusted proxy, 1 to 1000000, or 0 for any number",
    ),
    setting(
        "limits.max_body_bytes",
        Kind::Number,
        Some("65536"),
        "bytes of a request body, 1024 to 16777216",
    ),
    setting(
        "limits.max_header_bytes",
        Kind::Number,
        Some("16384"),
        "bytes of all request headers, 8192 to 1048576",
    ),
    setting(
        "limits.failed_auth_rate",
        Kind::Rate,
        Some("40/10s"),
        "failed client authentications per client and source address, or off",
    ),
    setting(
        "limits.client_rate",
        Kind::Rate,
        Some("off"),
        "requests per client, counted once it is authenticated, or off",
    ),
    setting(
        "limits.source_rate",
        Kind::Rate,
        Some("off"),
        "requests per source address (IPv6: per /64), trusted proxies and health excepted, or off",
    ),
    setting(
        "limits.queue_wait",
        Kind::Duration,
        Some("100ms"),
        "how long a request may wait for its turn to be signed or served, 1ms to 10s; beyond that it is refused",
    ),
    setting(
        "limits.shutdown_delay",
        Kind::Duration,
        Some("0s"),
        "after SIGTERM, how long everything is still served while readiness is off already, 0s to 5m: as long as a balancer needs to notice",
    ),
];

/// The setting with this key.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_names_follow_from_the_keys() {
        let names = |key| find(key).unwrap().environment_names().collect::<Vec<_>>();
        assert_eq!(names("tokens.default_lifetime"), ["MINTAGE_TOKENS_DEFAULT_LIFETIME"]);
        assert_eq!(names("issuer"), ["ISSUER_URL", "MINTAGE_ISSUER"]);
        assert_eq!(names("jwt_secret"), ["JWT_SECRET", "MINTAGE_JWT_SECRET"]);
    }

    #[test]
    fn no_name_belongs_to_two_settings() {
        let mut names: Vec<String> = SETTINGS.iter().flat_map(Setting::environment_names).collect();
        names.sort();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        assert!(SETTINGS.iter().all(|setting| !setting.doc.is_empty()));
    }
}
