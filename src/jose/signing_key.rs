//! Private keys, parsed once and then only signed with (RFC 7515 §5.1).
//!
//! Parsing an RSA key costs as much as signing with it, so a [`SigningKey`] holds the parsed form of aws-lc and the JOSE
//! header already encoded; what is left per token is the payload and the signature itself.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    hmac,
    rand::SystemRandom,
    rsa::{self, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
    },
};
use jsonwebtoken::crypto::JwtSigner;
use signature::Signer;

use super::{
    Jwk, SigningAlgorithm, VerificationKey, base64url, jwk::PublicParameters, verification_key::InvalidKey,
};
use crate::secret::Secret;

/// A private key that is ready to sign.
pub struct SigningKey {
    alg: SigningAlgorithm,
    signer: Box<dyn JwtSigner + Send + Sync>,
    verification: Arc<VerificationKey>,
    /// What the key set publishes; nothing for a symmetric key.
    jwk: Option<Jwk>,
    /// The encoded JOSE header of an access token, followed by the dot.
    access_token_header: String,
}

/// The signature could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing operation failed")]
pub struct SigningError;

/// The `typ` of the access tokens this server makes (RFC 9068 §2.1).
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

impl SigningKey {
    /// A new key for an asymmetric algorithm; 2048 bits for RSA.
    ///
    /// # Errors
    /// [`InvalidKey`] for [`SigningAlgorithm::HS256`], whose key is configured, and when the generator fails.
    pub fn generate(alg: SigningAlgorithm) -> Result<Self, InvalidKey> {
        Self::from_pkcs8(alg, &Self::generate_pkcs8(alg)?)
    }

