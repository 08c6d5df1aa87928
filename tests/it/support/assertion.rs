//! Client assertions, made by hand and without the server's code: keys of clients, claims, signatures.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
        RSA_PSS_SHA512, RsaEncoding,
    },
};
use serde_json::{Value, json};

use super::{Auth, forge::b64, server::ISSUER};

/// RFC 7523 §2.2
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Every algorithm of private_key_jwt.
pub const ASYMMETRIC: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// A key pair of a client.
pub struct ClientKey {
    pub kid: String,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ecdsa(&'static str, EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl ClientKey {
    /// A new key that can sign with this algorithm.
    pub fn generate(alg: &str, kid: &str) -> Self {
        let pair = match alg {
            "ES256" => {
                Pair::Ecdsa("P-256", EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
            }
            "ES384" => {
                Pair::Ecdsa("P-384", EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
            }
            "EdDSA" => Pair::Ed25519(Ed25519KeyPair::generate().unwrap()),
            _ => Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())),
        };
        Self { kid: kid.to_owned(), pair }
    }

    /// The public half, without `alg`.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
                json!({
                    "kty": "RSA",
                    "n": b64(n.big_endian_without_leading_zero()),
                    "e": b64(e.big_endian_without_leading_zero()),
                })
            }
            Pair::Ecdsa(crv, pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(if *crv == "P-256" { 32 } else { 48 });
                json!({ "kty": "EC", "crv": crv, "x": b64(x), "y": b64(y) })
            }
            Pair::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key().as_ref()) })
            }
        };
        jwk["kid"] = self.kid.clone().into();
        jwk
    }

    /// The signature of an algorithm over a text.
    #[expect(clippy::disallowed_methods, reason = "a client has randomness of its own")]
    fn signature(&self, alg: &str, input: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let scheme: &'static dyn RsaEncoding = match alg {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(scheme, &random, input.as_bytes(), &mut signature).unwrap();
                signature
            }
            Pair::Ecdsa(_, pair) => pair.sign(&random, input.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(input.as_bytes()).as_ref().to_vec(),
        }
    }

    /// An assertion with this header and payload text.
    pub fn sign(&self, alg: &str, header: &str, payload: impl AsRef<[u8]>) -> String {
        let input = format!("{}.{}", b64(header), b64(payload));
        let signature = b64(self.signature(alg, &input));
        format!("{input}.{signature}")
    }

    /// An assertion with these claims and the usual header.
    pub fn assertion(&self, alg: &str, claims: &Value) -> String {
        self.sign(alg, &header(alg, &self.kid), claims.to_string())
    }
}

/// The usual header.
pub fn header(alg: &str, kid: &str) -> String {
    json!({ "alg": alg, "kid": kid, "typ": "JWT" }).to_string()
}

/// An assertion under a secret.
pub fn by_secret(alg: &str, secret: &str, claims: &Value) -> String {
    let scheme = match alg {
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    let input =
        format!("{}.{}", b64(json!({ "alg": alg, "typ": "JWT" }).to_string()), b64(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(scheme, secret.as_bytes()), input.as_bytes());
    format!("{input}.{}", b64(tag))
}

/// The claims of a good assertion that is made at an instant.
pub fn claims_at(client_id: &str, now: u64) -> Value {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let jti = format!("{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    json!({ "iss": client_id, "sub": client_id, "aud": ISSUER, "exp": now + 60, "iat": now, "jti": jti })
}

/// The same at the instant every test begins at.
pub fn claims(client_id: &str) -> Value {
    claims_at(client_id, super::server::NOW)
}

/// [`claims`] with one of them replaced, or left out when the value is null.
pub fn claims_with(client_id: &str, name: &str, value: Value) -> Value {
    let mut claims = claims(client_id);
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

/// A request with this assertion and nothing else.
pub fn presented(assertion: &str) -> Auth {
    Auth::Assertion { client_id: String::new(), kind: JWT_BEARER.to_owned(), assertion: assertion.to_owned() }
}

/// The same with a `client_id` beside it.
pub fn presented_as(client_id: &str, assertion: &str) -> Auth {
    Auth::Assertion {
        client_id: client_id.to_owned(),
        kind: JWT_BEARER.to_owned(),
        assertion: assertion.to_owned(),
    }
}

/// A `[[clients]]` table of a client with keys; `more` are further members.
pub fn keyed_client(client_id: &str, keys: &[&ClientKey], more: &str) -> String {
    let keys: Vec<String> = keys.iter().map(|key| inline_table(&key.jwk())).collect();
    format!(
        "\n[[clients]]\nclient_id = \"{client_id}\"\ntoken_endpoint_auth_method = \"private_key_jwt\"\n\
         access_token_signing_alg = \"ES256\"\nscope = \"read write\"\njwks = {{ keys = [{}] }}\n{more}\n",
        keys.join(", ")
    )
}

/// A JSON object of texts as TOML.
fn inline_table(object: &Value) -> String {
    let members = object.as_object().unwrap().iter().map(|(name, value)| format!("{name} = {value}"));
    format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
}
