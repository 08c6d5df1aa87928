//! The settings about proving the caller and binding the token.

use mintage::{
    config::proof::{Certificate, ClientAuth, ClientCertHeader, KeysAt, Replay},
    jose::JwsAlgorithm,
};

use super::*;

const ISSUER: &str = "issuer = \"https://id.example\"\n";

/// The problems of an otherwise sufficient file.
fn problems(text: &str) -> Vec<String> {
    File::new(&format!("{ISSUER}{text}")).problems(Sources::default())
}

// What nobody could ever use is said at the start
#[test]
fn whom_nobody_vouches_for_is_a_problem() {
    const ISSUER_TABLE: &str =
        "[[trusted_issuers]]\nissuer = \"https://ci.example\"\njwks_uri = \"https://ci.example/keys\"\n";
    const CLIENT: &str = "[[clients]]\nclient_id = \"c\"\n";
    const FEDERATED: &str = "federated = [{ issuer = \"https://ci.example\", subject = \"repo:*\" }]\n";
    const DOMAIN: &str =
        "[spiffe.trust_domains.\"example.org\"]\njwt_bundle_uri = \"https://spire.example/bundle\"\n";
    const SPIFFE: &str = "token_endpoint_auth_method = \"spiffe_jwt\"\n";
    for (text, expected) in [
        (format!("{CLIENT}{FEDERATED}"), "clients[0].federated: \"https://ci.example\" is no trusted issuer"),
        (
            format!(
                "{CLIENT}client_secret = \"secret-of-c\"\ngrant_types = [\"urn:ietf:params:oauth:grant-type:jwt-bearer\"]\n"
            ),
            "clients[0].grant_types: names the jwt-bearer grant",
        ),
        (
            format!("{CLIENT}{SPIFFE}spiffe_id = \"spiffe://example.org/a\"\n"),
            "token_endpoint_auth_method: needs the keys of example.org",
        ),
        (format!("{DOMAIN}{CLIENT}{SPIFFE}"), "clients[0].spiffe_id: is missing"),
    ] {
        let problems = problems(&text);
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{text}: {problems:?}");
    }
    for text in [
        format!("{ISSUER_TABLE}{CLIENT}{FEDERATED}"),
        format!("{DOMAIN}{CLIENT}{SPIFFE}spiffe_id = \"spiffe://example.org/a/*\"\n"),
    ] {
        assert!(File::new(&format!("{ISSUER}{text}")).load(Sources::default()).is_ok(), "{text}");
    }
}

#[test]
fn nothing_is_believed_or_bound_unless_somebody_says_so() {
    let config = config::load(&environment(&[("ISSUER_URL", "https://id.example")])).unwrap();
    assert!(config.tls.is_none() && config.proxy.is_none() && !config.allow_plain_http);
    assert_eq!(config.replay, Replay::Strict);
    assert_eq!((config.dpop.nonce_required, config.dpop.max_age), (false, Duration::from_secs(60)));
    let fetch = &config.jwks_fetch;
    assert!(fetch.allow_hosts.is_empty() && !fetch.allow_private && !fetch.allow_http);
    assert_eq!((fetch.timeout, fetch.max_bytes), (Duration::from_secs(2), 262_144));
    assert!(config.trust_domains.is_empty() && config.trusted_issuers.is_empty());
}

