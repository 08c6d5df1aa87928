//! What must be accepted.

use super::*;
use crate::support::http::get;

// CHK-102, V-30: every algorithm that the metadata names, at every endpoint that it is named for
#[tokio::test(flavor = "multi_thread")]
async fn every_advertised_algorithm_works_at_every_endpoint() {
    let keys: Vec<ClientKey> = ASYMMETRIC.iter().map(|alg| ClientKey::generate(alg, alg)).collect();
    let secret = "s".repeat(64);
    let clients = format!(
        "{}\n[[clients]]\nclient_id = \"c2\"\nclient_secret = \"{secret}\"\n\
         token_endpoint_auth_method = \"client_secret_jwt\"\n",
        keyed_client("c1", &keys.iter().collect::<Vec<_>>(), ""),
    );
    let server = server_with(&clients).await;
    let metadata = get(&server, "/.well-known/oauth-authorization-server").await.json();
    let advertised = |name: &str| -> Vec<String> { serde_json::from_value(metadata[name].clone()).unwrap() };
    let all = advertised("token_endpoint_auth_signing_alg_values_supported");
    assert_eq!(all[..9], ASYMMETRIC);
    assert_eq!(all[9..], ["HS256", "HS384", "HS512"], "CHK-101: never none");
    for endpoint in ["token", "introspection", "revocation"] {
        assert_eq!(advertised(&format!("{endpoint}_endpoint_auth_signing_alg_values_supported")), all);
        let methods = advertised(&format!("{endpoint}_endpoint_auth_methods_supported"));
        for method in ["private_key_jwt", "client_secret_jwt"] {
            assert!(methods.iter().any(|advertised| advertised == method), "{endpoint} {method}");
        }
    }

    for wire in Wire::both(&server).await {
        for alg in &all {
            let auth = || match keys.iter().find(|key| key.kid == *alg) {
                Some(key) => presented(&key.assertion(alg, &claims("c1"))),
                None => presented(&by_secret(alg, &secret, &claims("c2"))),
            };
            let token = wire.granted(&auth(), &Issue::default()).await;
            assert_eq!(wire.introspect(&auth(), &token).await.unwrap()["active"], true, "{wire:?} {alg}");
            wire.revoke(&auth(), &token, "").await.unwrap();
            assert_eq!(wire.introspect(&auth(), &token).await.unwrap()["active"], false, "{wire:?} {alg}");
        }
    }
}

// CHK-61, CHK-62, CHK-64, CHK-67, V-15
#[tokio::test(flavor = "multi_thread")]
async fn what_the_standards_leave_open_is_accepted() {
    let (server, key) = server_of_one("").await;
    let header_of = |typ: &str| format!(r#"{{"alg":"ES256","kid":"k1"{typ}}}"#);
    for wire in Wire::both(&server).await {
        for typ in [
            "",
            r#","typ":"JWT""#,
            r#","typ":"jwt""#,
            r#","typ":"client-authentication+jwt""#,
            r#","typ":"application/client-authentication+jwt""#,
        ] {
            let assertion = key.sign("ES256", &header_of(typ), claims("c1").to_string());
            granted(&wire, &presented(&assertion)).await;
        }
        for (name, value) in [
            ("aud", json!([ISSUER])),
            ("iat", Value::Null),
            ("iat", json!(NOW + 10)),
            ("nbf", json!(NOW + 10)),
            ("exp", json!(NOW as f64 + 59.5)),
            ("exp", json!(NOW - 9)),
            ("exp", json!(NOW + 300)),
            ("more", json!({ "of": ["anything"] })),
        ] {
            let claims = claims_with("c1", name, value);
            granted(&wire, &presented(&key.assertion("ES256", &claims))).await;
        }
        // `client_id` may be sent, and is then the subject.
        granted(&wire, &presented_as("c1", &key.assertion("ES256", &claims("c1")))).await;
        // `kid` may be missing when one key fits (CHK-82).
        let assertion = key.sign("ES256", r#"{"alg":"ES256"}"#, claims("c1").to_string());
        granted(&wire, &presented(&assertion)).await;
        // What a header points at or brings along says nothing (CHK-75).
        let header = r#"{"alg":"ES256","kid":"k1","jku":"https://x.example","x5u":"https://x.example","x5c":["AA"],"jwk":{}}"#;
        granted(&wire, &presented(&key.sign("ES256", header, claims("c1").to_string()))).await;
    }
}

// CHK-27, CHK-57, CHK-58: what the parameters themselves must be
#[tokio::test(flavor = "multi_thread")]
async fn assertion_and_type_belong_together() {
    let (server, key) = server_of_one("").await;
    let good = || key.assertion("ES256", &claims("c1"));
    for wire in Wire::both(&server).await {
        let auth = |client_id: &str, kind: &str, assertion: String| Auth::Assertion {
            client_id: client_id.to_owned(),
            kind: kind.to_owned(),
            assertion,
        };
        for (auth, code) in [
            (auth("", "", good()), "invalid_request"),
            (auth("c1", JWT_BEARER, String::new()), "invalid_request"),
            (auth("c1", "jwt-bearer", good()), "invalid_client"),
            (auth("", &JWT_BEARER.to_uppercase(), good()), "invalid_client"),
            (auth("", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", good()), "invalid_client"),
        ] {
            assert_eq!(error(wire.issue(&auth, &Issue::default()).await), code, "{wire:?} {auth:?}");
        }
    }
}

// V-13: a policy about one method is not satisfied by another
#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_beside_a_secret_is_one_method_too_many() {
    let (server, key) = server_of_one("").await;
    let wire = &Wire::both(&server).await[0];
    for secret in [SECRET, "anything"] {
        for client_id in ["c1", "resource-server"] {
            let form = vec![
                ("grant_type", "client_credentials".to_owned()),
                ("client_assertion_type", JWT_BEARER.to_owned()),
                ("client_assertion", key.assertion("ES256", &claims("c1"))),
            ];
            for auth in [Auth::form(client_id, secret), Auth::basic(client_id, secret)] {
                assert_eq!(error(wire.post("/token", &auth, form.clone()).await), "invalid_request");
            }
        }
    }
    for auth in [Auth::basic("c1", SECRET), Auth::form("c1", SECRET)] {
        assert_eq!(error(wire.issue(&auth, &Issue::default()).await), "invalid_client", "CHK-25");
    }
}
