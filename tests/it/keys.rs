//! Keys: what the key set publishes, what it never does, and that others can verify with it.

use std::os::unix::fs::PermissionsExt;

use jsonwebtoken::jwk::JwkSet;
use mintage::jose::{SigningAlgorithm, SigningKey};
use rsa::{
    RsaPrivateKey,
    pkcs1::EncodeRsaPrivateKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding},
    traits::PublicKeyParts,
};
use serde_json::Value;

use crate::support::{
    TestServer, Wire,
    jwt::{self, b64, broken, header, unb64},
    server::{CLIENTS, ISSUER, JWT_SECRET},
};

/// The asymmetric clients of `CLIENTS`, and whom their tokens are for.
const PUBLIC: [(&str, &str); 5] = [
    ("rs256", ISSUER),
    ("ps256", ISSUER),
    ("es256", "https://api.example"),
    ("es384", ISSUER),
    ("eddsa", "es384"),
];

async fn key_set(server: &TestServer) -> Value {
    let response = reqwest::get(server.url("/.well-known/jwks.json")).await.unwrap();
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

/// The published key of an algorithm.
fn key<'a>(set: &'a Value, alg: &str) -> &'a Value {
    set["keys"].as_array().unwrap().iter().find(|key| key["alg"] == alg).expect("a key for the algorithm")
}

// CHK-83
#[tokio::test(flavor = "multi_thread")]
async fn every_asymmetric_algorithm_publishes_one_key() {
    let set = key_set(TestServer::shared().await).await;
    assert_eq!(set.as_object().unwrap().keys().collect::<Vec<_>>(), ["keys"]);
    let keys = set["keys"].as_array().unwrap();
    let described = |alg| {
        let key = key(&set, alg);
        ["kty", "crv", "use"].map(|member| key[member].as_str().unwrap_or_default())
    };
    assert_eq!(keys.len(), 5);
    assert_eq!(described("RS256"), ["RSA", "", "sig"]);
    assert_eq!(described("PS256"), ["RSA", "", "sig"]);
    assert_eq!(described("ES256"), ["EC", "P-256", "sig"]);
    assert_eq!(described("ES384"), ["EC", "P-384", "sig"]);
    assert_eq!(described("EdDSA"), ["OKP", "Ed25519", "sig"]);
    let mut kids: Vec<&str> = keys.iter().map(|key| key["kid"].as_str().unwrap()).collect();
    kids.sort_unstable();
    kids.dedup();
    assert_eq!(kids.len(), 5, "a kid names one key");
    for (alg, member, length) in [
        ("RS256", "n", 256),
        ("PS256", "n", 256),
        ("ES256", "x", 32),
        ("ES256", "y", 32),
        ("ES384", "y", 48),
        ("EdDSA", "x", 32),
    ] {
        assert_eq!(unb64(key(&set, alg)[member].as_str().unwrap()).len(), length, "{alg} {member}");
    }
}

