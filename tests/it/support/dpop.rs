//! A caller that has a DPoP key (RFC 9449).

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest;
use mintage::jose::{JwsAlgorithm, PrivateKey, base64url};
use serde_json::{Map, Value, json};

use super::{
    Transport, Wire,
    server::{ISSUER, NOW},
};

/// A key, and the proofs it makes.
pub struct DpopKey(PrivateKey);

impl DpopKey {
    /// A new key.
    pub fn generate() -> Self {
        Self::of(JwsAlgorithm::ES256)
    }

    /// A new key for this algorithm.
    pub fn of(alg: JwsAlgorithm) -> Self {
        Self(PrivateKey::generate(alg).unwrap())
    }

    /// The thumbprint, as `cnf.jkt` has it.
    pub fn jkt(&self) -> &str {
        self.0.kid()
    }

    /// A proof with these claims and a fresh `jti`, made at [`NOW`] unless they say otherwise; `null` leaves one out.
    pub fn proof(&self, claims: &Value) -> String {
        self.proof_with(&json!({}), claims)
    }

    /// The same with changes to the header.
    pub fn proof_with(&self, header: &Value, claims: &Value) -> String {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let jti = format!("jti-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let header = merged(json!({ "typ": "dpop+jwt", "jwk": self.0.jwk() }), header);
        let claims = merged(json!({ "jti": jti, "iat": NOW }), claims);
        self.0.sign(header, Value::Object(claims).to_string().as_bytes()).unwrap()
    }

    /// A good proof for a token request on this transport.
    pub fn for_token(&self, wire: &Wire) -> String {
        self.proof(&token_claims(wire))
    }

    /// A good proof for userinfo with this token on this transport.
    pub fn for_userinfo(&self, wire: &Wire, token: &str) -> String {
        self.proof(&userinfo_claims(wire, token))
    }
}

/// `htm` and `htu` of a token request.
pub fn token_claims(wire: &Wire) -> Value {
    match wire.transport {
        Transport::Rest => json!({ "htm": "POST", "htu": format!("{ISSUER}/token") }),
        Transport::Grpc => {
            json!({ "htm": "POST", "htu": format!("{ISSUER}/mintage.token.v1.TokenService/Issue") })
        }
    }
}

/// `htm`, `htu` and `ath` of a request for userinfo with this token.
pub fn userinfo_claims(wire: &Wire, token: &str) -> Value {
    let ath = base64url(digest::digest(&digest::SHA256, token.as_bytes()));
    let (htm, path) = match wire.transport {
        Transport::Rest => ("GET", "userinfo"),
        Transport::Grpc => ("POST", "mintage.token.v1.TokenService/UserInfo"),
    };
    json!({ "htm": htm, "htu": format!("{ISSUER}/{path}"), "ath": ath })
}

/// The members of both objects; those of the second count, and `null` takes one away.
fn merged(mut object: Value, changes: &Value) -> Map<String, Value> {
    let members = object.as_object_mut().unwrap();
    members.extend(changes.as_object().unwrap().clone());
    members.retain(|_, value| !value.is_null());
    std::mem::take(members)
}