#[test]
fn everything_can_be_set() {
    let file = File::new(&format!(
        "{ISSUER}replay = \"local\"\nallow_plain_http = true\n\
         [tls]\ncert_file = \"cert.pem\"\nkey_file = \"/k.pem\"\nclient_ca_file = \"ca.pem\"\nclient_auth = \"optional\"\n\
         [proxy]\ntrusted = [\"10.0.0.0/8\", \"::1\"]\nclient_cert_header = \"Client-Cert\"\n\
         [dpop]\nnonce = \"required\"\nmax_age = \"10m\"\n\
         [jwks_fetch]\nallow_hosts = [\"Keys.example:8443\"]\nallow_private = true\nallow_http = true\ntimeout = \"100ms\"\n\
         max_bytes = 1024\n\
         [spiffe.trust_domains.\"example.org\"]\nx509_bundle_file = \"x509.pem\"\njwt_bundle_file = \"jwt.json\"\n\
         [[trusted_issuers]]\nissuer = \"https://cluster.example\"\njwks_uri = \"http://cluster.example/keys\"\n\
         audience = \"mintage\"\nalgorithms = [\"EdDSA\"]\nreplay = \"none\"\nconditions = {{ \"kubernetes.io.namespace\" = \"prod\" }}\n"
    ));
    let config = file.load(Sources::default()).unwrap();
    let beside = |name: &str| file.directory.path().join(name);
    let tls = config.tls.as_ref().unwrap();
    let Certificate::Files { cert_file, key_file } = &tls.certificate else { panic!("{tls:?}") };
    assert_eq!((&cert_file.path, &*key_file.path), (&beside("cert.pem"), Path::new("/k.pem")));
    assert!(key_file.problem("x").to_string().ends_with("m.toml:6: tls.key_file: /k.pem: x"));
    assert_eq!(tls.client_auth, ClientAuth::Optional);
    let proxy = config.proxy.as_ref().unwrap();
    let trusted: Vec<_> = proxy.trusted.iter().map(ToString::to_string).collect();
    assert_eq!(trusted, ["10.0.0.0/8", "::1/128"]);
    assert_eq!(proxy.client_cert_header, Some(ClientCertHeader::ClientCert));
    assert_eq!((config.replay, config.allow_plain_http), (Replay::Local, true));
    assert_eq!((config.dpop.nonce_required, config.dpop.max_age), (true, Duration::from_secs(600)));
    let fetch = &config.jwks_fetch;
    assert_eq!(fetch.allow_hosts, ["keys.example:8443"]);
    assert!(fetch.allow_private && fetch.allow_http);
    assert_eq!((fetch.timeout, fetch.max_bytes), (Duration::from_millis(100), 1024));
    let domain = &config.trust_domains[0];
    assert_eq!(
        (domain.name.as_str(), domain.x509_bundle_file.as_ref().map(|file| file.path.clone())),
        ("example.org", Some(beside("x509.pem")))
    );
    let Some(KeysAt::File(bundle)) = &domain.jwt_bundle else { panic!("{domain:?}") };
    assert_eq!(bundle.path, beside("jwt.json"));
    let problem = bundle.problem("x").to_string();
    assert!(
        problem.contains("m.toml:23: spiffe.trust_domains.\"example.org\".jwt_bundle_file: "),
        "{problem}"
    );
    let issuer = &config.trusted_issuers[0];
    assert_eq!(issuer.keys, KeysAt::Uri("http://cluster.example/keys".to_owned()));
    assert_eq!((issuer.audience.as_deref(), issuer.uses_jti), (Some("mintage"), false));
    assert_eq!(issuer.algorithms, [JwsAlgorithm::EdDSA]);
    assert_eq!(issuer.conditions, [("kubernetes.io.namespace".to_owned(), "prod".to_owned())]);
    assert!(origin(&config, "proxy.trusted").ends_with("m.toml:10"));
    assert!(origin(&config, "dpop.max_age").ends_with("m.toml:14"));
}

#[test]
fn every_setting_has_an_environment_form() {
    let all = [
        ("ISSUER_URL", "https://id.example"),
        ("MINTAGE_REPLAY", "local"),
        ("MINTAGE_ALLOW_PLAIN_HTTP", "true"),
        ("MINTAGE_TLS_CERT_FILE", "/c.pem"),
        ("MINTAGE_TLS_KEY_FILE", "/k.pem"),
        ("MINTAGE_TLS_CLIENT_CA_FILE", "/ca.pem"),
        ("MINTAGE_TLS_CLIENT_AUTH", "required"),
        ("MINTAGE_PROXY_TRUSTED", "10.0.0.0/8, 192.0.2.1"),
        ("MINTAGE_PROXY_CLIENT_CERT_HEADER", "x-forwarded-client-cert"),
        ("MINTAGE_DPOP_NONCE", "required"),
        ("MINTAGE_DPOP_MAX_AGE", "1s"),
        ("MINTAGE_JWKS_FETCH_ALLOW_HOSTS", "a.example,b.example"),
        ("MINTAGE_JWKS_FETCH_ALLOW_PRIVATE", "true"),
        ("MINTAGE_JWKS_FETCH_ALLOW_HTTP", "true"),
        ("MINTAGE_JWKS_FETCH_TIMEOUT", "30s"),
        ("MINTAGE_JWKS_FETCH_MAX_BYTES", "4194304"),
    ];
    let config = config::load(&environment(&all)).unwrap();
    for (variable, text) in &all[1..] {
        let shown = config.settings().iter().find(|shown| shown.origin.to_string() == *variable);
        assert_eq!(shown.and_then(|shown| shown.value.as_deref()), Some(*text), "{variable}");
    }
    assert_eq!(config.tls.as_ref().unwrap().client_auth, ClientAuth::Required);
    assert_eq!(config.proxy.as_ref().unwrap().trusted.len(), 2);
    assert_eq!(config.jwks_fetch.allow_hosts, ["a.example", "b.example"]);
}

