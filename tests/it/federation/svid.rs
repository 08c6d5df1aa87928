//! JWT-SVIDs as client assertions (JWT-SVID §3 and §4).

use mintage::jose::{JwsAlgorithm, PrivateKey};
use serde_json::{Map, Value, json};

use super::{JWT_BEARER, ask, claims};
use crate::support::{
    TestServer, Wire,
    auth::Auth,
    server::{ISSUER, NOW},
    wire::error,
};

const JWT_SPIFFE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

const CLIENTS: &str = r#"
[limits]
failed_auth_rate = "off"

[tokens]
signing_alg = "EdDSA"

[spiffe.trust_domains."example.org"]
jwt_bundle_file = "BUNDLE"

[[clients]]
client_id = "billing"
token_endpoint_auth_method = "spiffe_jwt"
spiffe_id = "spiffe://example.org/ns/prod/billing"

[[clients]]
client_id = "everything-in-prod"
token_endpoint_auth_method = "spiffe_jwt"
spiffe_id = "spiffe://example.org/ns/prod/*"

[[clients]]
client_id = "spiffe://example.org/named/by/its/id"
token_endpoint_auth_method = "spiffe_jwt"

[[clients]]
client_id = "with-secret"
client_secret = "secret-of-with-secret"
spiffe_id = "spiffe://example.org/ns/prod/billing"
"#;

/// A trust domain, and a server that knows it by a file.
struct Fixture {
    key: PrivateKey,
    /// In the bundle as well, and of an algorithm that SVIDs do not have.
    edwards: PrivateKey,
    wires: [Wire; 2],
    server: TestServer,
    _directory: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let key = PrivateKey::generate(JwsAlgorithm::ES256).unwrap();
        // A bundle as a SPIFFE server publishes it: keys of X.509-SVIDs beside those of JWT-SVIDs, and members of its own.
        let edwards = PrivateKey::generate(JwsAlgorithm::EdDSA).unwrap();
        let jwk = |key: &PrivateKey| {
            let mut jwk = serde_json::to_value(key.jwk().unwrap().parameters()).unwrap();
            jwk["kid"] = json!(key.kid());
            jwk["use"] = json!("jwt-svid");
            jwk
        };
        let mut other = serde_json::to_value(
            PrivateKey::generate(JwsAlgorithm::ES256).unwrap().jwk().unwrap().parameters(),
        )
        .unwrap();
        other["use"] = json!("x509-svid");
        other["x5c"] = json!(["AAAA"]);
        let bundle = json!({ "keys": [other, jwk(&key), jwk(&edwards)], "spiffe_sequence": 1, "spiffe_refresh_hint": 300 });

        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("bundle.json");
        std::fs::write(&file, bundle.to_string()).unwrap();
        let server = TestServer::with(&CLIENTS.replace("BUNDLE", file.to_str().unwrap())).await;
        let wires = Wire::both(&server).await;
        Self { key, edwards, wires, server, _directory: directory }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        sign(&self.key, header, claims)
    }
}

fn sign(key: &PrivateKey, header: &Value, claims: &Value) -> String {
    let mut members: Map<String, Value> = Map::from_iter([("kid".to_owned(), key.kid().into())]);
    members.extend(header.as_object().unwrap().clone());
    key.sign(members, claims.to_string().as_bytes()).unwrap()
}

fn svid() -> Value {
    json!({ "sub": "spiffe://example.org/ns/prod/billing", "aud": [ISSUER], "exp": NOW + 300, "iat": NOW })
}

