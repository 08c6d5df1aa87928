//! The server's own private keys, and the access tokens they sign (RFC 9068 §2.1).
//!
//! Parsing an RSA key costs as much as signing with it, so a [`SigningKey`] holds the parsed form of aws-lc and the JOSE
//! header already encoded; what is left per token is the payload and the signature itself.

use std::{fmt, sync::Arc};

use super::{
    Jwk, PrivateKey, SigningAlgorithm, VerificationKey, base64url, private_key::SigningError,
    verification_key::InvalidKey,
};
use crate::secret::Secret;

/// A private key that is ready to sign access tokens.
pub struct SigningKey {
    alg: SigningAlgorithm,
    key: PrivateKey,
    verification: Arc<VerificationKey>,
    /// The encoded JOSE header of an access token.
    access_token_header: String,
}

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
        PrivateKey::generate_pkcs8(alg.into())
    }

    /// Parses a private key in PKCS#8 DER (RFC 5208).
    ///
    /// # Errors
    /// [`InvalidKey`] when the key does not fit the algorithm, is malformed, or weaker than 2048-bit RSA.
    pub fn from_pkcs8(alg: SigningAlgorithm, der: &Secret<Vec<u8>>) -> Result<Self, InvalidKey> {
        Self::assemble(alg, PrivateKey::from_pkcs8(alg.into(), der)?)
    }

    /// An HS256 key from a shared secret (RFC 7518 §3.2).
    ///
    /// # Errors
    /// [`InvalidKey`] below 32 bytes (RFC 8725 §3.5).
    pub fn from_shared_secret(secret: &Secret<String>) -> Result<Self, InvalidKey> {
        let alg = SigningAlgorithm::HS256;
        Self::assemble(alg, PrivateKey::from_shared_secret(alg.into(), secret.expose().as_bytes())?)
    }

    fn assemble(alg: SigningAlgorithm, key: PrivateKey) -> Result<Self, InvalidKey> {
        let verification = key.verification_key()?;
        // Resource servers ask about a token with each request that brings it. An HMAC costs no more than to recognise it.
        let verification =
            Arc::new(if alg.is_symmetric() { verification } else { verification.remembering() });
        // A thumbprint is base64url and an algorithm a plain name: neither needs JSON escapes.
        let header = format!(r#"{{"typ":"{ACCESS_TOKEN_TYPE}","alg":"{alg}","kid":"{}"}}"#, key.kid());
        Ok(Self { alg, key, verification, access_token_header: base64url(header) })
    }

    /// The only algorithm this key signs with.
    pub fn alg(&self) -> SigningAlgorithm {
        self.alg
    }

    /// The RFC 7638 thumbprint that names the key.
    pub fn kid(&self) -> &str {
        self.key.kid()
    }

    /// The matching key that verifies.
    pub fn verification_key(&self) -> &Arc<VerificationKey> {
        &self.verification
    }

    /// What the key set publishes; `None` for a symmetric key, which is never published (RFC 7517 §9.3).
    pub fn jwk(&self) -> Option<&Jwk> {
        self.key.jwk()
    }

    /// What every access token begins with that this key signs: its encoded header.
    pub fn access_token_header(&self) -> &str {
        &self.access_token_header
    }

    /// The key itself, for what is not an access token.
    pub fn private_key(&self) -> &PrivateKey {
        &self.key
    }

    /// Signs the claims of an access token: header, payload and signature in compact form (RFC 7515 §7.1).
    ///
    /// # Errors
    /// [`SigningError`] when the operation fails inside aws-lc.
    pub fn sign_access_token(&self, payload: &[u8]) -> Result<String, SigningError> {
        use base64::engine::{Engine, general_purpose::URL_SAFE_NO_PAD};

        // Room for the longest signature of the algorithm, RSA with 4096 bits; what is left over is wiped with the rest.
        let signature = match self.alg {
            SigningAlgorithm::RS256 | SigningAlgorithm::PS256 => 684,
            SigningAlgorithm::ES384 => 129,
            SigningAlgorithm::ES256 | SigningAlgorithm::EdDSA | SigningAlgorithm::HS256 => 88,
        };
        let length = self.access_token_header.len() + 1 + payload.len().div_ceil(3) * 4 + signature;
        let mut token = String::with_capacity(length);
        token.push_str(&self.access_token_header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = self.key.sign_bytes(token.as_bytes())?;
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
