//! Secrets that must be read again: client_secret_jwt is verified with the secret itself (OpenID Connect Core 1.0 §9).
//!
//! A sealed secret is `nonce (12) | ciphertext | tag (16)` of AES-256-GCM, under a key that every replica derives alike. The
//! nonce follows from the secret by a MAC, so that sealing needs no randomness and no nonce is ever used for two secrets
//! (as in RFC 8452, the price is that equal secrets look equal, as they do when they are hashed).

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The length of a tag of AES-256-GCM.
const TAG: usize = 16;

/// What the sealed text is for.
const CONTEXT: &[u8] = b"client_secret";

/// A secret that only servers of this store can read.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret(Box<[u8]>);

impl SealedSecret {
    /// Takes sealed bytes, unless they are too short to be any.
    pub(super) fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() > NONCE_LEN + TAG).then(|| Self(bytes.into()))
    }

    /// The form of a secret of this length, which opens under no key.
    pub(super) fn stand_in(length: usize) -> Self {
        Self(vec![0; NONCE_LEN + length + TAG].into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How long the secret is, in bytes.
    pub fn secret_length(&self) -> usize {
        self.0.len() - NONCE_LEN - TAG
    }
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedSecret(***)")
    }
}

/// Seals and opens.
pub(super) struct Sealer {
    key: LessSafeKey,
    nonces: hmac::Key,
}

/// The operation failed inside the library.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the secret cannot be sealed")]
pub(super) struct SealingError;

impl Sealer {
    pub(super) fn new(key: &[u8; 32], nonce_key: &[u8; 32]) -> Result<Self, SealingError> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| SealingError)?;
        Ok(Self { key: LessSafeKey::new(key), nonces: hmac::Key::new(hmac::HMAC_SHA256, nonce_key) })
    }

    pub(super) fn seal(&self, secret: &Secret<String>) -> Result<SealedSecret, SealingError> {
        let text = secret.expose().as_bytes();
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&hmac::sign(&self.nonces, text).as_ref()[..NONCE_LEN]);
        let mut sealed = Zeroizing::new(text.to_vec());
        let tag = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(CONTEXT), &mut sealed)
            .map_err(|_| SealingError)?;
        Ok(SealedSecret([&nonce, &sealed[..], tag.as_ref()].concat().into()))
    }

    /// `None` for what was sealed under another key, or damaged.
    pub(super) fn open(&self, sealed: &SealedSecret) -> Option<Secret<Vec<u8>>> {
        let (nonce, text) = sealed.0.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = Zeroizing::new(text.to_vec());
        let opened = self.key.open_in_place(nonce, Aad::from(CONTEXT), &mut text).ok()?;
        Some(Secret::new(opened.to_vec()))
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_under_its_key_alone() {
        let sealer = Sealer::new(&[1; 32], &[2; 32]).unwrap();
        let secret = Secret::from("0123456789abcdef0123456789abcdef");
        let sealed = sealer.seal(&secret).unwrap();
        assert_eq!(sealed.secret_length(), 32);
        assert_eq!(sealer.open(&sealed).unwrap().expose(), secret.expose().as_bytes());
        assert_eq!(sealer.seal(&secret).unwrap(), sealed);
        assert_ne!(sealer.seal(&Secret::from("1123456789abcdef0123456789abcdef")).unwrap(), sealed);
        assert!(Sealer::new(&[3; 32], &[2; 32]).unwrap().open(&sealed).is_none());
        for at in [0, 20, sealed.0.len() - 1] {
            let mut damaged = sealed.clone();
            damaged.0[at] ^= 1;
            assert!(sealer.open(&damaged).is_none(), "{at}");
        }
        assert!(SealedSecret::from_bytes(vec![0; 28]).is_none());
        assert!(!format!("{sealed:?}{sealer:?}").contains("0123"));
    }
}
