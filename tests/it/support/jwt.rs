//! Tokens as somebody else reads them: nothing here calls the server's own code.

use base64::engine::{Engine, general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, jwk::JwkSet};
use serde_json::Value;

use super::server::{ISSUER, JWT_SECRET};

/// base64url without padding.
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// base64url decoded.
pub fn unb64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// The three parts of a token, still encoded.
pub fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().expect("three parts")
}

/// The header of a token.
pub fn header(token: &str) -> Value {
    serde_json::from_slice(&unb64(parts(token)[0])).unwrap()
}

/// The claims of a token, as the exact text.
pub fn payload(token: &str) -> String {
    String::from_utf8(unb64(parts(token)[1])).unwrap()
}

/// The claims of a token.
pub fn claims(token: &str) -> Value {
    serde_json::from_str(&payload(token)).unwrap()
}

/// Verifies a token as a resource server does: the key by `kid` out of a key set (or the shared secret for HS256), the
/// algorithm from the key, issuer and audience exact. Times are not checked, since the clock of the tests stands still.
pub fn verify(token: &str, jwks: &JwkSet, audience: &str) -> Result<Value, jsonwebtoken::errors::Error> {
    let header = jsonwebtoken::decode_header(token)?;
    let kid = header.kid.as_deref().expect("a kid");
    let (alg, key) = match jwks.find(kid) {
        Some(jwk) => {
            let alg = jwk.common.key_algorithm.expect("an alg").to_string().parse()?;
            (alg, DecodingKey::from_jwk(jwk)?)
        }
        None => (Algorithm::HS256, DecodingKey::from_secret(JWT_SECRET.as_bytes())),
    };
    let mut validation = Validation::new(alg);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.validate_exp = false;
    Ok(decode::<Value>(token, &key, &validation)?.claims)
}

/// Texts that are almost this token, each broken in one way.
pub fn broken(token: &str) -> Vec<(&'static str, String)> {
    let [header, payload, signature] = parts(token);
    let change = |part: &str, at: usize| {
        let other = if part.as_bytes()[at] == b'A' { "B" } else { "A" };
        format!("{}{other}{}", &part[..at], &part[at + 1..])
    };
    let claims = String::from_utf8(unb64(payload)).unwrap();
    let none = b64(r#"{"alg":"none","typ":"at+jwt"}"#);
    vec![
        ("first character of the signature", format!("{header}.{payload}.{}", change(signature, 0))),
        ("middle of the signature", format!("{header}.{payload}.{}", change(signature, 20))),
        ("a character of the header", format!("{}.{payload}.{signature}", change(header, 10))),
        ("a character of the claims", format!("{header}.{}.{signature}", change(payload, 30))),
        ("another subject", {
            let forged = claims.replacen(r#""sub":""#, r#""sub":"x"#, 1);
            assert_ne!(forged, claims);
            format!("{header}.{}.{signature}", b64(forged))
        }),
        ("no signature", format!("{header}.{payload}.")),
        ("half a signature", format!("{header}.{payload}.{}", &signature[..signature.len() / 2])),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{token}.{signature}")),
        ("five parts", format!("{token}.{payload}.{signature}")),
        ("padding", format!("{token}=")),
        ("no header", format!(".{payload}.{signature}")),
        ("no claims", format!("{header}..{signature}")),
        ("alg none", format!("{none}.{payload}.")),
        ("alg none with a signature", format!("{none}.{payload}.{signature}")),
        ("garbage", "garbage".to_owned()),
        ("dots", "..".to_owned()),
        ("long", "a".repeat(20_000)),
    ]
}
