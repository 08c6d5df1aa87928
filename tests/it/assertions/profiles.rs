//! What each profile asks of assertions, and of the tokens that come of them.

use super::{AssertionRefusal as R, *};
use crate::support::Transport;

const TOKEN_URL: &str = "https://id.example/token";

/// One client of each profile that assertions may have, all with this key.
async fn server_of_profiles(keys: &[&ClientKey]) -> TestServer {
    let clients: Vec<String> = ["strict", "compat", "smart", "fapi2"]
        .iter()
        .map(|profile| keyed_client(profile, keys, &format!("profile = \"{profile}\"")))
        .collect();
    server_with(&clients.concat()).await
}

/// Whether a request is refused as that of a client which did not authenticate. That a token of FAPI 2.0 must be bound is
/// another matter.
async fn is_refused(wire: &Wire, auth: &Auth) -> bool {
    match wire.issue(auth, &Issue::default()).await {
        Ok(_) => false,
        Err(refused) if refused.error == "invalid_request" => false,
        Err(refused) => {
            assert_eq!(refused.error, "invalid_client", "CHK-70");
            true
        }
    }
}

// CHK-61, CHK-62, CHK-63, CHK-133, CHK-140, V-15
#[tokio::test(flavor = "multi_thread")]
async fn every_profile_has_its_audience() {
    let key = ClientKey::generate("ES256", "k1");
    let server = server_of_profiles(&[&key]).await;
    for wire in Wire::both(&server).await {
        let called = match wire.transport {
            Transport::Rest => TOKEN_URL.to_owned(),
            Transport::Grpc => format!("{ISSUER}/mintage.token.v1.TokenService/Issue"),
        };
        let rest = wire.transport == Transport::Rest;
        for (audience, accepted_by) in [
            (json!(ISSUER), &["strict", "compat", "smart", "fapi2"][..]),
            (json!([ISSUER]), &["strict", "compat", "smart"]),
            (json!(TOKEN_URL), &["compat", "smart"]),
            (json!([TOKEN_URL]), &["compat", "smart"]),
            (json!(called), if rest { &["compat", "smart"] } else { &["compat"] }),
            (json!(format!("{ISSUER}/")), &["compat"]),
            (json!(format!("{TOKEN_URL}/")), &["compat"]),
            (json!([ISSUER, TOKEN_URL]), &["compat"]),
            (json!([ISSUER, "https://evil.example"]), &[]),
            (json!(format!("{ISSUER}/introspect")), &[]),
            (json!("https://id.example.evil.example/token"), &[]),
            (json!(server.url("/token")), &[]),
        ] {
            for profile in ["strict", "compat", "smart", "fapi2"] {
                let claims = claims_with(profile, "aud", audience.clone());
                let refused = is_refused(&wire, &presented(&key.assertion("ES256", &claims))).await;
                assert_eq!(!refused, accepted_by.contains(&profile), "{wire:?} {profile} {audience}");
            }
        }
    }
}

// CHK-66, CHK-65, V-18: how long, and what even an older library must send
#[tokio::test(flavor = "multi_thread")]
async fn every_profile_has_its_longest_life() {
    let key = ClientKey::generate("ES256", "k1");
    let server = server_of_profiles(&[&key]).await;
    for wire in Wire::both(&server).await {
        for profile in ["strict", "compat", "smart", "fapi2"] {
            let longest = if profile == "compat" { 3600 } else { 300 };
            for (life, refused) in [(longest, false), (longest + 1, true)] {
                for iat in [json!(NOW), Value::Null] {
                    let mut claims = claims_with(profile, "exp", json!(NOW + life));
                    if iat.is_null() {
                        claims.as_object_mut().unwrap().remove("iat");
                    }
                    let auth = presented(&key.assertion("ES256", &claims));
                    assert_eq!(is_refused(&wire, &auth).await, refused, "{profile} {life} {iat}");
                }
            }
            for (name, value) in [("jti", Value::Null), ("exp", Value::Null), ("iat", json!(NOW + 61))] {
                let auth = presented(&key.assertion("ES256", &claims_with(profile, name, value)));
                assert!(is_refused(&wire, &auth).await, "{profile} {name}");
            }
        }
    }
}

// CHK-133, CHK-69: SMART asks for RS384 and ES384, and for no secrets
#[tokio::test(flavor = "multi_thread")]
async fn smart_clients_sign_with_rs384_and_es384() {
    let (rsa, ec) = (ClientKey::generate("RS384", "r"), ClientKey::generate("ES384", "e"));
    let server = server_of_profiles(&[&rsa, &ec]).await;
    for wire in Wire::both(&server).await {
        for (key, alg) in [(&rsa, "RS384"), (&ec, "ES384")] {
            let claims = claims_with("smart", "aud", json!(TOKEN_URL));
            let answer = granted(&wire, &presented(&key.assertion(alg, &claims))).await;
            // CHK-132
            assert_eq!(answer["token_type"], "Bearer");
            assert_eq!(answer["expires_in"], 300);
            assert_eq!(answer["scope"], "read write");
            let part = |name: &str| {
                crate::support::jwt::claims(answer["access_token"].as_str().unwrap())[name].clone()
            };
            assert_eq!(part("exp").as_u64().unwrap() - part("iat").as_u64().unwrap(), 300);
            // A part of the scope is said too.
            let auth = presented(&key.assertion(alg, &crate::support::assertion::claims("smart")));
            assert_eq!(wire.issue(&auth, &Issue::scope("read")).await.unwrap()["scope"], "read");
        }
        let auth = presented(&by_secret("HS256", SECRET, &claims("smart")));
        assert!(is_refused(&wire, &auth).await);
    }
}

