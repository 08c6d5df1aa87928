//! A proof is used once, and only by whoever used it well.

use mintage::jose::{JwsAlgorithm, PrivateKey};

use super::*;

// CHK-121, V-16, V-46: through the end of the window, at either end of which the clock may be off.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_refused_again_for_as_long_as_it_could_be_accepted() {
    let server = TestServer::with(CLIENTS).await;
    for wire in Wire::both(&server).await {
        server.clock.set(NOW);
        let key = DpopKey::generate();
        let mut claims = token_claims(&wire);
        claims["iat"] = (NOW + 10).into();
        let proofs = [key.proof(&claims)];
        assert!(issue(&wire, &proofs).await.is_ok());
        for second in 0..=80 {
            server.clock.set(NOW + second);
            let refused = issue(&wire, &proofs).await.unwrap_err();
            assert_eq!(refused.error, "invalid_dpop_proof");
            // Up to its last second it is the jti that speaks against it, and from then on its age.
            let expected = if second <= 70 { "used before" } else { "too old" };
            assert!(refused.description.contains(expected), "{wire:?} +{second} s: {refused:?}");
        }
        // A replica that is late by the skew, after the store was tidied up.
        server.clock.set(NOW + 80);
        let store = &server.core.store.stores.replays;
        store.purge_replays(mintage::clock::Timestamp::from_seconds(NOW + 80)).await.unwrap();
        server.clock.set(NOW + 70);
        let refused = issue(&wire, &proofs).await.unwrap_err();
        assert!(refused.description.contains("used before"), "{refused:?}");
    }
}

// V-46: what was refused for another reason was not used.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_proof_uses_nothing_up() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        let (key, other) = (DpopKey::generate(), DpopKey::generate());
        let mut claims = token_claims(&wire);
        claims["jti"] = "once".into();
        let mut elsewhere = claims.clone();
        elsewhere["htu"] = "https://evil.example/".into();
        assert!(issue(&wire, &[key.proof(&elsewhere)]).await.is_err());
        // A client that does not authenticate, and one whose scope is refused.
        let proving = wire.proving(&[key.proof(&claims)]);
        let wrong = proving.issue(&Auth::basic("rs256", crate::support::WRONG), &Issue::default()).await;
        assert_eq!(error(wrong), "invalid_client");
        assert_eq!(
            error(proving.issue(&Auth::of("rs256"), &Issue::scope("none-of-its-own")).await),
            "invalid_scope"
        );
        assert!(issue(&wire, &[key.proof(&claims)]).await.is_ok());
        assert!(issue(&wire, &[key.proof(&claims)]).await.is_err());
        // Another key has identifiers of its own.
        assert!(issue(&wire, &[other.proof(&claims)]).await.is_ok());
    }
}

// V-44
#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_and_a_proof_may_have_the_same_identifier() {
    let key = PrivateKey::generate(JwsAlgorithm::ES256).unwrap();
    let jwk = key.jwk().unwrap();
    let server = TestServer::with(&format!(
        "[[clients]]\nclient_id = \"signs\"\ntoken_endpoint_auth_method = \"private_key_jwt\"\n\
         access_token_signing_alg = \"ES256\"\njwks = {}\n",
        toml_table(&json!({ "keys": [jwk] }))
    ))
    .await;
    let dpop = DpopKey::generate();
    let [rest, _] = Wire::both(&server).await;
    let assertion = |jti: &str| {
        let claims = json!({
            "iss": "signs", "sub": "signs", "aud": ISSUER, "jti": jti, "iat": NOW, "exp": NOW + 60,
        });
        key.sign(Default::default(), claims.to_string().as_bytes()).unwrap()
    };
    let proof = |jti: &str| {
        let mut claims = token_claims(&rest);
        claims["jti"] = jti.into();
        dpop.proof(&claims)
    };
    let ask = async |assertion: String, proof: String| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &assertion),
        ];
        let request = reqwest::Client::new().post(server.url("/token")).header("dpop", proof);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let body = form.map(|(name, value)| format!("{name}={value}")).join("&");
        let response = request.body(body).send().await.unwrap();
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        body["error"].as_str().unwrap_or("ok").to_owned()
    };
    assert_eq!(ask(assertion("same"), proof("same")).await, "ok");
    assert_eq!(ask(assertion("same"), proof("other")).await, "invalid_client");
    assert_eq!(ask(assertion("another"), proof("same")).await, "invalid_dpop_proof");
    assert_eq!(ask(assertion("fresh"), proof("fresh")).await, "ok");
}

/// JSON as an inline table of TOML.
fn toml_table(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<_> =
                members.iter().map(|(name, value)| format!("{name:?} = {}", toml_table(value))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(toml_table).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
