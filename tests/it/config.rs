//! The configuration: layers, checks, and errors that say where and what to do.

mod proof;
mod store;
mod tls;

use std::{path::Path, time::Duration};

use mintage::{
    config::{self, Config, ConfigErrors, Environment, Origin, Sources},
    jose::SigningAlgorithm,
    key_file::KeyFiles,
    oauth::client::{Client, SecretHash},
    rate::Rate,
};
use proptest::prelude::*;
use tempfile::TempDir;

const CANARY: &str = "canary-7c1f-canary-7c1f-canary-7c1f";

/// A directory for one configuration file.
struct File {
    directory: TempDir,
    text: String,
}

impl File {
    fn new(text: &str) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), text: text.to_owned() }
    }

    fn beside(self, name: &str, content: &[u8]) -> Self {
        std::fs::write(self.directory.path().join(name), content).unwrap();
        self
    }

    fn load(&self, sources: Sources) -> Result<Config, ConfigErrors> {
        let path = self.directory.path().join("m.toml");
        std::fs::write(&path, &self.text).unwrap();
        config::load(&Sources { config_file: Some(path), ..sources })
    }

    /// The problems, without the directory.
    fn problems(&self, sources: Sources) -> Vec<String> {
        let directory = format!("{}/", self.directory.path().display());
        lines(&self.load(sources).unwrap_err()).iter().map(|line| line.replace(&directory, "")).collect()
    }
}

fn lines(errors: &ConfigErrors) -> Vec<String> {
    errors.to_string().lines().map(str::to_owned).collect()
}

fn environment(variables: &[(&str, &str)]) -> Sources {
    Sources { environment: variables.iter().copied().collect::<Environment>(), ..Sources::default() }
}

fn dev(variables: &[(&str, &str)]) -> Sources {
    Sources { dev: true, ..environment(variables) }
}

/// The problems of an otherwise sufficient environment with these variables.
fn refusals(variables: &[(&str, &str)]) -> Vec<String> {
    let all = [&[("ISSUER_URL", "https://id.example")], variables].concat();
    lines(&config::load(&environment(&all)).unwrap_err())
}

fn origin(config: &Config, key: &str) -> String {
    config.settings().iter().find(|setting| setting.setting.key == key).unwrap().origin.to_string()
}

const HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn clients(config: &Config) -> Vec<Client> {
    config.clients(|_, _| SecretHash::parse(HASH)).unwrap()
}

#[test]
fn the_issuer_is_enough() {
    let config = config::load(&environment(&[("ISSUER_URL", "https://ID.example/a")])).unwrap();
    assert_eq!(config.issuer.as_str(), "https://ID.example/a");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(config.ops_listen.to_string(), "127.0.0.1:9000");
    assert_eq!(config.tokens.default_lifetime, Duration::from_secs(3600));
    assert_eq!(config.tokens.max_lifetime, Duration::from_secs(86_400));
    assert_eq!(config.tokens.signing_alg, SigningAlgorithm::RS256);
    assert_eq!(config.jwks_max_age, Duration::from_secs(300));
    let rate = Rate { count: 40.try_into().unwrap(), period: Duration::from_secs(10) };
    assert_eq!(config.limits.failed_auth_rate, Some(rate));
    assert_eq!((config.limits.client_rate, config.limits.source_rate), (None, None));
    assert_eq!(config.limits.queue_wait, Duration::from_millis(100));
    assert_eq!(
        (config.limits.max_connections, config.limits.max_body_bytes, config.limits.max_header_bytes),
        (10_000, 65_536, 16_384)
    );
    assert!(
        !config.dev && !config.reflection && config.jwt_secret.is_none() && config.rs256_key_files.is_none()
    );
    assert_eq!(config.registrations().len(), 0);
}

