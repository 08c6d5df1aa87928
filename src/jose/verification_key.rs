//! Keys that check signatures (RFC 7515 §5.2). Each is bound to one algorithm (RFC 8725 §3.1): the algorithm comes from
//! the key, and a token that names another one is refused before any arithmetic.

use std::fmt;

use aws_lc_rs::{
    hmac,
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
        RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
    },
};

use jsonwebtoken::crypto::JwtVerifier;
use quick_cache::sync::Cache;
use signature::Verifier;

use super::JwsAlgorithm;
use crate::fingerprint;

/// How many right messages a key remembers that does, and how many wrong ones, of some 70 bytes each.
const REMEMBERED: usize = 8 * 1024;

/// A parsed key, its identifier and the one algorithm it is for.
pub struct VerificationKey {
    kid: String,
    alg: JwsAlgorithm,
    /// Parsed once.
    verifier: Box<dyn JwtVerifier + Send + Sync>,
    memory: Option<Memory>,
}

/// What was found, by the [`fingerprint`] of message and signature: apart, so that what is wrong pushes out nothing that is right.
struct Memory {
    right: Cache<[u8; 32], ()>,
    wrong: Cache<[u8; 32], ()>,
}

/// The key cannot be used: it is malformed, off its curve, of small order, or too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key is malformed, not on its curve, or too weak (RSA below 2048 bits, a short secret)")]
pub struct InvalidKey;

/// The signature does not belong to the message and the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is wrong")]
pub struct WrongSignature;

impl VerificationKey {
    /// An RSA key from its modulus and exponent, both big-endian.
    ///
    /// # Errors
    /// [`InvalidKey`] below 2048 or above 8192 bits, and for an exponent that is even or below 3 (RFC 7518 §3.3).
    pub fn rsa(kid: String, alg: impl Into<JwsAlgorithm>, n: &[u8], e: &[u8]) -> Result<Self, InvalidKey> {
        let alg = alg.into();
        let scheme = match alg {
            JwsAlgorithm::RS256 => &RSA_PKCS1_2048_8192_SHA256,
            JwsAlgorithm::RS384 => &RSA_PKCS1_2048_8192_SHA384,
            JwsAlgorithm::RS512 => &RSA_PKCS1_2048_8192_SHA512,
            JwsAlgorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
            JwsAlgorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
            JwsAlgorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
            _ => return Err(InvalidKey),
        };
        let e = strip_zeros(e);
        let exponent_is_sound = e.len() <= 5 && e.last().is_some_and(|last| last & 1 == 1) && e != [1];
        let n = strip_zeros(n);
        let is_short = n.len() < 256 || (n.len() == 256 && n[0] < 0x80);
        if !exponent_is_sound || is_short || n.len() > 1024 {
            return Err(InvalidKey);
        }
        let key = PublicKeyComponents { n, e }.to_parsed_public_key(scheme).map_err(|_| InvalidKey)?;
        Ok(Self::new(kid, alg, PublicKeyVerifier { alg, key }))
    }

    /// An elliptic-curve key: the uncompressed point (`0x04 || x || y`) for ECDSA, the 32 bytes of RFC 8032 for Ed25519.
    ///
    /// # Errors
    /// [`InvalidKey`] when the point is not on the curve or of small order.
    pub fn elliptic(kid: String, alg: impl Into<JwsAlgorithm>, point: &[u8]) -> Result<Self, InvalidKey> {
        let alg = alg.into();
        let scheme: &'static dyn VerificationAlgorithm = match alg {
            JwsAlgorithm::ES256 => &ECDSA_P256_SHA256_FIXED,
            JwsAlgorithm::ES384 => &ECDSA_P384_SHA384_FIXED,
            JwsAlgorithm::EdDSA => &ED25519,
            _ => return Err(InvalidKey),
        };
        if alg == JwsAlgorithm::EdDSA && is_small_order(point) {
            return Err(InvalidKey);
        }
        let key = ParsedPublicKey::new(scheme, point).map_err(|_| InvalidKey)?;
        Ok(Self::new(kid, alg, PublicKeyVerifier { alg, key }))
    }

    /// A shared key for HMAC: what `client_secret_jwt` is verified with (OpenID Connect Core §9).
    ///
    /// # Errors
    /// [`InvalidKey`] when the key is shorter than the hash: 32 bytes for HS256, 48 for HS384, 64 for HS512
    /// (RFC 7518 §3.2: "MUST").
    pub fn hmac(kid: String, alg: impl Into<JwsAlgorithm>, key: &[u8]) -> Result<Self, InvalidKey> {
        let alg = alg.into();
        Ok(Self::of_hmac(kid, alg, hmac_key(alg, key)?))
    }

    /// A shared key whose length was checked.
    pub(super) fn of_hmac(kid: String, alg: JwsAlgorithm, key: hmac::Key) -> Self {
        Self::new(kid, alg, HmacVerifier { alg, key })
    }

    fn new(kid: String, alg: JwsAlgorithm, verifier: impl JwtVerifier + Send + Sync + 'static) -> Self {
        Self { kid, alg, verifier: Box::new(verifier), memory: None }
    }

    /// The same key, for who shows it the same messages again and again: what it has found lately it finds again without the
    /// arithmetic, which takes thirty to a hundred times as long as to recognise a message. Whether a signature fits a key never
    /// changes, so only time differs; all that does change, such as the validity of a token, is not the key's to say.
    #[must_use]
    pub fn remembering(self) -> Self {
        let memory = Memory { right: Cache::new(REMEMBERED), wrong: Cache::new(REMEMBERED) };
        Self { memory: Some(memory), ..self }
    }

    /// The identifier a token's `kid` header must name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The only algorithm this key is for.
    pub fn alg(&self) -> JwsAlgorithm {
        self.alg
    }

    /// Checks `signature` over `message`.
    ///
    /// # Errors
    /// [`WrongSignature`], whatever the cause.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), WrongSignature> {
        let Some(Memory { right, wrong }) = &self.memory else { return self.compute(message, signature) };
        let fingerprint = fingerprint::of([message, signature]);
        if right.get(&fingerprint).is_some() {
            return Ok(());
        }
        if wrong.get(&fingerprint).is_some() {
            return Err(WrongSignature);
        }
        let found = self.compute(message, signature);
        if found.is_ok() { right } else { wrong }.insert(fingerprint, ());
        found
    }

    fn compute(&self, message: &[u8], signature: &[u8]) -> Result<(), WrongSignature> {
        self.verifier.verify(message, &signature.to_vec()).map_err(|_| WrongSignature)
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("kid", &self.kid)
            .field("alg", &self.alg)
            .finish_non_exhaustive()
    }
}

