//! Tokens the server never made, signed by hand and without its code: with keys it does not know, and with its own.

use std::path::{Path, PathBuf};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::engine::{
    Engine,
    general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Map, Value, json};

use super::{
    TestServer,
    http::get,
    server::{CLIENTS, ISSUER, JWT_SECRET, NOW},
};

/// base64url without padding (RFC 7515 §2).
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// base64url decoded.
pub fn unb64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// One of the three parts of a token as JSON.
pub fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&unb64(token.split('.').nth(index).unwrap())).unwrap()
}

/// The server's own keys, in the hands of an attacker, and all that its key set says.
pub struct Forge {
    pub rsa: KeyPair,
    pub rsa_kid: String,
    pub hs256_kid: String,
    pub jwks: Value,
    /// SubjectPublicKeyInfo of the RSA key.
    pub spki: Vec<u8>,
}

impl Forge {
    /// A server whose RS256 key the test made, and that key. `more` is appended to the configuration.
    pub async fn with_server(more: &str) -> (TestServer, Self) {
        let rsa = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = write_pem(directory.path(), "PRIVATE KEY", pkcs8.as_ref());
        let variables = [("RS256_PRIVATE_KEY_PATH", file.to_str().unwrap())];
        let server = TestServer::with_environment(&format!("{CLIENTS}{more}"), &variables).await;

        let jwks = get(&server, "/.well-known/jwks.json").await.json();
        let rs256 = jwks["keys"].as_array().unwrap().iter().find(|key| key["alg"] == "RS256").unwrap();
        let rsa_kid = rs256["kid"].as_str().unwrap().to_owned();
        let hs256 = super::http::token(&server, "hs256").await;
        let hs256_kid = part(&hs256, 0)["kid"].as_str().unwrap().to_owned();
        let spki: PublicKeyX509Der<'_> = rsa.public_key().as_der().unwrap();
        let spki = spki.as_ref().to_vec();
        (server, Self { rsa, rsa_kid, hs256_kid, jwks, spki })
    }

    /// A JWS with this header and payload text, signed with the server's RSA key.
    pub fn sign(&self, header: &str, payload: impl AsRef<[u8]>) -> String {
        rs256(&self.rsa, header, payload)
    }

    /// The header of a good token.
    pub fn header(&self) -> String {
        format!(r#"{{"typ":"at+jwt","alg":"RS256","kid":"{}"}}"#, self.rsa_kid)
    }

    /// The same with a member replaced or added; the value is JSON text.
    pub fn header_with(&self, name: &str, value: &str) -> String {
        replace(&self.header(), name, value)
    }
}

/// Writes a PEM file (RFC 7468).
pub fn write_pem(directory: &Path, label: &str, der: &[u8]) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;

    let file = directory.join("key.pem");
    std::fs::write(&file, pem(label, der)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

/// PEM text (RFC 7468).
pub fn pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines: Vec<&str> = encoded.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// An RS256 signature by any key.
#[expect(clippy::disallowed_methods, reason = "an attacker has randomness of his own")]
pub fn rs256(key: &KeyPair, header: &str, payload: impl AsRef<[u8]>) -> String {
    let input = format!("{}.{}", b64(header), b64(payload));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
    format!("{input}.{}", b64(signature))
}

/// An HS256 signature by any key.
pub fn hs256(key: &[u8], header: &str, payload: impl AsRef<[u8]>) -> String {
    let input = format!("{}.{}", b64(header), b64(payload));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), input.as_bytes());
    format!("{input}.{}", b64(tag))
}

/// The claims of a good token of the client `rs256`.
pub fn claims() -> Map<String, Value> {
    let claims = json!({
        "iss": ISSUER, "sub": "rs256", "aud": ISSUER, "exp": NOW + 3600, "iat": NOW, "nbf": NOW, "jti": "forged-jti",
        "client_id": "rs256", "azp": "rs256", "scope": "read", "scp": ["read"],
    });
    match claims {
        Value::Object(map) => map,
        _ => unreachable!(),
    }
}

/// [`claims`] as text.
pub fn payload() -> String {
    serde_json::to_string(&claims()).unwrap()
}

/// [`payload`] with a member replaced, added, or, for an empty value, removed; the value is JSON text.
pub fn payload_with(name: &str, value: &str) -> String {
    replace(&payload(), name, value)
}

/// [`payload`] with a member's text put before all others, whether or not the name is there already.
pub fn payload_doubled(member: &str) -> String {
    format!("{{{member},{}", &payload()[1..])
}

/// A JSON object text with one member replaced by a value that need not be JSON serde would write.
pub fn replace(object: &str, name: &str, value: &str) -> String {
    let mut map: Map<String, Value> = serde_json::from_str(object).unwrap();
    map.remove(name);
    let rest = serde_json::to_string(&map).unwrap();
    match value {
        "" => rest,
        _ => format!("{{\"{name}\":{value},{}", &rest[1..]),
    }
}

/// The HS256 key of the test servers.
pub fn shared_key() -> &'static [u8] {
    JWT_SECRET.as_bytes()
}
