//! Private keys for every algorithm that can be verified, parsed once and then only signed with (RFC 7515 §5.1).
//!
//! The server's own keys are [`super::SigningKey`]s, made of these; the client side of the command line signs
//! assertions and DPoP proofs with them directly.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    hmac,
    rand::SystemRandom,
    rsa::{self, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
        RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
    },
};
use jsonwebtoken::crypto::JwtSigner;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Map, Value};
use signature::Signer as _;

use super::{
    Jwk, JwsAlgorithm, VerificationKey, base64url,
    jwk::{PublicParameters, symmetric_thumbprint},
    verification_key::{InvalidKey, hmac_key},
};
use crate::secret::Secret;

/// A private key that is ready to sign, for one algorithm.
pub struct PrivateKey {
    alg: JwsAlgorithm,
    kid: String,
    signer: Signer,
    /// The public half; nothing for a symmetric key.
    jwk: Option<Jwk>,
}

/// The signature could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing operation failed")]
pub struct SigningError;

/// What the key is made of.
enum Signer {
    Rsa(rsa::KeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Hmac(Box<hmac::Key>),
}

/// How an algorithm signs.
enum Scheme {
    Rsa(&'static dyn RsaEncoding),
    Ecdsa(&'static EcdsaSigningAlgorithm),
    Ed25519,
    Hmac,
}

impl Scheme {
    fn of(alg: JwsAlgorithm) -> Self {
        match alg {
            JwsAlgorithm::RS256 => Self::Rsa(&RSA_PKCS1_SHA256),
            JwsAlgorithm::RS384 => Self::Rsa(&RSA_PKCS1_SHA384),
            JwsAlgorithm::RS512 => Self::Rsa(&RSA_PKCS1_SHA512),
            JwsAlgorithm::PS256 => Self::Rsa(&RSA_PSS_SHA256),
            JwsAlgorithm::PS384 => Self::Rsa(&RSA_PSS_SHA384),
            JwsAlgorithm::PS512 => Self::Rsa(&RSA_PSS_SHA512),
            JwsAlgorithm::ES256 => Self::Ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            JwsAlgorithm::ES384 => Self::Ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
            JwsAlgorithm::EdDSA => Self::Ed25519,
            JwsAlgorithm::HS256 | JwsAlgorithm::HS384 | JwsAlgorithm::HS512 => Self::Hmac,
        }
    }
}

impl PrivateKey {
    /// A new key for an asymmetric algorithm; 2048 bits for RSA.
    ///
    /// # Errors
    /// [`InvalidKey`] for a symmetric algorithm, and when the generator fails.
    pub fn generate(alg: JwsAlgorithm) -> Result<Self, InvalidKey> {
        Self::from_pkcs8(alg, &Self::generate_pkcs8(alg)?)
    }

    /// The same as it is kept: PKCS#8 DER (RFC 5208), for [`PrivateKey::from_pkcs8`].
    ///
    /// # Errors
    /// As [`PrivateKey::generate`].
    pub fn generate_pkcs8(alg: JwsAlgorithm) -> Result<Secret<Vec<u8>>, InvalidKey> {
        let der = match Scheme::of(alg) {
            Scheme::Rsa(_) => {
                let pair = rsa::KeyPair::generate(KeySize::Rsa2048).map_err(|_| InvalidKey)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| InvalidKey)?;
                der.as_ref().to_vec()
            }
            Scheme::Ecdsa(scheme) => {
                let pair = EcdsaKeyPair::generate(scheme).map_err(|_| InvalidKey)?;
                pair.to_pkcs8v1().map_err(|_| InvalidKey)?.as_ref().to_vec()
            }
            Scheme::Ed25519 => {
                let pair = Ed25519KeyPair::generate().map_err(|_| InvalidKey)?;
                pair.to_pkcs8v1().map_err(|_| InvalidKey)?.as_ref().to_vec()
            }
            Scheme::Hmac => return Err(InvalidKey),
        };
        Ok(Secret::new(der))
    }

    /// Parses a private key in PKCS#8 DER (RFC 5208).
    ///
    /// # Errors
    /// [`InvalidKey`] when the key does not fit the algorithm, is malformed, or weaker than 2048-bit RSA.
    pub fn from_pkcs8(alg: JwsAlgorithm, der: &Secret<Vec<u8>>) -> Result<Self, InvalidKey> {
        let der = der.expose();
        let signer = match Scheme::of(alg) {
            Scheme::Rsa(_) => rsa::KeyPair::from_pkcs8(der).map(Signer::Rsa),
            Scheme::Ecdsa(scheme) => EcdsaKeyPair::from_pkcs8(scheme, der).map(Signer::Ecdsa),
            Scheme::Ed25519 => Ed25519KeyPair::from_pkcs8(der).map(Signer::Ed25519),
            Scheme::Hmac => return Err(InvalidKey),
        };
        Self::assemble(alg, signer.map_err(|_| InvalidKey)?)
    }

    /// Reads the first private key of a PEM text (RFC 7468), not encrypted: PKCS#8, PKCS#1 for RSA, or SEC 1 for EC.
    ///
    /// # Errors
    /// [`InvalidKey`] when there is none, and as [`PrivateKey::from_pkcs8`].
    pub fn from_pem(alg: JwsAlgorithm, text: &[u8]) -> Result<Self, InvalidKey> {
        let signer = match (PrivateKeyDer::from_pem_slice(text).map_err(|_| InvalidKey)?, Scheme::of(alg)) {
            (PrivateKeyDer::Pkcs8(der), _) => {
                return Self::from_pkcs8(alg, &Secret::new(der.secret_pkcs8_der().to_vec()));
            }
            (PrivateKeyDer::Pkcs1(der), Scheme::Rsa(_)) => {
                rsa::KeyPair::from_der(der.secret_pkcs1_der()).map(Signer::Rsa)
            }
            (PrivateKeyDer::Sec1(der), Scheme::Ecdsa(scheme)) => {
                EcdsaKeyPair::from_private_key_der(scheme, der.secret_sec1_der()).map(Signer::Ecdsa)
            }
            _ => return Err(InvalidKey),
        };
        Self::assemble(alg, signer.map_err(|_| InvalidKey)?)
    }

    /// A shared key for HMAC (RFC 7518 §3.2).
    ///
    /// # Errors
    /// [`InvalidKey`] when it is shorter than the hash, as [`VerificationKey::hmac`] says, or the algorithm is
    /// asymmetric.
    pub fn from_shared_secret(alg: JwsAlgorithm, secret: &[u8]) -> Result<Self, InvalidKey> {
        let signer = Signer::Hmac(Box::new(hmac_key(alg, secret)?));
        Ok(Self { alg, kid: symmetric_thumbprint(secret), signer, jwk: None })
    }

    fn assemble(alg: JwsAlgorithm, signer: Signer) -> Result<Self, InvalidKey> {
        let parameters = match &signer {
            Signer::Rsa(pair) => {
                let public = pair.public_key();
                PublicParameters::Rsa {
                    n: base64url(public.modulus().big_endian_without_leading_zero()),
                    e: base64url(public.exponent().big_endian_without_leading_zero()),
                }
            }
            Signer::Ecdsa(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point[1..].split_at(point.len() / 2);
                let crv = if alg == JwsAlgorithm::ES384 { "P-384" } else { "P-256" };
                PublicParameters::Ec { crv, x: base64url(x), y: base64url(y) }
            }
            Signer::Ed25519(pair) => {
                PublicParameters::Okp { crv: "Ed25519", x: base64url(pair.public_key()) }
            }
            Signer::Hmac(_) => return Err(InvalidKey),
        };
        // What nobody could verify must not sign: the public half passes the checks of any other.
        parameters.verification_key(String::new(), alg)?;
        let jwk = Jwk::new(alg, parameters);
        Ok(Self { alg, kid: jwk.kid().to_owned(), signer, jwk: Some(jwk) })
    }

    /// The only algorithm this key signs with.
    pub fn alg(&self) -> JwsAlgorithm {
        self.alg
    }

    /// The RFC 7638 thumbprint that names the key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half; `None` for a symmetric key, which is never published (RFC 7517 §9.3).
    pub fn jwk(&self) -> Option<&Jwk> {
        self.jwk.as_ref()
    }

    /// The key that verifies; of a symmetric key, the same secret.
    ///
    /// # Errors
    /// [`InvalidKey`] never in practice: the public half was checked when the key was read.
    pub fn verification_key(&self) -> Result<VerificationKey, InvalidKey> {
        match (&self.signer, &self.jwk) {
            (Signer::Hmac(key), _) => Ok(VerificationKey::of_hmac(self.kid.clone(), self.alg, *key.clone())),
            (_, Some(jwk)) => jwk.parameters().verification_key(self.kid.clone(), self.alg),
            (_, None) => Err(InvalidKey),
        }
    }

    /// Signs a payload under a header of the caller's choice: the compact form (RFC 7515 §7.1). `alg` is set by the key.
    ///
    /// # Errors
    /// [`SigningError`] when the operation fails inside aws-lc.
    pub fn sign(&self, mut header: Map<String, Value>, payload: &[u8]) -> Result<String, SigningError> {
        header.insert("alg".to_owned(), self.alg.as_str().into());
        let signed = format!("{}.{}", base64url(Value::Object(header).to_string()), base64url(payload));
        let signature = self.sign_bytes(signed.as_bytes())?;
        Ok(format!("{signed}.{}", base64url(signature)))
    }

    /// The bare signature of a message, in the form of JWS (RFC 7518 §3).
    ///
    /// # Errors
    /// [`SigningError`] when the operation fails inside aws-lc.
    pub fn sign_bytes(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        self.try_sign(message).map_err(|_| SigningError)
    }
}

impl signature::Signer<Vec<u8>> for PrivateKey {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let failed = |_| signature::Error::new();
        match (&self.signer, Scheme::of(self.alg)) {
            (Signer::Rsa(pair), Scheme::Rsa(encoding)) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &unused_generator(), message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            (Signer::Ecdsa(pair), _) => {
                Ok(pair.sign(&unused_generator(), message).map_err(failed)?.as_ref().to_vec())
            }
            (Signer::Ed25519(pair), _) => Ok(pair.try_sign(message).map_err(failed)?.as_ref().to_vec()),
            (Signer::Hmac(key), _) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            (Signer::Rsa(_), _) => Err(signature::Error::new()),
        }
    }
}

impl JwtSigner for PrivateKey {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        self.alg.into()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("kid", &self.kid).field("alg", &self.alg).finish_non_exhaustive()
    }
}

