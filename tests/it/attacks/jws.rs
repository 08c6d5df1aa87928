//! What a verifier of compact JWS must refuse, for every algorithm: the cases that Project Wycheproof's JSON Web Signature
//! vectors are made of (V-12), built here with keys of our own, through shape, key set and key (V-1, V-2, CHK-71, CHK-75).

use mintage::jose::{
    JwkSet, JwsAlgorithm, PrivateKey, VerificationKey, base64url, base64url_decode, jws::UnverifiedJws,
};
use serde_json::{Map, Value, json};

const PAYLOAD: &[u8] = b"foo";

/// A key, and the set or the secret that whoever verifies knows.
struct Fixture {
    key: PrivateKey,
    set: Option<JwkSet>,
}

impl Fixture {
    fn new(alg: JwsAlgorithm) -> Self {
        if alg.is_symmetric() {
            return Self { key: PrivateKey::from_shared_secret(alg, &[b's'; 64]).unwrap(), set: None };
        }
        let key = PrivateKey::generate(alg).unwrap();
        let set = JwkSet::parse(json!({ "keys": [key.jwk()] }).to_string().as_bytes()).unwrap();
        Self { key, set: Some(set) }
    }

    fn header(&self) -> Map<String, Value> {
        json!({ "kid": self.key.kid() }).as_object().unwrap().clone()
    }

    /// The whole way of a text: shape, choice of the key, signature.
    fn accepts(&self, text: &str) -> bool {
        let Ok(jws) = UnverifiedJws::parse(text) else { return false };
        let Some(set) = &self.set else {
            return jws.verify(&self.key.verification_key().unwrap()).is_ok();
        };
        let header = jws.header();
        let key = header.algorithm().and_then(|alg| set.find(header.kid.as_deref(), alg).found());
        key.is_some_and(|key| jws.verify(key).is_ok())
    }
}

/// The first character of a base64url text, replaced.
fn modified(part: &str) -> String {
    let first = if part.starts_with('X') { 'Y' } else { 'X' };
    format!("{first}{}", &part[1..])
}

#[test]
fn every_defect_of_shape_and_signature_is_refused() {
    for alg in JwsAlgorithm::ALL {
        let fixture = Fixture::new(alg);
        let valid = fixture.key.sign(fixture.header(), PAYLOAD).unwrap();
        assert!(fixture.accepts(&valid), "{alg}");
        let parts: Vec<&str> = valid.split('.').collect();
        let [header, payload, signature] = parts[..] else { panic!("three parts") };

        let other_header = json!({ "kid": "another" }).as_object().unwrap().clone();
        let other_kid = fixture.key.sign(other_header, PAYLOAD).unwrap();
        let other_header = other_kid.split('.').next().unwrap();
        let bytes = base64url_decode(signature).unwrap();
        let none = base64url(json!({ "alg": "none", "kid": fixture.key.kid() }).to_string());
        for text in [
            format!("{header}.{payload}.{}", modified(signature)),
            format!("{header}.{payload}."),
            format!("{header}.{payload}"),
            format!("{header}.{}.{signature}", modified(payload)),
            format!("{header}..{signature}"),
            format!("{header}.{signature}"),
            format!("{other_header}.{payload}.{signature}"),
            format!(".{payload}.{signature}"),
            format!("{payload}.{signature}"),
            format!(".{payload}."),
            payload.to_owned(),
            String::new(),
            format!("{valid}."),
            format!("{valid}.foo"),
            format!("{none}.{payload}."),
            format!("{none}.{payload}.{signature}"),
            json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]})
                .to_string(),
            json!({"payload": payload, "protected": header, "signature": signature}).to_string(),
            format!("{header}.{payload}.{}", base64url(&bytes[..bytes.len() - 1])),
            format!("{header}.{payload}.{}", base64url([&bytes[..], &[0]].concat())),
            format!("{header}.{payload}.{}", base64url([&[0], &bytes[..]].concat())),
            format!("{header}.{payload}.{}", base64url(vec![0; bytes.len()])),
        ] {
            assert!(!fixture.accepts(&text), "{alg}: {text}");
        }
    }
}

// V-1, V-2, CHK-74
#[test]
fn no_other_algorithm_is_accepted_with_a_key() {
    for alg in JwsAlgorithm::ALL {
        let fixture = Fixture::new(alg);
        for other in JwsAlgorithm::ALL.into_iter().filter(|other| *other != alg) {
            // The header names another algorithm over a signature of the right one.
            let header = base64url(json!({ "alg": other.as_str(), "kid": fixture.key.kid() }).to_string());
            let message = format!("{header}.{}", base64url(PAYLOAD));
            let signature = base64url(fixture.key.sign_bytes(message.as_bytes()).unwrap());
            assert!(!fixture.accepts(&format!("{message}.{signature}")), "{alg} {other}");
        }
    }
}

// V-2: the public key, in each of its spellings, as the secret of an HMAC
#[test]
fn a_public_key_is_no_secret() {
    for alg in JwsAlgorithm::ALL.into_iter().filter(|alg| !alg.is_symmetric()) {
        let fixture = Fixture::new(alg);
        let jwk = serde_json::to_value(fixture.key.jwk().unwrap()).unwrap();
        let member = |name: &str| base64url_decode(jwk[name].as_str().unwrap_or_default()).unwrap();
        let point = [&[4][..], &member("x"), &member("y")].concat();
        for secret in [jwk.to_string().into_bytes(), member("n"), member("x"), point] {
            for symmetric in [JwsAlgorithm::HS256, JwsAlgorithm::HS384, JwsAlgorithm::HS512] {
                let Ok(forger) = PrivateKey::from_shared_secret(symmetric, &secret) else { continue };
                assert!(!fixture.accepts(&forger.sign(fixture.header(), PAYLOAD).unwrap()), "{alg}");
            }
        }
    }
}

// V-4, CHK-75
#[test]
fn a_key_that_the_attacker_brings_along_is_ignored() {
    for alg in JwsAlgorithm::ALL.into_iter().filter(|alg| !alg.is_symmetric()) {
        let (fixture, attacker) = (Fixture::new(alg), PrivateKey::generate(alg).unwrap());
        for (name, value) in [
            ("jwk", json!(attacker.jwk())),
            ("jku", json!("https://evil.example/jwks.json")),
            ("x5u", json!("https://evil.example/chain.pem")),
            ("x5c", json!(["AAAA"])),
        ] {
            let mut header = fixture.header();
            header.insert(name.to_owned(), value);
            assert!(!fixture.accepts(&attacker.sign(header.clone(), PAYLOAD).unwrap()), "{alg} {name}");
            // Nor does its presence harm.
            assert!(fixture.accepts(&fixture.key.sign(header, PAYLOAD).unwrap()), "{alg} {name}");
        }
    }
}

// RFC 7518 §3.4: two numbers of fixed length; the form of X.509 is another one
#[test]
fn asn1_signatures_are_no_jws_signatures() {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
    };
    let der = PrivateKey::generate_pkcs8(JwsAlgorithm::ES256).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der.expose()).unwrap();
    let key =
        VerificationKey::elliptic(String::new(), JwsAlgorithm::ES256, pair.public_key().as_ref()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "aws-lc ignores the generator it is handed")]
    let signature = pair.sign(&SystemRandom::new(), PAYLOAD).unwrap();
    assert!(key.verify(PAYLOAD, signature.as_ref()).is_err());
}
