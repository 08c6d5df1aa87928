//! Keys that stand in for those of a client that does not exist: a clock must not tell who is registered (V-22).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair,
};

use crate::jose::{JwsAlgorithm, VerificationKey, verification_key::InvalidKey};

/// One key for each algorithm that assertions may have.
#[derive(Debug)]
pub(in crate::oauth::client) struct Decoys {
    keys: Vec<VerificationKey>,
    #[cfg(test)]
    pub(in crate::oauth::client) used: std::sync::atomic::AtomicU32,
}

impl Decoys {
    /// Fresh keys, whose private halves are gone at once.
    ///
    /// # Errors
    /// [`InvalidKey`] when the generator fails.
    pub(in crate::oauth::client) fn generate(algorithms: &[JwsAlgorithm]) -> Result<Self, InvalidKey> {
        let keys = algorithms.iter().map(|alg| decoy(*alg)).collect::<Result<_, _>>()?;
        Ok(Self {
            keys,
            #[cfg(test)]
            used: std::sync::atomic::AtomicU32::new(0),
        })
    }

    /// The key for an algorithm.
    pub(in crate::oauth::client) fn get(&self, alg: JwsAlgorithm) -> Option<&VerificationKey> {
        #[cfg(test)]
        self.used.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.keys.iter().find(|key| key.alg() == alg)
    }
}

fn decoy(alg: JwsAlgorithm) -> Result<VerificationKey, InvalidKey> {
    use JwsAlgorithm::{ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512};

    let elliptic = |scheme: &'static EcdsaSigningAlgorithm| {
        let pair = EcdsaKeyPair::generate(scheme).map_err(|_| InvalidKey)?;
        VerificationKey::elliptic(String::new(), alg, pair.public_key().as_ref())
    };
    match alg {
        // Arithmetic takes as long with a number nobody knows the factors of, and finding primes takes long.
        RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => {
            VerificationKey::rsa(String::new(), alg, &[0xD5; 256], &[1, 0, 1])
        }
        ES256 => elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING),
        ES384 => elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING),
        EdDSA => {
            let pair = Ed25519KeyPair::generate().map_err(|_| InvalidKey)?;
            VerificationKey::elliptic(String::new(), alg, pair.public_key().as_ref())
        }
        // Everybody knows this one. What a decoy says of a signature is not listened to.
        HS256 | HS384 | HS512 => VerificationKey::hmac(String::new(), alg, &[0xD5; 64]),
    }
}