/// RSA, ECDSA and Ed25519.
struct PublicKeyVerifier {
    alg: JwsAlgorithm,
    key: ParsedPublicKey,
}

impl Verifier<Vec<u8>> for PublicKeyVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.key.verify_sig(message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for PublicKeyVerifier {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        self.alg.into()
    }
}

/// HMAC; the comparison takes constant time.
struct HmacVerifier {
    alg: JwsAlgorithm,
    key: hmac::Key,
}

impl Verifier<Vec<u8>> for HmacVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        hmac::verify(&self.key, message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for HmacVerifier {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        self.alg.into()
    }
}

/// The key schedule of an HMAC algorithm, for a key that is long enough.
pub(super) fn hmac_key(alg: JwsAlgorithm, key: &[u8]) -> Result<hmac::Key, InvalidKey> {
    let (scheme, shortest) = match alg {
        JwsAlgorithm::HS256 => (hmac::HMAC_SHA256, 32),
        JwsAlgorithm::HS384 => (hmac::HMAC_SHA384, 48),
        JwsAlgorithm::HS512 => (hmac::HMAC_SHA512, 64),
        _ => return Err(InvalidKey),
    };
    if key.len() < shortest { Err(InvalidKey) } else { Ok(hmac::Key::new(scheme, key)) }
}

