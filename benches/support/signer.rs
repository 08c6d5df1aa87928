//! What clients sign: assertions and DPoP proofs, each of which is accepted once; and signed things that must be refused.

use std::cell::Cell;

use mintage::{
    clock::{Clock, SystemClock},
    jose::{JwsAlgorithm, PrivateKey, base64url, base64url_decode},
};
use serde_json::{Value, json};

use super::{
    Result, config,
    http::{Request, form_with_headers},
};

/// A client with an ES256 key.
pub struct Signer {
    key: PrivateKey,
    number: Cell<u64>,
}

impl Signer {
    /// A client with a new key.
    pub fn new() -> Result<Self> {
        Ok(Self { key: PrivateKey::generate(JwsAlgorithm::ES256)?, number: Cell::new(0) })
    }

    /// Its registration. It is called `signs`.
    pub fn client(&self) -> Result<String> {
        config::client_with_key("signs", &self.key)
    }

    fn sign(&self, header: &Value, mut claims: Value) -> Result<String> {
        let now = SystemClock.now().seconds();
        claims["jti"] = format!("jti-{}", self.number.replace(self.number.get() + 1)).into();
        claims["iat"] = now.into();
        claims["exp"] = (now + 240).into();
        let header = header.as_object().cloned().unwrap_or_default();
        Ok(self.key.sign(header, claims.to_string().as_bytes())?)
    }

    /// A request for an ES256 token that is bound by a fresh proof.
    pub fn with_proof(&self) -> Result<Request> {
        let header = json!({ "typ": "dpop+jwt", "jwk": self.key.jwk() });
        let proof = self.sign(&header, json!({ "htm": "POST", "htu": "http://127.0.0.1/token" }))?;
        let body = format!("grant_type=client_credentials&client_id=ES256&client_secret={}", config::SECRET);
        Ok(form_with_headers("/token", &format!("dpop: {proof}\r\n"), &body))
    }

    /// A fresh assertion (RFC 7523).
    pub fn assertion(&self) -> Result<String> {
        self.sign(&json!({}), json!({ "iss": "signs", "sub": "signs", "aud": "http://127.0.0.1" }))
    }
}

/// A request for a token of the client that this assertion names.
pub fn with_assertion(assertion: &str) -> Request {
    let body = format!(
        "grant_type=client_credentials&client_assertion={assertion}\
         &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
    );
    form_with_headers("/token", "", &body)
}

/// The same with another signature, for each number another one.
pub fn with_wrong_signature(jws: &str, number: u64) -> Result<String> {
    let (message, signature) = jws.rsplit_once('.').ok_or("no JWS")?;
    let number = base64url(&number.to_be_bytes()[2..]);
    let rest = signature.get(number.len()..).ok_or("no signature")?;
    Ok(format!("{message}.{number}{rest}"))
}

/// The same with a `kid` that nobody knows.
pub fn with_unknown_kid(jws: &str) -> Result<String> {
    let (header, rest) = jws.split_once('.').ok_or("no JWS")?;
    let mut header: Value = serde_json::from_slice(&base64url_decode(header).ok_or("no header")?)?;
    header["kid"] = "unknown".into();
    Ok(format!("{}.{rest}", base64url(header.to_string())))
}