    /// The same as it is kept: PKCS#8 DER (RFC 5208), for [`SigningKey::from_pkcs8`].
    ///
    /// # Errors
    /// As [`SigningKey::generate`].
    pub fn generate_pkcs8(alg: SigningAlgorithm) -> Result<Secret<Vec<u8>>, InvalidKey> {
        let der = match alg {
            SigningAlgorithm::RS256 | SigningAlgorithm::PS256 => {
                let pair = rsa::KeyPair::generate(KeySize::Rsa2048).map_err(|_| InvalidKey)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| InvalidKey)?;
                der.as_ref().to_vec()
            }
            SigningAlgorithm::ES256 | SigningAlgorithm::ES384 => {
                let pair = EcdsaKeyPair::generate(ecdsa(alg)).map_err(|_| InvalidKey)?;
                pair.to_pkcs8v1().map_err(|_| InvalidKey)?.as_ref().to_vec()
            }
            SigningAlgorithm::EdDSA => {
                let pair = Ed25519KeyPair::generate().map_err(|_| InvalidKey)?;
                pair.to_pkcs8v1().map_err(|_| InvalidKey)?.as_ref().to_vec()
            }
            SigningAlgorithm::HS256 => return Err(InvalidKey),
        };
        Ok(Secret::new(der))
    }

    /// Parses a private key in PKCS#8 DER (RFC 5208).
    ///
    /// # Errors
    /// [`InvalidKey`] when the key does not fit the algorithm, is malformed, or weaker than 2048-bit RSA.
    pub fn from_pkcs8(alg: SigningAlgorithm, der: &Secret<Vec<u8>>) -> Result<Self, InvalidKey> {
        let der = der.expose();
        match alg {
            SigningAlgorithm::RS256 | SigningAlgorithm::PS256 => {
                Self::from_rsa(alg, rsa::KeyPair::from_pkcs8(der).map_err(|_| InvalidKey)?)
            }
            SigningAlgorithm::ES256 | SigningAlgorithm::ES384 => {
                Self::from_ecdsa(alg, EcdsaKeyPair::from_pkcs8(ecdsa(alg), der).map_err(|_| InvalidKey)?)
            }
            SigningAlgorithm::EdDSA => {
                Self::from_ed25519(Ed25519KeyPair::from_pkcs8(der).map_err(|_| InvalidKey)?)
            }
            SigningAlgorithm::HS256 => Err(InvalidKey),
        }
    }

    /// An HS256 key from a shared secret (RFC 7518 §3.2).
    ///
    /// # Errors
    /// [`InvalidKey`] below 32 bytes (RFC 8725 §3.5).
    pub fn from_shared_secret(secret: &Secret<String>) -> Result<Self, InvalidKey> {
        let bytes = secret.expose().as_bytes();
        if bytes.len() < 32 {
            return Err(InvalidKey);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let kid = super::jwk::symmetric_thumbprint(bytes);
        let verification = VerificationKey::hmac(kid, key.clone());
        Self::assemble(SigningAlgorithm::HS256, Box::new(HmacSigner(key)), verification, None)
    }

    fn from_rsa(alg: SigningAlgorithm, pair: rsa::KeyPair) -> Result<Self, InvalidKey> {
        let encoding: &'static dyn RsaEncoding = match alg {
            SigningAlgorithm::PS256 => &RSA_PSS_SHA256,
            _ => &RSA_PKCS1_SHA256,
        };
        let public = pair.public_key();
        let n = public.modulus().big_endian_without_leading_zero().to_vec();
        let e = public.exponent().big_endian_without_leading_zero().to_vec();
        let parameters = PublicParameters::Rsa { n: base64url(&n), e: base64url(&e) };
        let jwk = Jwk::new(alg, parameters);
        let verification = VerificationKey::rsa(jwk.kid().to_owned(), alg, &n, &e)?;
        Self::assemble(alg, Box::new(RsaSigner { alg, encoding, pair }), verification, Some(jwk))
    }

    fn from_ecdsa(alg: SigningAlgorithm, pair: EcdsaKeyPair) -> Result<Self, InvalidKey> {
        let point = pair.public_key().as_ref().to_vec();
        let (x, y) = point[1..].split_at(point.len() / 2);
        let crv = if alg == SigningAlgorithm::ES384 { "P-384" } else { "P-256" };
        let jwk = Jwk::new(alg, PublicParameters::Ec { crv, x: base64url(x), y: base64url(y) });
        let verification = VerificationKey::elliptic(jwk.kid().to_owned(), alg, &point)?;
        Self::assemble(alg, Box::new(EcdsaSigner { alg, pair }), verification, Some(jwk))
    }

    fn from_ed25519(pair: Ed25519KeyPair) -> Result<Self, InvalidKey> {
        let alg = SigningAlgorithm::EdDSA;
        let point = pair.public_key().as_ref().to_vec();
        let jwk = Jwk::new(alg, PublicParameters::Okp { crv: "Ed25519", x: base64url(&point) });
        let verification = VerificationKey::elliptic(jwk.kid().to_owned(), alg, &point)?;
        Self::assemble(alg, Box::new(Ed25519Signer(pair)), verification, Some(jwk))
    }

    fn assemble(
        alg: SigningAlgorithm,
        signer: Box<dyn JwtSigner + Send + Sync>,
        verification: VerificationKey,
        jwk: Option<Jwk>,
    ) -> Result<Self, InvalidKey> {
        let mut header = jsonwebtoken::Header::new(signer.algorithm());
        header.typ = Some(ACCESS_TOKEN_TYPE.to_owned());
        header.kid = Some(verification.kid().to_owned());
        let header = serde_json::to_vec(&header).map_err(|_| InvalidKey)?;
        Ok(Self {
            alg,
            signer,
            verification: Arc::new(verification),
            jwk,
            access_token_header: base64url(header) + ".",
        })
    }

    /// The only algorithm this key signs with.
    pub fn alg(&self) -> SigningAlgorithm {
        self.alg
    }

    /// The RFC 7638 thumbprint that names the key.
    pub fn kid(&self) -> &str {
        self.verification.kid()
    }

    /// The matching key that verifies.
    pub fn verification_key(&self) -> &Arc<VerificationKey> {
        &self.verification
    }

    /// What the key set publishes; `None` for a symmetric key, which is never published (RFC 7517 §9.3).
    pub fn jwk(&self) -> Option<&Jwk> {
        self.jwk.as_ref()
    }

    /// Signs the claims of an access token: header, payload and signature in compact form (RFC 7515 §7.1).
    ///
    /// # Errors
    /// [`SigningError`] when the operation fails inside aws-lc.
    pub fn sign_access_token(&self, payload: &[u8]) -> Result<String, SigningError> {
        use base64::engine::{Engine, general_purpose::URL_SAFE_NO_PAD};

        let mut token = String::with_capacity(self.access_token_header.len() + payload.len() * 4 / 3 + 700);
        token.push_str(&self.access_token_header);
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = self.signer.try_sign(token.as_bytes()).map_err(|_| SigningError)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid()).field("alg", &self.alg).finish_non_exhaustive()
    }
}