// V-31, CHK-84: an allow-list, so that a member nobody thought of is noticed
#[tokio::test(flavor = "multi_thread")]
async fn nothing_private_is_published() {
    let server = TestServer::shared().await;
    let set = key_set(server).await;
    for key in set["keys"].as_array().unwrap() {
        let mut expected = match key["kty"].as_str().unwrap() {
            "RSA" => vec!["e", "n"],
            "EC" => vec!["crv", "x", "y"],
            "OKP" => vec!["crv", "x"],
            other => panic!("{other}"),
        };
        expected.extend(["alg", "kid", "kty", "use"]);
        expected.sort_unstable();
        assert_eq!(key.as_object().unwrap().keys().collect::<Vec<_>>(), expected, "{}", key["alg"]);
    }
    // The shared key is neither there nor named there.
    let text = set.to_string();
    let [rest, _] = Wire::both(server).await;
    let kid = header(&rest.token("hs256").await)["kid"].as_str().unwrap().to_owned();
    for secret in [JWT_SECRET, &b64(JWT_SECRET), &kid, "HS256", "oct"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

// CHK-85: the thumbprint of RFC 7638 §3, computed here once more
#[tokio::test(flavor = "multi_thread")]
async fn a_kid_is_the_thumbprint_of_its_key() {
    let server = TestServer::shared().await;
    let set = key_set(server).await;
    for key in set["keys"].as_array().unwrap() {
        assert_eq!(key["kid"], thumbprint(key), "{}", key["alg"]);
    }
    for wire in Wire::both(server).await {
        let kid = |token: String| header(&token)["kid"].clone();
        for (client_id, alg) in
            [("rs256", "RS256"), ("ps256", "PS256"), ("es256", "ES256"), ("eddsa", "EdDSA")]
        {
            assert_eq!(kid(wire.token(client_id).await), key(&set, alg)["kid"]);
        }
        let shared = serde_json::json!({ "kty": "oct", "k": b64(JWT_SECRET) });
        assert_eq!(kid(wire.token("hs256").await), thumbprint(&shared));
    }
}

/// RFC 7638 §3.2 and RFC 8037 §2: the required members, sorted, without blanks; §3.1: their SHA-256.
pub fn thumbprint(key: &Value) -> String {
    let required = match key["kty"].as_str().unwrap() {
        "RSA" => vec!["e", "kty", "n"],
        "EC" => vec!["crv", "kty", "x", "y"],
        "OKP" => vec!["crv", "kty", "x"],
        _ => vec!["k", "kty"],
    };
    let members: Vec<String> =
        required.iter().map(|name| format!("\"{name}\":\"{}\"", key[*name].as_str().unwrap())).collect();
    let canonical = format!("{{{}}}", members.join(","));
    b64(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes()))
}

// RFC 7638 §3.1, the RFC's own example: what the tests compute is what the RFC says.
#[test]
fn the_thumbprint_of_these_tests_is_that_of_the_rfc() {
    let key = serde_json::json!({
        "kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    });
    assert_eq!(thumbprint(&key), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

// CHK-86
#[tokio::test(flavor = "multi_thread")]
async fn the_key_set_may_be_cached_as_long_as_configured() {
    for (line, max_age) in [("", 300), ("[keys]\njwks_max_age = \"2m\"\n", 120)] {
        let server = TestServer::with(&CLIENTS.replacen("[limits]", &format!("{line}[limits]"), 1)).await;
        let response = reqwest::get(server.url("/.well-known/jwks.json")).await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["cache-control"], format!("public, max-age={max_age}"));
    }
}

// CHK-74, CHK-87 with a verifier that is not ours: every algorithm, both transports, and nothing that was changed
#[tokio::test(flavor = "multi_thread")]
async fn every_algorithm_verifies_elsewhere() {
    let server = TestServer::shared().await;
    let set: JwkSet = serde_json::from_value(key_set(server).await).unwrap();
    for wire in Wire::both(server).await {
        for (client_id, audience) in PUBLIC.into_iter().chain([("hs256", ISSUER)]) {
            let token = wire.token(client_id).await;
            assert_eq!(jwt::verify(&token, &set, audience).unwrap(), jwt::claims(&token), "{client_id}");
            assert!(jwt::verify(&token, &set, "https://somebody.else").is_err());
            for (what, text) in broken(&token).iter().take(2) {
                assert!(jwt::verify(text, &set, audience).is_err(), "{client_id}: {what}");
            }
        }
    }
}

// CHK-85: a key of the operator's signs, under the same kid after every start
#[tokio::test(flavor = "multi_thread")]
async fn a_configured_rsa_key_signs() {
    let key =
        RsaPrivateKey::from_pkcs8_der(SigningKey::generate_pkcs8(SigningAlgorithm::RS256).unwrap().expose())
            .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("8.pem"), key.to_pkcs8_pem(LineEnding::LF).unwrap()).unwrap();
    std::fs::write(path("1.pem"), key.to_pkcs1_pem(LineEnding::CRLF).unwrap()).unwrap();
    let public = key.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
    std::fs::write(path("public.pem"), public).unwrap();

    let mut kids = Vec::new();
    for (private, public) in [("8.pem", None), ("1.pem", None), ("8.pem", Some("public.pem"))] {
        let (private, public) = (path(private), public.map(path));
        let mut environment = vec![("RS256_PRIVATE_KEY_PATH", private.as_str())];
        environment.extend(public.as_deref().map(|public| ("RS256_PUBLIC_KEY_PATH", public)));
        let server = TestServer::with_environment(CLIENTS, &environment).await;
        let set = key_set(&server).await;
        assert_eq!(unb64(self::key(&set, "RS256")["n"].as_str().unwrap()), key.n().to_bytes_be());
        // One key, one algorithm: PS256 has another one.
        assert_ne!(self::key(&set, "PS256")["n"], self::key(&set, "RS256")["n"]);
        let set: JwkSet = serde_json::from_value(set).unwrap();
        let [rest, _] = Wire::both(&server).await;
        let token = rest.token("rs256").await;
        assert!(jwt::verify(&token, &set, ISSUER).is_ok());
        kids.push(header(&token)["kid"].clone());
    }
    assert!(kids.iter().all(|kid| *kid == kids[0]), "{kids:?}");
}

// CHK-85: two servers with one key file are one issuer, and generated files are for their owner alone
#[tokio::test(flavor = "multi_thread")]
async fn a_generated_key_file_is_kept_and_private() {
    for variable in ["RS256_PRIVATE_KEY_PATH", "RS256_PUBLIC_KEY_PATH"] {
        let server = TestServer::with_environment(CLIENTS, &[(variable, "auto-gen")]).await;
        let file = server.directory().join("auto_private_key.pem");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{variable}");
        assert!(server.directory().join("auto_public_key.pem").exists());

        let replica =
            TestServer::with_environment(CLIENTS, &[("RS256_PRIVATE_KEY_PATH", file.to_str().unwrap())])
                .await;
        for (wire, replica) in Wire::both(&server).await.into_iter().zip(Wire::both(&replica).await) {
            let token = wire.token("rs256").await;
            assert!(replica.is_active(&token).await);
            assert!(!replica.is_active(&wire.token("es256").await).await, "other keys live in memory only");
        }
    }
}
