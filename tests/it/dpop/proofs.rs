//! What a proof must say.

use mintage::jose::{PrivateKey, base64url};

use super::*;

// CHK-118, CHK-119, CHK-120, CHK-121, V-18, V-48
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_is_none_is_refused() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        let key = DpopKey::generate();
        let good = token_claims(&wire);
        let with = |changes: Value| {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            key.proof(&claims)
        };
        let header = |changes: Value| key.proof_with(&changes, &good);
        let url = |path: &str| format!("{}{path}", good["htu"].as_str().unwrap());
        for (what, proofs) in [
            ("two", vec![with(json!({})), with(json!({}))]),
            ("the same twice", vec![with(json!({ "jti": "a" })), with(json!({ "jti": "a" }))]),
            ("no JWT", vec!["x".to_owned()]),
            ("empty", vec![String::new()]),
            ("no typ", vec![header(json!({ "typ": null }))]),
            ("typ JWT", vec![header(json!({ "typ": "JWT" }))]),
            ("no key", vec![header(json!({ "jwk": null }))]),
            ("crit", vec![header(json!({ "crit": ["htm"], "htm": "POST" }))]),
            ("no jti", vec![with(json!({ "jti": null }))]),
            ("empty jti", vec![with(json!({ "jti": "" }))]),
            ("long jti", vec![with(json!({ "jti": "x".repeat(257) }))]),
            ("no iat", vec![with(json!({ "iat": null }))]),
            ("old", vec![with(json!({ "iat": NOW - 61 }))]),
            ("of the future", vec![with(json!({ "iat": NOW + 11 }))]),
            ("no htm", vec![with(json!({ "htm": null }))]),
            ("another htm", vec![with(json!({ "htm": "GET" }))]),
            ("no htu", vec![with(json!({ "htu": null }))]),
            ("another host", vec![with(json!({ "htu": "https://evil.example/token" }))]),
            ("the address", vec![with(json!({ "htu": wire.url("/token") }))]),
            ("another path", vec![with(json!({ "htu": url("/x") }))]),
        ] {
            let refused = issue(&wire, &proofs).await.unwrap_err();
            assert_eq!(refused.error, "invalid_dpop_proof", "{wire:?} {what}: {refused:?}");
        }
        for proof in [
            with(json!({ "htu": url("?query#fragment") })),
            with(json!({ "htu": url("").replace("https://id.example", "HTTPS://ID.example:443") })),
            with(json!({ "iat": NOW - 60 })),
            with(json!({ "iat": NOW + 10 })),
            with(json!({ "iat": NOW as f64 - 0.5 })),
            with(json!({ "nonce": "not ours, and not asked for" })),
            with(json!({ "ath": "no token goes with it" })),
        ] {
            assert!(issue(&wire, &[proof]).await.is_ok());
        }
    }
}

// CHK-119, V-2, V-3, V-48: keys that must not be there
#[tokio::test(flavor = "multi_thread")]
async fn a_key_must_be_public_and_asymmetric() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        let key = PrivateKey::generate(mintage::jose::JwsAlgorithm::ES256).unwrap();
        let public = serde_json::to_value(key.jwk()).unwrap();
        let mut private = public.clone();
        private["d"] = base64url([1; 32]).into();
        let shared = PrivateKey::from_shared_secret(mintage::jose::JwsAlgorithm::HS256, &[b'k'; 32]).unwrap();
        let mut claims = token_claims(&wire);
        claims["iat"] = NOW.into();
        claims["jti"] = "j".into();
        let payload = claims.to_string();
        let sign = |key: &PrivateKey, jwk: Value| {
            let header = json!({ "typ": "dpop+jwt", "jwk": jwk });
            key.sign(header.as_object().unwrap().clone(), payload.as_bytes()).unwrap()
        };
        let none = format!(
            "{}.{}.{}",
            base64url(json!({ "typ": "dpop+jwt", "alg": "none", "jwk": public }).to_string()),
            base64url(&payload),
            base64url("x")
        );
        for (what, proof) in [
            ("private", sign(&key, private)),
            ("HS256", sign(&shared, json!({ "kty": "oct", "k": base64url([b'k'; 32]) }))),
            ("HS256 with a public key", sign(&shared, public.clone())),
            ("none", none),
        ] {
            assert_eq!(error(issue(&wire, &[proof]).await), "invalid_dpop_proof", "{wire:?} {what}");
        }
        // None of them has used up the jti.
        assert!(issue(&wire, &[sign(&key, public)]).await.is_ok());
    }
}

// CHK-76
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_no_proof_and_a_proof_is_no_token() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        let key = DpopKey::generate();
        let token = bound_token(&wire, &key).await;
        assert_eq!(error(issue(&wire, std::slice::from_ref(&token)).await), "invalid_dpop_proof");
        let proof = key.for_userinfo(&wire, &token);
        assert_eq!(error(wire.userinfo(Some(&proof)).await), "invalid_token");
        assert!(!wire.is_active(&proof).await);
    }
}

// V-32: the target of a proof follows from the issuer.
#[tokio::test(flavor = "multi_thread")]
async fn no_header_moves_the_target() {
    let server = TestServer::shared().await;
    let [rest, _] = Wire::both(server).await;
    let key = DpopKey::generate();
    let elsewhere = || key.proof(&json!({ "htm": "POST", "htu": "https://evil.example/token" }));
    for (proof, status) in [(elsewhere(), 400), (key.for_token(&rest), 200)] {
        let request = reqwest::Client::new()
            .post(server.url("/token"))
            .basic_auth("rs256", Some("secret-of-rs256"))
            .header("host", "evil.example")
            .header("forwarded", "host=evil.example;proto=https")
            .header("x-forwarded-host", "evil.example")
            .header("x-forwarded-proto", "https")
            .header("x-original-url", "https://evil.example/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("dpop", proof)
            .body("grant_type=client_credentials");
        assert_eq!(request.send().await.unwrap().status(), status);
    }
}