/// The number without leading zeros.
pub(super) fn strip_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// Whether an Ed25519 key generates fewer than all points: signatures under such a key can be valid for any message.
/// The y-coordinates of the eight points of small order, canonical and not, whatever the sign bit says.
fn is_small_order(point: &[u8]) -> bool {
    const ORDER_8_A: &str = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    const ORDER_8_B: &str = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
    let Ok(mut y) = <[u8; 32]>::try_from(point) else { return false };
    y[31] &= 0x7F;
    let near_prime = |low: u8| y[0] == low && y[1..31].iter().all(|byte| *byte == 0xFF) && y[31] == 0x7F;
    let near_zero = y[0] <= 1 && y[1..].iter().all(|byte| *byte == 0);
    let hex: String = y.iter().map(|byte| format!("{byte:02x}")).collect();
    near_zero || (0xEC..=0xEE).any(near_prime) || hex == ORDER_8_A || hex == ORDER_8_B
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair};

    use super::*;

    fn key(alg: JwsAlgorithm, point: &[u8]) -> Result<VerificationKey, InvalidKey> {
        VerificationKey::elliptic("k".to_owned(), alg, point)
    }

    // CHK-79
    #[test]
    fn weak_rsa_keys_are_refused() {
        let rsa = |bits: usize, e: &[u8]| {
            let mut n = vec![0xFF; bits / 8];
            n[0] = 0x80;
            VerificationKey::rsa("k".to_owned(), JwsAlgorithm::RS256, &n, e)
        };
        assert!(rsa(2048, &[1, 0, 1]).is_ok());
        assert!(rsa(2040, &[1, 0, 1]).is_err());
        assert!(rsa(1024, &[1, 0, 1]).is_err());
        assert!(rsa(8200, &[1, 0, 1]).is_err());
        assert!(rsa(2048, &[1]).is_err());
        assert!(rsa(2048, &[2]).is_err());
        assert!(rsa(2048, &[]).is_err());
    }

    // CHK-77
    #[test]
    fn short_secrets_are_refused() {
        for (alg, shortest) in
            [(JwsAlgorithm::HS256, 32), (JwsAlgorithm::HS384, 48), (JwsAlgorithm::HS512, 64)]
        {
            let key = |length| VerificationKey::hmac("k".to_owned(), alg, &vec![b'k'; length]);
            assert!(key(shortest).is_ok(), "{alg}");
            assert!(key(shortest - 1).is_err(), "{alg}");
        }
        assert!(VerificationKey::hmac("k".to_owned(), JwsAlgorithm::ES256, &[b'k'; 64]).is_err());
    }

    // CHK-78, V-12
    #[test]
    fn points_off_the_curve_or_of_another_curve_are_refused() {
        let pair = EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let mut point = pair.public_key().as_ref().to_vec();
        assert!(key(JwsAlgorithm::ES256, &point).is_ok());
        assert!(key(JwsAlgorithm::ES384, &point).is_err());
        point[64] ^= 1;
        assert!(key(JwsAlgorithm::ES256, &point).is_err());
        assert!(key(JwsAlgorithm::ES256, &[0]).is_err());
    }

    // CHK-78
    #[test]
    fn small_order_ed25519_keys_are_refused() {
        let mut one = [0; 32];
        one[0] = 1;
        let mut minus_one = [0xFF; 32];
        minus_one[0] = 0xEC;
        for point in [[0; 32], one, minus_one] {
            assert!(key(JwsAlgorithm::EdDSA, &point).is_err(), "{point:?}");
        }
        let mut base_point = [0x66; 32];
        base_point[0] = 0x58;
        assert!(key(JwsAlgorithm::EdDSA, &base_point).is_ok());
    }

    /// Finds right what is signed with `!`, and counts how often it was asked.
    #[derive(Default)]
    struct Counting(Arc<AtomicUsize>);

    impl Verifier<Vec<u8>> for Counting {
        fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
            self.0.fetch_add(1, Relaxed);
            if signature == b"!" && !message.is_empty() { Ok(()) } else { Err(signature::Error::new()) }
        }
    }

    impl JwtVerifier for Counting {
        fn algorithm(&self) -> jsonwebtoken::Algorithm {
            jsonwebtoken::Algorithm::ES256
        }
    }

    // F-24: neither what is right nor what is wrong is computed again, and nothing else is taken for it.
    #[test]
    fn what_was_found_is_found_again_without_being_computed() {
        let counting = Counting::default();
        let computed = Arc::clone(&counting.0);
        let key = VerificationKey::new("k".to_owned(), JwsAlgorithm::ES256, counting).remembering();
        let verify = |message: &[u8], signature: &[u8]| {
            let found = key.verify(message, signature);
            (found.is_ok(), computed.swap(0, Relaxed))
        };
        assert_eq!(verify(b"message?", b"!"), (true, 1));
        for (message, signature) in [
            (&b"message?"[..], &b"?"[..]),
            (b"message?", b""),
            (b"message?", b"!!"),
            (b"message?!", b""),
            (b"message", b"?!"),
            (b"", b"message?!"),
        ] {
            assert_eq!(verify(message, signature), (false, 1));
            assert_eq!(verify(message, signature), (false, 0));
        }
        assert_eq!(verify(b"message?", b"!"), (true, 0));
    }

    // F-24, F-25
    #[test]
    fn no_more_is_remembered_than_is_meant_to_be_and_what_is_wrong_takes_no_room_from_what_is_right() {
        let counting = Counting::default();
        let computed = Arc::clone(&counting.0);
        let key = VerificationKey::new("k".to_owned(), JwsAlgorithm::ES256, counting).remembering();
        let verify = |number: u64, signature| key.verify(&number.to_be_bytes(), signature);
        assert_eq!(verify(0, b"!"), Ok(()));
        for number in 0..3 * REMEMBERED as u64 {
            assert_eq!(verify(number, b"?"), Err(WrongSignature));
        }
        computed.store(0, Relaxed);
        assert_eq!((verify(0, b"!"), computed.load(Relaxed)), (Ok(()), 0));
        for number in 0..3 * REMEMBERED as u64 {
            assert_eq!(verify(number, b"!"), Ok(()));
        }
        let Memory { right, wrong } = key.memory.as_ref().unwrap();
        for remembered in [right.len(), wrong.len()] {
            assert!((REMEMBERED / 2..=REMEMBERED + 64).contains(&remembered), "{remembered}");
        }
    }

    // V-12, CHK-80
    #[test]
    fn degenerate_ecdsa_signatures_are_refused() {
        let pair = EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let key = key(JwsAlgorithm::ES256, pair.public_key().as_ref()).unwrap();
        let n = b"\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51";
        for signature in [vec![0; 64], [*n, *n].concat(), vec![1; 63], vec![1; 65], vec![]] {
            assert_eq!(key.verify(b"message", &signature), Err(WrongSignature));
        }
    }
}