type Variables = &'static [(&'static str, &'static str)];

#[test]
fn every_setting_has_its_limits() {
    const TLS: Variables = &[("MINTAGE_TLS_CERT_FILE", "/c.pem"), ("MINTAGE_TLS_KEY_FILE", "/k.pem")];
    const PROXY: Variables = &[("MINTAGE_PROXY_TRUSTED", "10.0.0.0/8")];
    let cases: [(Variables, &str, &str, &str); 20] = [
        (&[], "MINTAGE_REPLAY", "off", "must be strict or local"),
        (&[], "MINTAGE_ALLOW_PLAIN_HTTP", "yes", "must be true or false"),
        (TLS, "MINTAGE_TLS_CLIENT_AUTH", "on", "must be off, optional or required"),
        (&[], "MINTAGE_TLS_CLIENT_AUTH", "optional", "means nothing without TLS"),
        (&[], "MINTAGE_TLS_CLIENT_CA_FILE", "/ca.pem", "means nothing without"),
        (&[], "MINTAGE_TLS_CERT_FILE", "/c.pem", "set tls.key_file"),
        (&[], "MINTAGE_TLS_KEY_FILE", "/k.pem", "set tls.cert_file"),
        (&[], "MINTAGE_PROXY_TRUSTED", "10.0.0.0/33", "must be a network such as"),
        (&[], "MINTAGE_PROXY_TRUSTED", "proxy.example", "must be a network such as"),
        (&[], "MINTAGE_PROXY_TRUSTED", "0.0.0.0/0", "would believe everybody"),
        (&[], "MINTAGE_PROXY_TRUSTED", "10.0.0.0/8,::/0", "would believe everybody"),
        (&[], "MINTAGE_PROXY_CLIENT_CERT_HEADER", "client-cert", "is believed from nobody"),
        (
            PROXY,
            "MINTAGE_PROXY_CLIENT_CERT_HEADER",
            "x-ssl-cert",
            "must be x-forwarded-client-cert or client-cert",
        ),
        (&[], "MINTAGE_DPOP_NONCE", "optional", "must be off or required"),
        (&[], "MINTAGE_DPOP_MAX_AGE", "601s", "must be 1s to 10m, in whole seconds"),
        (&[], "MINTAGE_DPOP_MAX_AGE", "1500ms", "must be 1s to 10m, in whole seconds"),
        (&[], "MINTAGE_JWKS_FETCH_ALLOW_HOSTS", "https://a.example", "without scheme or path"),
        (&[], "MINTAGE_JWKS_FETCH_ALLOW_HOSTS", "*.example", "without scheme or path"),
        (&[], "MINTAGE_JWKS_FETCH_TIMEOUT", "99ms", "must be 100ms to 30s"),
        (&[], "MINTAGE_JWKS_FETCH_MAX_BYTES", "1023", "must be a whole number from 1024 to 4194304"),
    ];
    for (beside, variable, value, expected) in cases {
        let problems = refusals(&[beside, &[(variable, value)]].concat());
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(variable) && problems[0].contains(expected), "{problems:?}");
    }
    // V-21: an empty list believes nobody, and no header says otherwise.
    assert_eq!(
        problems("[proxy]\ntrusted = []\nclient_cert_header = \"client-cert\"\n"),
        [
            "m.toml:4: proxy.client_cert_header: is believed from nobody; set proxy.trusted to the proxies' networks"
        ]
    );
    assert_eq!(
        problems(
            "[proxy]\ntrusted = \"10.0.0.0/8\"\n[dpop]\nmax_age = 60\n[jwks_fetch]\nallow_http = \"true\"\n"
        ),
        [
            "m.toml:3: proxy.trusted: must be a list of texts in quotes, such as [\"a\", \"b\"]",
            "m.toml:5: dpop.max_age: must be a duration in quotes: a number and ms, s, m, h or d, such as \"30s\"",
            "m.toml:7: jwks_fetch.allow_http: must be true or false, without quotes",
        ]
    );
}