/// aws-lc draws nonces and blinding from its own generator; the argument exists for ring's sake and is not read.
#[expect(clippy::disallowed_methods, reason = "aws-lc ignores the generator it is handed")]
fn unused_generator() -> SystemRandom {
    SystemRandom::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::jws::UnverifiedJws;

    fn key(alg: JwsAlgorithm) -> PrivateKey {
        if alg.is_symmetric() {
            PrivateKey::from_shared_secret(alg, &[b'k'; 64]).unwrap()
        } else {
            PrivateKey::generate(alg).unwrap()
        }
    }

    #[test]
    fn every_algorithm_signs_what_its_key_verifies() {
        for alg in JwsAlgorithm::ALL {
            let key = key(alg);
            let header = serde_json::json!({"typ": "JWT", "kid": "k", "alg": "none"});
            let text = key.sign(header.as_object().unwrap().clone(), b"{}").unwrap();
            let jws = UnverifiedJws::parse(&text).unwrap();
            assert_eq!(jws.header().algorithm(), Some(alg));
            assert_eq!((jws.header().typ.as_deref(), jws.header().kid.as_deref()), (Some("JWT"), Some("k")));
            assert_eq!(jws.verify(&key.verification_key().unwrap()).unwrap(), b"{}");
            assert!(jws.verify(&self::key(JwsAlgorithm::EdDSA).verification_key().unwrap()).is_err());
            assert_eq!(key.jwk().is_none(), alg.is_symmetric());
        }
    }

    #[test]
    fn keys_are_read_from_pem() {
        use base64::{Engine, prelude::BASE64_STANDARD};
        let pem = |label: &str, der: &[u8]| {
            let body: Vec<String> = BASE64_STANDARD
                .encode(der)
                .as_bytes()
                .chunks(64)
                .map(|line| String::from_utf8(line.to_vec()).unwrap())
                .collect();
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", body.join("\n"))
        };
        for alg in JwsAlgorithm::ALL.into_iter().filter(|alg| !alg.is_symmetric()) {
            let der = PrivateKey::generate_pkcs8(alg).unwrap();
            let kid = PrivateKey::from_pkcs8(alg, &der).unwrap().kid().to_owned();
            let text = pem("PRIVATE KEY", der.expose());
            assert_eq!(PrivateKey::from_pem(alg, text.as_bytes()).unwrap().kid(), kid, "{alg}");
            let other = if alg == JwsAlgorithm::ES256 { JwsAlgorithm::ES384 } else { JwsAlgorithm::ES256 };
            assert!(PrivateKey::from_pem(other, text.as_bytes()).is_err(), "{alg}");
            assert!(PrivateKey::from_pem(JwsAlgorithm::HS256, text.as_bytes()).is_err(), "{alg}");
        }
        // SEC 1 (RFC 5915): the example key of RFC 6979 A.2.5, without its public half.
        let d = "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721";
        let d: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&d[2 * at..2 * at + 2], 16).unwrap()).collect();
        let oid = [0xA0, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
        let sec1 = [&[0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20][..], &d, &oid].concat();
        let text = pem("EC PRIVATE KEY", &sec1);
        assert!(PrivateKey::from_pem(JwsAlgorithm::ES256, text.as_bytes()).is_ok());
        for text in ["", "x", &pem("PUBLIC KEY", &sec1), &pem("ENCRYPTED PRIVATE KEY", &sec1)] {
            assert!(PrivateKey::from_pem(JwsAlgorithm::ES256, text.as_bytes()).is_err());
        }
    }
}