#[test]
fn each_layer_covers_the_one_below() {
    let file = File::new(
        "issuer = \"https://file.example\"\nlisten = \"127.0.0.1:1\"\nops_listen = \"127.0.0.1:2\"\n",
    );
    let mut sources =
        environment(&[("MINTAGE_LISTEN", "127.0.0.1:3"), ("MINTAGE_OPS_LISTEN", "127.0.0.1:4")]);
    let config = file.load(sources.clone()).unwrap();
    assert_eq!((config.listen.port(), config.ops_listen.port()), (3, 4));
    assert_eq!(origin(&config, "listen"), "MINTAGE_LISTEN");
    assert!(origin(&config, "issuer").ends_with("m.toml:1"));
    assert_eq!(origin(&config, "log"), "default");

    sources.listen = Some("127.0.0.1:5".to_owned());
    let config = file.load(sources).unwrap();
    assert_eq!((config.listen.port(), origin(&config, "listen").as_str()), (5, "--listen"));
}

#[test]
fn the_environment_can_name_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.toml");
    std::fs::write(&path, "issuer = \"https://file.example\"").unwrap();
    let config = config::load(&environment(&[("MINTAGE_CONFIG", path.to_str().unwrap())])).unwrap();
    assert_eq!(config.file(), Some(path.as_path()));
    let refused = config::load(&environment(&[("MINTAGE_CONFIG", "/nowhere/m.toml")])).unwrap_err();
    assert!(refused.to_string().contains("MINTAGE_CONFIG: /nowhere/m.toml: cannot be read"), "{refused}");
}

#[test]
fn without_an_issuer_the_remedy_is_named() {
    let refused = config::load(&Sources::default()).unwrap_err().to_string();
    assert!(
        refused.starts_with("issuer: is not set; set ISSUER_URL") && refused.contains("mintage serve --dev"),
        "{refused}"
    );
}

// CHK-77
#[test]
fn a_short_hs256_key_is_refused() {
    let short = "x".repeat(31);
    let refused = refusals(&[("JWT_SECRET", &short)]);
    assert_eq!(refused.len(), 1);
    assert!(
        refused[0].starts_with("JWT_SECRET: jwt_secret: has 31 bytes, and HS256 needs at least 32"),
        "{refused:?}"
    );
    assert!(!refused[0].contains(&short));
    assert!(config::load(&dev(&[("JWT_SECRET", &"x".repeat(32))])).is_ok());
}

#[test]
fn every_setting_has_its_limits() {
    for (variable, refused, accepted) in [
        ("MINTAGE_LISTEN", "localhost:8000", "[::1]:8000"),
        ("MINTAGE_OPS_LISTEN", "127.0.0.1:8000", "127.0.0.1:8001"),
        ("MINTAGE_TOKENS_DEFAULT_LIFETIME", "29s", "30s"),
        ("MINTAGE_TOKENS_DEFAULT_LIFETIME", "90500ms", "90000ms"),
        ("MINTAGE_TOKENS_DEFAULT_LIFETIME", "3600", "24h"),
        ("MINTAGE_TOKENS_MAX_LIFETIME", "86401s", "86400s"),
        ("MINTAGE_TOKENS_MAX_LIFETIME", "59m", "60m"),
        ("MINTAGE_TOKENS_SIGNING_ALG", "none", "EdDSA"),
        ("MINTAGE_TOKENS_SIGNING_ALG", "HS256", "ES256"),
        ("MINTAGE_KEYS_JWKS_MAX_AGE", "0s", "1s"),
        ("MINTAGE_REFLECTION_ENABLED", "yes", "true"),
        ("MINTAGE_LIMITS_MAX_CONNECTIONS", "0", "1"),
        ("MINTAGE_LIMITS_MAX_BODY_BYTES", "1023", "1024"),
        ("MINTAGE_LIMITS_MAX_HEADER_BYTES", "1048577", "1048576"),
        ("MINTAGE_LIMITS_FAILED_AUTH_RATE", "40", "off"),
        ("MINTAGE_LOG", "mintage=loud", "warn,mintage=debug"),
        ("MINTAGE_LOG_FORMAT", "xml", "json"),
        ("RS256_PUBLIC_KEY_PATH", "/k.pem", "auto-gen"),
        ("MINTAGE_ISSUER", "https://other.example", "https://id.example"),
    ] {
        let problems = refusals(&[(variable, refused)]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(variable) || problems[0].contains("MINTAGE_ISSUER"), "{problems:?}");
        let loaded =
            config::load(&environment(&[("ISSUER_URL", "https://id.example"), (variable, accepted)]));
        assert!(loaded.is_ok(), "{variable}: {}", loaded.unwrap_err());
    }
    for issuer in
        ["id.example", "ftp://id.example", "https://", "https://id.example?a", "https://id.example#a"]
    {
        assert!(config::load(&environment(&[("ISSUER_URL", issuer)])).is_err(), "{issuer}");
    }
}