// CHK-138: what a client with the right assertion is told of a wrong request
#[tokio::test(flavor = "multi_thread")]
async fn wrong_grants_and_scopes_of_smart_clients_are_told_apart() {
    let key = ClientKey::generate("ES256", "k1");
    let server = server_of_profiles(&[&key]).await;
    let wire = &Wire::both(&server).await[0];
    let auth = || presented(&key.assertion("ES256", &claims("smart")));
    for (grant, code) in [("authorization_code", "unsupported_grant_type"), ("", "invalid_request")] {
        let form = if grant.is_empty() { vec![] } else { vec![("grant_type", grant.to_owned())] };
        // `support::refused` holds each against 400.
        assert_eq!(error(wire.post("/token", &auth(), form).await), code, "{grant}");
    }
    let grant = vec![("grant_type", "client_credentials".to_owned())];
    let kind = Auth::Assertion {
        client_id: String::new(),
        kind: "not_a_type".to_owned(),
        assertion: key.assertion("ES256", &claims("smart")),
    };
    assert_eq!(error(wire.post("/token", &kind, grant).await), "invalid_client");
    for wire in Wire::both(&server).await {
        assert_eq!(error(wire.issue(&auth(), &Issue::scope("system/*.rs")).await), "invalid_scope");
    }
}

// CHK-142
#[tokio::test(flavor = "multi_thread")]
async fn fapi2_clients_sign_with_few_algorithms() {
    let keys = ["RS256", "ES256", "ES384", "EdDSA"].map(|alg| ClientKey::generate(alg, alg));
    let server = server_of_profiles(&keys.iter().collect::<Vec<_>>()).await;
    let [rsa, es256, es384, eddsa] = &keys;
    for (key, alg, accepted) in [
        (rsa, "PS256", true),
        (es256, "ES256", true),
        (eddsa, "EdDSA", true),
        (rsa, "RS256", false),
        (rsa, "PS384", false),
        (es384, "ES384", false),
    ] {
        let assertion = || key.assertion(alg, &claims("fapi2"));
        for wire in Wire::both(&server).await {
            assert_eq!(!is_refused(&wire, &presented(&assertion())).await, accepted, "{wire:?} {alg}");
        }
        if !accepted {
            // It would be accepted of a client whose profile is compat, and the log says so.
            let refused = reason(&server, &presented(&assertion())).await;
            assert_eq!(refused, ClientRefusal::NeedsCompat(R::Algorithm), "{alg}");
        }
    }
}

// CHK-141: no token without a binding, and introspection needs none
#[tokio::test(flavor = "multi_thread")]
async fn fapi2_tokens_are_never_unbound() {
    let key = ClientKey::generate("ES256", "k1");
    let server = server_of_profiles(&[&key]).await;
    let auth = || presented(&key.assertion("ES256", &claims("fapi2")));
    for wire in Wire::both(&server).await {
        let refused = wire.issue(&auth(), &Issue::default()).await.unwrap_err();
        assert_eq!(refused.error, "invalid_request");
        assert!(refused.description.contains("DPoP"), "{}", refused.description);
        let answer = wire.introspect(&auth(), "x").await.unwrap();
        assert_eq!(answer, json!({ "active": false }));
    }
}

// API.md: "When a refusal is one that `compat` would accept, the log says so by name"
#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_what_compat_would_accept() {
    let key = ClientKey::generate("ES256", "k1");
    let server = server_of_profiles(&[&key]).await;
    for profile in ["strict", "smart", "fapi2"] {
        let why = async |name: &str, value: Value| {
            reason(&server, &presented(&key.assertion("ES256", &claims_with(profile, name, value)))).await
        };
        let by_compat = json!(format!("{ISSUER}/"));
        assert_eq!(why("aud", by_compat.clone()).await, ClientRefusal::NeedsCompat(R::Audience));
        assert_eq!(why("exp", json!(NOW + 3000)).await, ClientRefusal::NeedsCompat(R::Lifetime));
        // What else is wrong with it would be wrong then too.
        assert_eq!(why("exp", json!(NOW + 3601)).await, ClientRefusal::Assertion(R::Lifetime));
        assert_eq!(why("aud", json!("https://evil.example")).await, ClientRefusal::Assertion(R::Audience));
        let mut claims = claims_with(profile, "aud", by_compat);
        claims["jti"] = json!("");
        let refused = reason(&server, &presented(&key.assertion("ES256", &claims))).await;
        assert_eq!(refused, ClientRefusal::Assertion(R::Audience));
    }
}