fn ecdsa(alg: SigningAlgorithm) -> &'static EcdsaSigningAlgorithm {
    match alg {
        SigningAlgorithm::ES384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        _ => &ECDSA_P256_SHA256_FIXED_SIGNING,
    }
}

/// aws-lc draws nonces and blinding from its own generator; the argument exists for ring's sake and is not read.
#[expect(clippy::disallowed_methods, reason = "aws-lc ignores the generator it is handed")]
fn unused_generator() -> SystemRandom {
    SystemRandom::new()
}

struct RsaSigner {
    alg: SigningAlgorithm,
    encoding: &'static dyn RsaEncoding,
    pair: rsa::KeyPair,
}

impl Signer<Vec<u8>> for RsaSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(self.encoding, &unused_generator(), message, &mut signature)
            .map_err(|_| signature::Error::new())?;
        Ok(signature)
    }
}

impl JwtSigner for RsaSigner {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        self.alg.into()
    }
}

struct EcdsaSigner {
    alg: SigningAlgorithm,
    pair: EcdsaKeyPair,
}

impl Signer<Vec<u8>> for EcdsaSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let signature = self.pair.sign(&unused_generator(), message).map_err(|_| signature::Error::new())?;
        Ok(signature.as_ref().to_vec())
    }
}

impl JwtSigner for EcdsaSigner {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        self.alg.into()
    }
}

struct Ed25519Signer(Ed25519KeyPair);

impl Signer<Vec<u8>> for Ed25519Signer {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let signature = self.0.try_sign(message).map_err(|_| signature::Error::new())?;
        Ok(signature.as_ref().to_vec())
    }
}

impl JwtSigner for Ed25519Signer {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        jsonwebtoken::Algorithm::EdDSA
    }
}

struct HmacSigner(hmac::Key);

impl Signer<Vec<u8>> for HmacSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl JwtSigner for HmacSigner {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        jsonwebtoken::Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_signs_what_its_key_verifies() {
        let secret = Secret::from("0123456789abcdef0123456789abcdef");
        for alg in SigningAlgorithm::ALL {
            let key = if alg.is_symmetric() {
                SigningKey::from_shared_secret(&secret).unwrap()
            } else {
                SigningKey::generate(alg).unwrap()
            };
            let token = key.sign_access_token(b"{}").unwrap();
            let (message, signature) = token.rsplit_once('.').unwrap();
            let signature = super::super::base64url_decode(signature).unwrap();
            assert!(key.verification_key().verify(message.as_bytes(), &signature).is_ok(), "{alg}");
            assert!(key.verification_key().verify(b"other", &signature).is_err(), "{alg}");
            assert_eq!(key.jwk().is_none(), alg.is_symmetric());
        }
    }

    // CHK-77
    #[test]
    fn short_shared_secrets_are_refused() {
        assert!(SigningKey::from_shared_secret(&Secret::from("0123456789abcdef0123456789abcde")).is_err());
    }
}