#[test]
fn auto_gen_in_either_variable_decides() {
    for variables in [
        [("RS256_PRIVATE_KEY_PATH", "auto-gen"), ("RS256_PUBLIC_KEY_PATH", "/k.pem")],
        [("RS256_PRIVATE_KEY_PATH", "/k.pem"), ("RS256_PUBLIC_KEY_PATH", "auto-gen")],
    ] {
        assert_eq!(config::load(&dev(&variables)).unwrap().rs256_key_files, Some(KeyFiles::AutoGenerate));
    }
    let given = KeyFiles::Given { private: "/k.pem".into(), public: None };
    assert_eq!(
        config::load(&dev(&[("RS256_PRIVATE_KEY_PATH", "/k.pem")])).unwrap().rs256_key_files,
        Some(given)
    );
}

#[test]
fn unknown_variables_and_wrong_limits_are_refused() {
    let refused = refusals(&[
        ("MINTAGE_LISTN", "x"),
        ("MINTAGE_LIMITS_CLIENT_RATE", "1/s"),
        ("MINTAGE_LIMITS_QUEUE_WAIT", "11s"),
        ("MINTAGE_TRUSTED_ISSUERS", "x"),
    ]);
    assert_eq!(
        refused,
        [
            "MINTAGE_LIMITS_CLIENT_RATE: limits.client_rate: a rate is a number from 1 on and a duration of 1s to 1h, such as \"40/10s\", or \"off\"",
            "MINTAGE_LIMITS_QUEUE_WAIT: limits.queue_wait: must be a duration of 1ms to 10s",
            "MINTAGE_LISTN: is not known; did you mean MINTAGE_LISTEN?",
            "MINTAGE_TRUSTED_ISSUERS: is a table of the TOML file and has no variable; write [[trusted_issuers]] there",
        ]
    );
}

#[test]
fn dev_needs_nothing_and_stays_on_loopback() {
    let config = config::load(&dev(&[])).unwrap();
    assert_eq!(config.issuer.as_str(), "http://localhost:8000");
    assert!(config.dev && config.reflection && config.jwt_secret.is_some());
    let registered = clients(&config);
    let ids: Vec<_> = registered.iter().map(|client| client.client_id.as_str()).collect();
    assert_eq!(ids, ["m2m-client", "m2m-client-hs256", "resource-server"]);
    assert_eq!(registered[1].access_token_signing_alg, SigningAlgorithm::HS256);
    assert!(registered[2].grant_types.is_empty());

    let config = config::load(&dev(&[("MINTAGE_LISTEN", "127.0.0.1:8123")])).unwrap();
    assert_eq!(config.issuer.as_str(), "http://localhost:8123");

    for variable in ["MINTAGE_LISTEN", "MINTAGE_OPS_LISTEN"] {
        let refused = config::load(&dev(&[(variable, "0.0.0.0:8000")])).unwrap_err().to_string();
        assert!(refused.contains("loopback"), "{refused}");
    }
    let by_flag = Sources { listen: Some("0.0.0.0:8000".to_owned()), ..dev(&[]) };
    assert!(config::load(&by_flag).is_ok());
}

#[test]
fn dev_and_a_file_make_a_union() {
    let file = File::new("[[clients]]\nclient_id = \"billing\"\nclient_secret = \"s\"\n");
    assert_eq!(file.load(dev(&[])).unwrap().registrations().len(), 4);
    let file = File::new("[[clients]]\nclient_id = \"m2m-client\"\nclient_secret = \"s\"\n");
    assert_eq!(
        file.problems(dev(&[])),
        [
            "m.toml:2: clients[0].client_id: \"m2m-client\" is a built-in client of --dev; choose another client_id, or leave out --dev"
        ]
    );
}

