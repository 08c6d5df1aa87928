//! What a token says (RFC 9068), to the byte, and that everybody is told the same.

use mintage::config::{self, Environment, Sources};

use crate::support::{
    Auth, Issue, TestServer, Wire,
    jwt::{claims, header, payload},
    server::{CLIENTS, ISSUER, JWT_SECRET, NOW},
};

/// The own claims of the client `rs256`, as they are signed: every number as it was written.
const OWN: &str = r#""name":"Service","email":"service@example.com","fhirUser":"Practitioner/1","level":7,"big":12345678901234567890123,"ratio":1.10,"nested":{"list":[1,"two",true]}"#;

fn expected_payload(jti: &str) -> String {
    format!(
        r#"{{"iss":"{ISSUER}","sub":"rs256","aud":"{ISSUER}","exp":{},"iat":{NOW},"nbf":{NOW},"jti":"{jti}","client_id":"rs256","azp":"rs256","scope":"read write admin","scp":["read","write","admin"],{OWN}}}"#,
        NOW + 3600,
    )
}

// CHK-89, CHK-90, CHK-91, CHK-92: the whole payload; a claim more or less is a change of the contract
#[tokio::test(flavor = "multi_thread")]
async fn a_token_says_exactly_this() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        let token = wire.token("rs256").await;
        let jti = claims(&token)["jti"].as_str().unwrap().to_owned();
        assert_eq!(payload(&token), expected_payload(&jti));
    }
}

// No scope, no scope claims; no own claims, none at all.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_has_not_is_left_out() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        let claims = claims(&wire.token("eddsa").await);
        let names: Vec<&String> = claims.as_object().unwrap().keys().collect();
        assert_eq!(names, ["aud", "azp", "client_id", "exp", "iat", "iss", "jti", "nbf", "sub"]);
    }
}

// CHK-88, CHK-93
#[tokio::test(flavor = "multi_thread")]
async fn the_header_names_type_algorithm_and_key_and_nothing_else() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        for (client_id, alg) in [
            ("rs256", "RS256"),
            ("ps256", "PS256"),
            ("es256", "ES256"),
            ("es384", "ES384"),
            ("eddsa", "EdDSA"),
            ("hs256", "HS256"),
            // Registered without an algorithm.
            ("a:b c", "ES256"),
        ] {
            let header = header(&wire.token(client_id).await);
            let members: Vec<&String> = header.as_object().unwrap().keys().collect();
            assert_eq!(members, ["alg", "kid", "typ"]);
            assert_eq!((&header["typ"], &header["alg"]), (&"at+jwt".into(), &alg.into()));
            assert_eq!(header["kid"].as_str().unwrap().len(), 43);
        }
    }
}

// The same numbers in the token, in introspection and in userinfo: not one digit is lost.
#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_told_what_was_signed() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        let token = wire.token("rs256").await;
        let answer = wire.introspect_text(&Auth::of("rs256"), &token).await.unwrap();
        assert_eq!(answer, format!(r#"{{"active":true,"token_type":"Bearer",{}"#, &payload(&token)[1..]));
        let info = wire.userinfo_text(Some(&token)).await.unwrap();
        assert_eq!(info, format!(r#"{{"sub":"rs256",{OWN}}}"#));
    }
}

// An identifier is whatever RFC 6749 allows, and comes out as it went in.
#[tokio::test(flavor = "multi_thread")]
async fn an_unusual_identifier_is_kept() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        let claims = claims(&wire.token("a:b c").await);
        for name in ["sub", "client_id", "azp"] {
            assert_eq!(claims[name], "a:b c");
        }
    }
}

// A claim the server decides about cannot be configured, and a client with too many claims neither: the server could not
// read its tokens.
#[tokio::test(flavor = "multi_thread")]
async fn claims_that_cannot_be_are_refused_with_the_configuration() {
    for name in [
        "iss",
        "sub",
        "aud",
        "exp",
        "iat",
        "nbf",
        "jti",
        "client_id",
        "scope",
        "azp",
        "scp",
        "cnf",
        "act",
        "may_act",
        "typ",
        "auth_time",
        "acr",
        "amr",
        "active",
        "token_type",
        "username",
    ] {
        let problem = load(&format!("claims = {{ {name} = \"x\" }}")).unwrap_err();
        assert!(problem.contains(name) && problem.contains("set by the server"), "{name}: {problem}");
    }
    load("claims = { Sub = \"x\", issuer = \"y\", sub_ = 1 }").unwrap();
}

// Whatever the configuration accepts, the server reads back.
#[tokio::test(flavor = "multi_thread")]
async fn as_many_claims_as_are_accepted_are_read_back() {
    let claims = |count: usize| {
        let claims: Vec<String> = (0..count).map(|n| format!("c{n} = {n}")).collect();
        format!("claims = {{ {} }}", claims.join(", "))
    };
    let most = (1..400).rev().find(|count| load(&claims(*count)).is_ok()).unwrap();
    assert_eq!(most, mintage::oauth::client::registration::MAX_CLAIMS);
    let server = TestServer::with(&client(&claims(most))).await;
    for wire in Wire::both(&server).await {
        let auth = Auth::basic("claimant", &crate::support::auth::secret_of("generated"));
        let token = wire.granted(&auth, &Issue::default()).await;
        assert_eq!(wire.introspect(&auth, &token).await.unwrap()["active"], true, "{most} claims");
    }
}

fn client(members: &str) -> String {
    format!(
        "{CLIENTS}\n[[clients]]\nclient_id = \"claimant\"\nclient_secret = \"{}\"\naccess_token_signing_alg = \"ES256\"\n{members}\n",
        crate::support::auth::secret_of("generated"),
    )
}

fn load(members: &str) -> Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mintage.toml");
    std::fs::write(&file, client(members)).unwrap();
    let environment: Environment = [("ISSUER_URL", ISSUER), ("JWT_SECRET", JWT_SECRET)].into_iter().collect();
    let sources = Sources { config_file: Some(file), environment, ..Sources::default() };
    config::load(&sources).map(drop).map_err(|errors| errors.to_string())
}