fn assertion(client_id: &str, kind: &str, assertion: &str) -> Auth {
    Auth::Assertion {
        client_id: client_id.to_owned(),
        kind: kind.to_owned(),
        assertion: assertion.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_authenticates_its_clients() {
    let fixture = Fixture::new().await;
    let token = fixture.sign(&json!({ "typ": "JWT" }), &svid());
    let named = {
        let mut claims = svid();
        claims["sub"] = json!("spiffe://example.org/named/by/its/id");
        fixture.sign(&json!({}), &claims)
    };
    let url = fixture.server.url("/.well-known/oauth-authorization-server");
    let metadata = reqwest::get(url).await.unwrap().text().await.unwrap();
    assert!(metadata.contains("\"spiffe_jwt\""), "{metadata}");
    for wire in &fixture.wires {
        for kind in [JWT_BEARER, JWT_SPIFFE] {
            for client_id in ["billing", "everything-in-prod"] {
                // It is presented until it ends.
                for _ in 0..2 {
                    let claims = claims(ask(wire, &assertion(client_id, kind, &token)).await);
                    assert_eq!(claims["sub"], client_id);
                }
            }
            // A client that is called like its workload need not be named.
            assert!(ask(wire, &assertion("", kind, &named)).await.is_ok());
            for client_id in ["with-secret", "unknown", "spiffe://example.org/named/by/its/id"] {
                let outcome = ask(wire, &assertion(client_id, kind, &token)).await;
                assert_eq!(error(outcome), "invalid_client", "{client_id}");
            }
            let outcome = ask(wire, &assertion("everything-in-prod", kind, &named)).await;
            assert_eq!(error(outcome), "invalid_client");
        }
    }
}

// V-1, V-2, V-6, V-15, CHK-65, CHK-74, CHK-76
#[tokio::test(flavor = "multi_thread")]
async fn each_check_of_an_svid() {
    let fixture = Fixture::new().await;
    let with = |name: &str, value: Value| {
        let mut claims = svid();
        claims[name] = value;
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    };
    let stranger = PrivateKey::generate(JwsAlgorithm::ES256).unwrap();
    let shared = PrivateKey::from_shared_secret(JwsAlgorithm::HS256, &[b's'; 32]).unwrap();
    let kid = json!({ "kid": fixture.key.kid() });
    let refused: Vec<_> = [
        ("sub", json!("spiffe://example.org/ns/dev/billing")),
        ("sub", json!("spiffe://example.org")),
        ("sub", json!("spiffe://example.org/")),
        ("sub", json!("spiffe://other.org/ns/prod/billing")),
        ("sub", json!("https://example.org/ns/prod/billing")),
        ("sub", json!("everything-in-prod")),
        ("sub", Value::Null),
        ("aud", json!([ISSUER, "https://other.example"])),
        ("aud", json!(["https://other.example"])),
        ("aud", json!(format!("{ISSUER}/token"))),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("exp", json!(NOW - 10)),
        ("exp", Value::Null),
        ("nbf", json!(NOW + 11)),
        ("iat", json!(NOW + 11)),
        // It names itself as its issuer, as an assertion of a client's own would.
        ("iss", json!("spiffe://example.org/ns/prod/billing")),
    ]
    .into_iter()
    .map(|(name, value)| (format!("{name} = {value}"), fixture.sign(&json!({}), &with(name, value))))
    .chain([
        ("typ".to_owned(), fixture.sign(&json!({ "typ": "at+jwt" }), &svid())),
        ("kid".to_owned(), fixture.sign(&json!({ "kid": "another" }), &svid())),
        ("stranger".to_owned(), sign(&stranger, &kid, &svid())),
        ("EdDSA".to_owned(), sign(&fixture.edwards, &json!({}), &svid())),
        ("HS256".to_owned(), sign(&shared, &kid, &svid())),
    ])
    .collect();
    for wire in &fixture.wires {
        for kind in [JWT_BEARER, JWT_SPIFFE] {
            for (what, token) in &refused {
                let outcome = ask(wire, &assertion("everything-in-prod", kind, token)).await;
                assert_eq!(error(outcome), "invalid_client", "{what}");
            }
            for (name, value) in
                [("aud", json!(ISSUER)), ("iat", Value::Null), ("iss", json!("https://spire.example"))]
            {
                let token = fixture.sign(&json!({}), &with(name, value.clone()));
                assert!(ask(wire, &assertion("billing", kind, &token)).await.is_ok(), "{name} {value}");
            }
        }
    }
}