// V-33
#[test]
fn keys_come_over_tls_unless_the_operator_says_otherwise() {
    let issuer = |keys: &str| format!("[[trusted_issuers]]\nissuer = \"http://cluster.example\"\n{keys}\n");
    for (text, name) in [
        (issuer("jwks_uri = \"http://cluster.example/keys\""), "trusted_issuers[0].jwks_uri"),
        (issuer("jwks_uri = \"file:///etc/keys\""), "trusted_issuers[0].jwks_uri"),
        (issuer("discovery = true"), "trusted_issuers[0].issuer"),
        (
            "[spiffe.trust_domains.\"example.org\"]\njwt_bundle_uri = \"http://example.org/\"\n".to_owned(),
            "spiffe.trust_domains.\"example.org\".jwt_bundle_uri",
        ),
    ] {
        let found = problems(&text);
        let expected =
            format!("m.toml:2: {name}: must be an https URL; jwks_fetch.allow_http = true allows http too");
        assert_eq!(found, [expected], "{text}");
    }
    let http = issuer("discovery = true") + "[jwks_fetch]\nallow_http = true\n";
    assert!(File::new(&format!("{ISSUER}{http}")).load(Sources::default()).is_ok());
    // Nothing is fetched from there.
    let file = issuer("jwks_file = \"keys.json\"");
    assert!(File::new(&format!("{ISSUER}{file}")).load(Sources::default()).is_ok());
}

#[test]
fn clients_count_on_nothing_that_is_not_configured() {
    let federated = "[[clients]]\nclient_id = \"a\"\n\
                     federated = [{ issuer = \"https://ci.example\", subject = \"repo:a\" }]\n";
    // CHK-61: letter for letter, so that a final slash makes another issuer
    let trust =
        |issuer: &str| format!("{federated}[[trusted_issuers]]\nissuer = \"{issuer}\"\njwks_file = \"k\"\n");
    assert_eq!(problems(&trust("https://ci.example/")).len(), 1);
    assert!(File::new(&format!("{ISSUER}{}", trust("https://ci.example"))).load(Sources::default()).is_ok());

    // A subject that is anybody needs conditions, which tell who is meant.
    let anybody = trust("https://ci.example").replace("repo:a", "*");
    assert!(problems(&anybody)[0].contains("lets in every subject of \"https://ci.example\""), "{anybody}");
    let conditions = "conditions = { repository_owner = \"org\" }\n";
    assert!(File::new(&format!("{ISSUER}{anybody}{conditions}")).load(Sources::default()).is_ok());

    let keyed = "[[clients]]\nclient_id = \"a\"\ntoken_endpoint_auth_method = \"private_key_jwt\"\n\
                 jwks_uri = \"http://a.example/keys\"\n";
    assert_eq!(
        problems(keyed),
        ["m.toml:5: clients[0].jwks_uri: must be an https URL; jwks_fetch.allow_http = true allows http too"]
    );
    let http = format!("{ISSUER}{keyed}[jwks_fetch]\nallow_http = true\n");
    assert!(File::new(&http).load(Sources::default()).is_ok());
}

// V-15
#[test]
fn the_server_does_not_trust_its_own_tokens() {
    let found = problems("[[trusted_issuers]]\nissuer = \"https://id.example\"\ndiscovery = true\n");
    assert_eq!(
        found,
        [
            "m.toml:2: trusted_issuers[0].issuer: is this server's own issuer identifier; its own tokens prove no client"
        ]
    );
}
