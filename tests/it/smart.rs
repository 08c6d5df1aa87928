//! SMART App Launch 2.2, Backend Services: scopes that are rights, and the document by which clients find the server.

use mintage::jose::{JwsAlgorithm, PrivateKey};
use serde_json::{Value, json};

use crate::support::{
    Auth, Issue, TestServer, Wire, error,
    jwt::claims,
    server::{ISSUER, NOW},
};

const SCOPE: &str = "system/Patient.read system/Observation.rs?category=laboratory system/Group.* custom";

/// Two clients with one key: of profile "smart", and of another.
fn config(key: &PrivateKey) -> String {
    let jwks = json!({ "keys": [key.jwk().unwrap()] }).to_string().replace("\":", "\" = ");
    let client = |client_id: &str, profile: &str| {
        format!(
            "[[clients]]\nclient_id = \"{client_id}\"\ntoken_endpoint_auth_method = \"private_key_jwt\"\n\
             profile = \"{profile}\"\njwks = {jwks}\nscope = \"{SCOPE}\"\naccess_token_signing_alg = \"ES256\"\n\
             access_token_lifetime = \"5m\"\n\n"
        )
    };
    client("backend", "smart") + &client("plain", "strict")
}

/// Authentication as the profile describes it; each is good once.
fn auth(key: &PrivateKey, client_id: &str, audience: &str, jti: &mut u32) -> Auth {
    *jti += 1;
    let claims = json!({
        "iss": client_id, "sub": client_id, "aud": audience, "exp": NOW + 300, "jti": format!("{client_id}-{jti}")
    });
    let header = json!({ "typ": "JWT", "kid": key.kid() });
    Auth::Assertion {
        client_id: String::new(),
        kind: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
        assertion: key.sign(header.as_object().unwrap().clone(), claims.to_string().as_bytes()).unwrap(),
    }
}

// CHK-132, CHK-133
#[tokio::test(flavor = "multi_thread")]
async fn a_backend_service_asks_for_a_part_of_its_rights() {
    for alg in [JwsAlgorithm::RS384, JwsAlgorithm::ES384] {
        let key = PrivateKey::generate(alg).unwrap();
        let server = TestServer::with(&config(&key)).await;
        let mut jti = 0;
        for wire in Wire::both(&server).await {
            let mut ask = async |client_id: &str, scope: &str| {
                let auth = auth(&key, client_id, ISSUER, &mut jti);
                wire.issue(&auth, &Issue::scope(scope)).await
            };
            for granted in [
                "system/Patient.read",
                "system/Patient.rs",
                "system/Patient.s custom",
                "system/Group.cruds system/Group.write",
                "system/Observation.r?category=laboratory",
                "system/Observation.rs?status=final&category=laboratory",
                "system/Patient.rs?gender=male",
            ] {
                let answer = ask("backend", granted).await.unwrap();
                assert_eq!(answer["scope"], granted, "{wire:?}: as it was asked");
                assert_eq!(claims(answer["access_token"].as_str().unwrap())["scope"], granted);
                assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(300)));
            }
            for refused in [
                "system/Patient.write",
                "system/Patient.cruds",
                "system/*.r",
                "system/Observation.rs",
                "system/Observation.rs?category=vital-signs",
                "system/Observation.c?category=laboratory",
                "system/Patient.rs system/Encounter.rs",
                "system/Patient.rs?_include=Patient:link",
                "user/Patient.read",
                "patient/Patient.r",
                "system/Patient.sr",
            ] {
                assert_eq!(error(ask("backend", refused).await), "invalid_scope", "{wire:?} {refused}");
            }
            // To any other client they are words.
            assert_eq!(ask("plain", "system/Patient.read").await.unwrap()["scope"], "system/Patient.read");
            for refused in ["system/Patient.rs", "system/Group.write"] {
                assert_eq!(error(ask("plain", refused).await), "invalid_scope", "{wire:?} {refused}");
            }
        }
    }
}

async fn document(server: &TestServer, path: &str) -> (reqwest::header::HeaderMap, Value) {
    let response = reqwest::Client::new()
        .get(server.url(path))
        .header("origin", "https://app.example")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200, "{path}");
    let headers = response.headers().clone();
    (headers, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_says_what_a_backend_service_needs() {
    let server = TestServer::shared().await;
    let (headers, told) = document(server, "/.well-known/smart-configuration").await;
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert_eq!(
        told,
        json!({
            "token_endpoint": format!("{ISSUER}/token"),
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
            "grant_types_supported": ["client_credentials"],
            "introspection_endpoint": format!("{ISSUER}/introspect"),
            "revocation_endpoint": format!("{ISSUER}/revoke"),
            "code_challenge_methods_supported": ["S256"],
            "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
        })
    );

    // The metadata of RFC 8414 offer what it promises.
    let (_, metadata) = document(server, "/.well-known/oauth-authorization-server").await;
    for name in [
        "token_endpoint_auth_methods_supported",
        "token_endpoint_auth_signing_alg_values_supported",
        "grant_types_supported",
    ] {
        for value in told[name].as_array().unwrap() {
            assert!(metadata[name].as_array().unwrap().contains(value), "{name}: {value}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_below_the_path_of_the_issuer_too() {
    let issuer = "https://id.example/fhir";
    let server = TestServer::with_environment("", &[("ISSUER_URL", issuer)]).await;
    for path in ["/fhir/.well-known/smart-configuration", "/.well-known/smart-configuration"] {
        assert_eq!(document(&server, path).await.1["token_endpoint"], format!("{issuer}/token"));
    }
}