#[test]
fn a_client_is_read_exactly() {
    let text = r#"
[[clients]]
client_id = "a:b c"
client_name = "Billing"
client_secret_file = "secret.txt"
token_endpoint_auth_method = "client_secret_basic"
grant_types = ["client_credentials"]
scope = "read write"
audiences = ["https://api.example"]
access_token_signing_alg = "ES256"
access_token_lifetime = "5m"
introspect = "any"
enabled = false
profile = "strict"
[clients.claims]
name = "Billing"
ratio = 1.10
big = 12345678901234567890123
grouped = +1_000
hex = 0xff
nested = { b = [true, { c = "é" }], a = 1e2 }
"#;
    let config = File::new(text).beside("secret.txt", b"s3cret\n").load(dev(&[])).unwrap();
    let mut secrets = Vec::new();
    let all = config
        .clients(|secret, _| {
            secrets.push(secret.expose().clone());
            SecretHash::parse(HASH)
        })
        .unwrap();
    let client = all.last().unwrap();
    assert_eq!(secrets.last().unwrap(), "s3cret");
    assert_eq!(client.client_id.as_str(), "a:b c");
    assert_eq!(client.scope.as_str(), "read write");
    assert_eq!(client.access_token_lifetime, Duration::from_secs(300));
    assert!(!client.enabled);
    let claims: Vec<_> =
        client.claims.iter().map(|(name, value)| format!("{name}={}", value.get())).collect();
    assert_eq!(
        claims,
        [
            "name=\"Billing\"",
            "ratio=1.10",
            "big=12345678901234567890123",
            "grouped=1000",
            "hex=255",
            "nested={\"b\":[true,{\"c\":\"é\"}],\"a\":1e2}"
        ]
    );
}

#[test]
fn all_errors_of_a_file_come_at_once_with_their_lines() {
    let text = r#"isuer = "x"
listen = "nonsense"
replay = "never"

[[clients]]
client_id = "one"
client_secret = "s"
scope = "read  write"
claims = { since = 2020-01-01 }

[[clients]]
client_id = "one"
client_secret = 7
scopes = "read"
jwks_uri = "ftp://a.example"
access_token_lifetime = "1s"

[[clients]]
client_secret_file = "missing.txt"
token_endpoint_auth_method = "private_key_jwt"
profile = "fapi3"
grant_types = ["password"]
access_token_signing_alg = "HS256"

[[clients]]
client_id = "none"

[[clients]]
client_id = "two"
client_secret = "s"
client_secret_hash = "x"
"#;
    let problems = File::new(text).problems(environment(&[("ISSUER_URL", "https://id.example")]));
    let places: Vec<_> =
        problems.iter().map(|line| line.splitn(3, ": ").take(2).collect::<Vec<_>>().join(": ")).collect();
    assert_eq!(
        places,
        [
            "m.toml:1: isuer",
            "m.toml:2: listen",
            "m.toml:3: replay",
            "m.toml:8: clients[0].scope",
            "m.toml:9: clients[0].claims.since",
            "m.toml:12: clients[1].client_id",
            "m.toml:13: clients[1].client_secret",
            "m.toml:14: clients[1].scopes",
            "m.toml:15: clients[1].jwks_uri",
            "m.toml:16: clients[1].access_token_lifetime",
            "m.toml:18: clients[2].client_id",
            "m.toml:18: clients[2].jwks",
            "m.toml:19: clients[2].client_secret_file",
            "m.toml:21: clients[2].profile",
            "m.toml:22: clients[2].grant_types",
            "m.toml:23: clients[2].access_token_signing_alg",
            "m.toml:25: clients[3].client_secret",
            "m.toml:31: clients[4].client_secret_hash",
        ],
        "{}",
        problems.join("\n")
    );
    assert!(
        problems[5].ends_with("\"one\" is the client of m.toml:5 already; remove one of the two"),
        "{}",
        problems[5]
    );
    assert!(problems[12].contains("missing.txt: cannot be read"), "{}", problems[12]);
}

