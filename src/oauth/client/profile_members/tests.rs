use std::time::Duration;

use serde_json::{json, value::RawValue};

use super::super::{
    ClientRegistration, SecretHash,
    registration::{RegisteredSecret, RegistrationDefaults},
};
use crate::{
    jose::{JwsAlgorithm, PrivateKey, SigningAlgorithm},
    secret::Secret,
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Keys for these algorithms.
fn jwks(algorithms: &[JwsAlgorithm]) -> Option<Box<RawValue>> {
    let keys: Vec<_> =
        algorithms.iter().map(|alg| PrivateKey::generate(*alg).unwrap().jwk().cloned()).collect();
    Some(RawValue::from_string(json!({ "keys": keys }).to_string()).unwrap())
}

fn registration(method: &str, profile: &str) -> ClientRegistration {
    ClientRegistration {
        client_id: "c".to_owned(),
        token_endpoint_auth_method: Some(method.to_owned()),
        profile: Some(profile.to_owned()),
        access_token_signing_alg: Some("ES256".to_owned()),
        scope: Some("read".to_owned()),
        ..Default::default()
    }
}

fn by_key(profile: &str, algorithms: &[JwsAlgorithm]) -> ClientRegistration {
    ClientRegistration { jwks: jwks(algorithms), ..registration("private_key_jwt", profile) }
}

fn by_secret(secret: &str) -> ClientRegistration {
    let secret = Some(RegisteredSecret::Plain(Secret::from(secret)));
    ClientRegistration { secret, ..registration("client_secret_jwt", "strict") }
}

/// The members that are refused.
fn refused(registration: ClientRegistration) -> Vec<&'static str> {
    let defaults = RegistrationDefaults {
        signing_alg: SigningAlgorithm::RS256,
        lifetime: Duration::from_secs(3600),
        max_lifetime: Duration::from_secs(86400),
    };
    let checked = registration.check(&defaults, |secret, form| Ok(SecretHash::stand_in(secret, form)));
    checked.err().unwrap_or_default().into_iter().map(|problem| problem.member).collect()
}

fn none() -> Vec<&'static str> {
    Vec::new()
}

#[test]
fn keys_must_fit_the_algorithms() {
    use JwsAlgorithm::ES256;

    assert_eq!(refused(by_key("strict", &[ES256])), none());
    let listed = |algorithms: &[&str]| ClientRegistration {
        token_endpoint_auth_signing_alg: algorithms.iter().map(|alg| (*alg).to_owned()).collect(),
        ..by_key("strict", &[ES256])
    };
    assert_eq!(refused(listed(&["ES256", "PS256"])), none());
    assert_eq!(refused(listed(&["PS256"])), ["jwks"]);
    // CHK-69
    assert_eq!(refused(listed(&["ES256", "HS256"])), ["token_endpoint_auth_signing_alg"]);
    for unknown in ["none", "ES256K", "es256"] {
        assert!(refused(listed(&[unknown])).contains(&"token_endpoint_auth_signing_alg"), "{unknown}");
    }
    let at = ClientRegistration {
        jwks_uri: Some("https://c.example/keys".to_owned()),
        ..registration("private_key_jwt", "strict")
    };
    assert_eq!(refused(at), none());
    assert_eq!(refused(registration("private_key_jwt", "strict")), ["jwks"]);
}

