//! Introspection responses as JWTs (RFC 9701), which REST alone has.

use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use serde_json::{Value, json};

use crate::support::{
    Auth, TestServer, Wire, error,
    jwt::{claims, header, payload},
    server::{CLIENTS, ISSUER, NOW},
};

const MEDIA_TYPE: &str = "application/token-introspection+jwt";

/// What came back: status, media type, body.
async fn ask(server: &TestServer, who: &Auth, token: &str, accept: Option<&str>) -> (u16, String, String) {
    let mut request = reqwest::Client::new()
        .post(server.url("/introspect"))
        .header("authorization", &who.headers()[0])
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={token}"));
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    (response.status().as_u16(), media_type, response.text().await.unwrap())
}

async fn signed(server: &TestServer, who: &Auth, token: &str) -> String {
    let (status, media_type, jwt) = ask(server, who, token, Some(MEDIA_TYPE)).await;
    assert_eq!((status, media_type.as_str()), (200, MEDIA_TYPE), "{jwt}");
    jwt
}

async fn json_of(server: &TestServer, path: &str) -> Value {
    serde_json::from_slice(&reqwest::get(server.url(path)).await.unwrap().bytes().await.unwrap()).unwrap()
}

// CHK-47, CHK-48
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_signed_for_the_one_who_asks() {
    for signing_alg in ["RS256", "EdDSA", "HS256"] {
        let server = TestServer::with(&format!("[tokens]\nsigning_alg = \"{signing_alg}\"\n{CLIENTS}")).await;
        let [rest, _] = Wire::both(&server).await;
        let token = rest.token("es256").await;
        let who = Auth::of("resource-server");
        let jwt = signed(&server, &who, &token).await;

        // Somebody else verifies it, with what is published.
        let metadata = json_of(&server, "/.well-known/oauth-authorization-server").await;
        let alg = if signing_alg == "HS256" { "RS256" } else { signing_alg };
        assert_eq!(metadata["introspection_signing_alg_values_supported"], json!([alg]));
        let head = header(&jwt);
        assert_eq!((&head["typ"], &head["alg"]), (&json!("token-introspection+jwt"), &json!(alg)));
        let jwks: JwkSet = serde_json::from_value(json_of(&server, "/.well-known/jwks.json").await).unwrap();
        let jwk = jwks.find(head["kid"].as_str().unwrap()).expect("a published key");
        let mut validation = Validation::new(alg.parse().unwrap());
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&["resource-server"]);
        validation.set_required_spec_claims(&["iss", "aud"]);
        let verified =
            jsonwebtoken::decode::<Value>(&jwt, &DecodingKey::from_jwk(jwk).unwrap(), &validation).unwrap();

        let names: Vec<&String> = verified.claims.as_object().unwrap().keys().collect();
        assert_eq!(names, ["aud", "iat", "iss", "token_introspection"]);
        assert_eq!(
            (&verified.claims["aud"], &verified.claims["iat"]),
            (&json!("resource-server"), &json!(NOW))
        );
        // What the JSON form says, byte for byte.
        let (_, media_type, plain) = ask(&server, &who, &token, None).await;
        assert_eq!(media_type, "application/json");
        assert!(payload(&jwt).ends_with(&format!(r#""token_introspection":{plain}}}"#)), "{}", payload(&jwt));
    }
}

// CHK-49, V-27: also when the token is good and none of the caller's business
#[tokio::test(flavor = "multi_thread")]
async fn an_inactive_token_says_nothing_else() {
    let server = TestServer::shared().await;
    let [rest, _] = Wire::both(server).await;
    let token = rest.token("es256").await;
    for (who, asked) in [("rs256", token.as_str()), ("resource-server", "garbage"), ("es384", &token)] {
        let jwt = signed(server, &Auth::of(who), asked).await;
        let expected = json!({
            "iss": ISSUER, "aud": who, "iat": NOW, "token_introspection": { "active": false }
        });
        assert_eq!(claims(&jwt), expected, "{who}");
    }
    // The owner is told.
    let jwt = signed(server, &Auth::of("es256"), &token).await;
    assert_eq!(claims(&jwt)["token_introspection"]["sub"], "es256");
}

// CHK-47
#[tokio::test(flavor = "multi_thread")]
async fn the_form_is_that_which_is_asked_for() {
    let server = TestServer::shared().await;
    let [rest, _] = Wire::both(server).await;
    let (token, who) = (rest.token("es256").await, Auth::of("resource-server"));
    for (accept, expected) in [
        (None, "application/json"),
        (Some("*/*"), "application/json"),
        (Some("text/html"), "application/json"),
        (Some("application/json, application/token-introspection+jwt;q=0.9"), "application/json"),
        (Some("application/json;q=0.9, application/token-introspection+jwt"), MEDIA_TYPE),
    ] {
        assert_eq!(ask(server, &who, &token, accept).await.1, expected, "{accept:?}");
    }
    // A refusal is what it always is.
    let (status, media_type, body) = ask(server, &Auth::of("unknown"), &token, Some(MEDIA_TYPE)).await;
    assert_eq!((status, media_type.as_str()), (401, "application/json"));
    assert!(body.contains("invalid_client"));
}

// CHK-50: it looks like a token of this server, and is none
#[tokio::test(flavor = "multi_thread")]
async fn a_signed_answer_is_no_token_and_no_assertion() {
    let server = TestServer::shared().await;
    let wires = Wire::both(server).await;
    let token = wires[0].token("rs256").await;
    let jwt = signed(server, &Auth::of("rs256"), &token).await;
    for wire in &wires {
        assert_eq!(error(wire.userinfo(Some(&jwt)).await), "invalid_token", "{wire:?}");
        assert!(!wire.is_active(&jwt).await, "{wire:?}");
        let bearer = Auth::header(format!("Bearer {jwt}"));
        assert_eq!(error(wire.introspect(&bearer, &token).await), "invalid_token", "{wire:?}");
        for kind in ["jwt-bearer", "jwt-spiffe"] {
            let assertion = Auth::Assertion {
                client_id: "rs256".to_owned(),
                kind: format!("urn:ietf:params:oauth:client-assertion-type:{kind}"),
                assertion: jwt.clone(),
            };
            assert_eq!(error(wire.introspect(&assertion, &token).await), "invalid_client", "{wire:?} {kind}");
        }
        // Revoking it is revoking nothing.
        wire.revoke(&Auth::of("rs256"), &jwt, "").await.unwrap();
        assert!(wire.is_active(&token).await, "{wire:?}");
    }
    let form = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange".to_owned()),
        ("subject_token", jwt),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token".to_owned()),
    ];
    let refused = wires[0].post("/token", &Auth::of("rs256"), form).await;
    assert_eq!(error(refused), "unsupported_grant_type");
}