#[test]
fn a_secret_file_holds_one_line_of_text() {
    let client = |name: &str| format!("[[clients]]\nclient_id = \"a\"\nclient_secret_file = \"{name}\"\n");
    for (content, reason) in [
        (&b""[..], "is empty"),
        (b"\n", "is empty"),
        (b"\xff", "something else than text"),
        (&[b'x'; 2000], "more than a secret"),
    ] {
        let problems = File::new(&client("s")).beside("s", content).problems(dev(&[]));
        assert!(
            problems.len() == 1 && problems[0].contains(reason) && problems[0].starts_with("m.toml:3"),
            "{problems:?}"
        );
    }
    let hash = "[[clients]]\nclient_id = \"a\"\nclient_secret_hash = \"x\"\n";
    let problems = File::new(hash).problems(dev(&[]));
    assert!(problems.len() == 1 && !problems[0].contains("is missing"), "{problems:?}");
    let file = File::new(&client("s")).beside("s", b"a\n\n");
    assert!(file.load(dev(&[])).is_err()); // one newline is trimmed, the second is no VSCHAR
}

// F-30
#[test]
fn a_refused_reload_leaves_the_old_configuration() {
    let file = File::new("issuer = \"https://one.example\"\n");
    let config = file.load(Sources::default()).unwrap();
    let path = config.file().unwrap().to_owned();
    std::fs::write(&path, "issuer = \"nonsense\"").unwrap();
    assert!(config.reload().is_err());
    assert_eq!(config.issuer.as_str(), "https://one.example");
    std::fs::write(&path, "issuer = \"https://two.example\"").unwrap();
    assert_eq!(config.reload().unwrap().issuer.as_str(), "https://two.example");
}

// V-71
#[test]
fn no_secret_is_printed() {
    let text = format!(
        "issuer = \"https://id.example\"\njwt_secret = \"{CANARY}\"\n[[clients]]\nclient_id = \"a\"\nclient_secret = \"{CANARY}\"\n"
    );
    let config = File::new(&text).load(Sources::default()).unwrap();
    assert!(!format!("{config:?}").contains("canary"));
    let shown: Vec<_> =
        config.settings().iter().filter(|s| s.setting.secret).map(|s| s.value.as_deref()).collect();
    assert_eq!(shown, [Some("***"), None]); // jwt_secret, master_key

    let broken = format!(
        "jwt_secret = \"canary\"\n[[clients]]\nclient_id = \"a\"\nclient_secret = \"{CANARY}é\"\nclient_secret_hash = \"{CANARY}\"\n\
         [[clients]]\nclient_id = \"b\"\nclient_secret_hash = \"{CANARY}\"\n[[clients]]\nclient_secret = \"{CANARY}\n"
    );
    let problems = File::new(&broken).problems(Sources::default());
    assert!(problems.len() >= 4 && !problems.concat().contains("canary"), "{problems:?}");
}

#[test]
fn a_file_that_is_not_toml_misses_nothing() {
    let problems = File::new("issuer = https://id.example\n").problems(Sources::default());
    assert!(problems.iter().all(|problem| problem.starts_with("m.toml:1: ")), "{problems:?}");
}

#[test]
fn listen_can_be_read_from_an_otherwise_wrong_configuration() {
    let sources = environment(&[("MINTAGE_LISTEN", "127.0.0.1:7"), ("MINTAGE_LISTN", "x")]);
    assert_eq!(config::reach(&sources).unwrap().listen.port(), 7);
    assert!(config::reach(&environment(&[("MINTAGE_LISTEN", "x")])).is_err());
}

#[test]
fn origins_are_told_apart() {
    assert_eq!(Origin::File { path: Path::new("m.toml").to_owned(), line: 3 }.to_string(), "m.toml:3");
    let config = config::load(&dev(&[])).unwrap();
    assert_eq!(origin(&config, "jwt_secret"), "--dev");
    assert_eq!(origin(&config, "reflection.enabled"), "--dev");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_file_is_loaded_or_refused(
        lines in prop::collection::vec("(\\[\\[clients\\]\\]|\\[tokens\\]|\\[limits\\]|[a-z_]{1,12} = (\"[^\"]{0,8}\"|[0-9]{1,4}|\\{ ?\\}|\\[\"a\"\\]|true)|\\PC{0,20})", 0..16)
    ) {
        let _ = File::new(&lines.join("\n")).load(dev(&[]));
    }

    #[test]
    fn any_environment_is_loaded_or_refused(name in "[A-Z_]{0,16}", value in "\\PC{0,16}") {
        let _ = config::load(&dev(&[(&format!("MINTAGE_{name}"), &value)]));
    }
}