// RFC 7518 §3.2
#[test]
fn secrets_must_be_long_enough_for_their_hash() {
    assert_eq!(refused(by_secret(SECRET)), none());
    assert_eq!(refused(by_secret(&SECRET[1..])), ["client_secret"]);
    let listed = |secret: &str, algorithms: &[&str]| ClientRegistration {
        token_endpoint_auth_signing_alg: algorithms.iter().map(|alg| (*alg).to_owned()).collect(),
        ..by_secret(secret)
    };
    assert_eq!(refused(listed(SECRET, &["HS256", "HS384"])), ["client_secret"]);
    assert_eq!(refused(listed(&SECRET.repeat(2), &["HS256", "HS384", "HS512"])), none());
    assert_eq!(refused(listed(SECRET, &["ES256"])), ["token_endpoint_auth_signing_alg", "client_secret"]);

    let hashed = |method: &str, text: String| ClientRegistration {
        secret: Some(RegisteredSecret::Hash(text)),
        ..registration(method, "strict")
    };
    let stand_in = |form| SecretHash::stand_in(&Secret::from(SECRET), form).to_text();
    let (hash, sealed) = (stand_in(super::SecretForm::Hashed), stand_in(super::SecretForm::Sealed));
    assert_eq!(refused(hashed("client_secret_jwt", sealed.clone())), none());
    // One that is refused is not missing as well.
    assert_eq!(refused(hashed("client_secret_jwt", hash.clone())), ["client_secret_hash"]);
    assert_eq!(refused(hashed("client_secret_basic", hash)), none());
    assert_eq!(refused(hashed("client_secret_basic", sealed)), ["client_secret_hash"]);
}

// CHK-141, CHK-142
#[test]
fn fapi2_has_no_secrets_and_few_algorithms() {
    use JwsAlgorithm::{ES256, ES384, EdDSA, PS256, RS256};

    for alg in [PS256, ES256, EdDSA] {
        assert_eq!(refused(by_key("fapi2", &[alg])), none(), "{alg}");
    }
    assert_eq!(refused(by_key("fapi2", &[ES384])), ["jwks"]);
    for method in ["client_secret_basic", "client_secret_post", "client_secret_jwt"] {
        let secret = by_secret(SECRET).secret;
        let registration = ClientRegistration { secret, ..registration(method, "fapi2") };
        assert_eq!(refused(registration), ["token_endpoint_auth_method"], "{method}");
    }
    let without_method = ClientRegistration {
        token_endpoint_auth_method: None,
        secret: by_secret(SECRET).secret,
        ..registration("none", "fapi2")
    };
    assert_eq!(refused(without_method), ["token_endpoint_auth_method"]);
    for (alg, expected) in [("PS256", vec![]), ("RS256", vec!["access_token_signing_alg"])] {
        let access_token_signing_alg = Some(alg.to_owned());
        let registration = ClientRegistration { access_token_signing_alg, ..by_key("fapi2", &[ES256]) };
        assert_eq!(refused(registration), expected, "{alg}");
    }
    // The algorithm of the server counts when none is named.
    let default = ClientRegistration { access_token_signing_alg: None, ..by_key("fapi2", &[ES256]) };
    assert_eq!(refused(default), ["access_token_signing_alg"]);
    let listed = ClientRegistration {
        token_endpoint_auth_signing_alg: vec!["RS256".to_owned()],
        ..by_key("fapi2", &[RS256, ES256])
    };
    assert!(refused(listed).contains(&"token_endpoint_auth_signing_alg"));
}

// CHK-132
#[test]
fn smart_clients_have_keys_scopes_and_short_tokens() {
    use JwsAlgorithm::{ES384, RS384};

    assert_eq!(refused(by_key("smart", &[ES384])), none());
    assert_eq!(refused(by_key("smart", &[RS384])), none());
    let registration = ClientRegistration { profile: Some("smart".to_owned()), ..by_secret(SECRET) };
    assert_eq!(refused(registration), ["token_endpoint_auth_method"]);
    assert_eq!(refused(ClientRegistration { scope: None, ..by_key("smart", &[ES384]) }), ["scope"]);
    for (seconds, expected) in [(300, vec![]), (301, vec!["access_token_lifetime"])] {
        let access_token_lifetime = Some(Duration::from_secs(seconds));
        let registration = ClientRegistration { access_token_lifetime, ..by_key("smart", &[ES384]) };
        assert_eq!(refused(registration), expected, "{seconds}");
    }
}
