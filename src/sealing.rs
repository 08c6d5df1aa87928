//! Secrets at rest (layer 1): sealed with AES-256-GCM (NIST SP 800-38D) under the master key.
//!
//! A sealed value is `1 | id of the master key (8) | nonce (12) | ciphertext and tag`. Its context, such as the name of the
//! record it belongs to, is authenticated too: a value moved to another record does not open. Nonces are random, which is
//! safe for 2^32 values under one master key; there are a handful per year.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest,
};
use base64::engine::{Engine, general_purpose};

use crate::{
    random::{self, Random, RandomError},
    secret::Secret,
};

const VERSION: u8 = 1;
const ID_LENGTH: usize = 8;
const KEY_LENGTH: usize = 32;

/// The master keys: the first seals, all open. Several are given while one replaces another.
pub struct MasterKeys {
    first: MasterKey,
    others: Vec<MasterKey>,
}

struct MasterKey {
    id: [u8; ID_LENGTH],
    key: LessSafeKey,
}

/// The text is no master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a master key is 32 random bytes in base64, such as `openssl rand -base64 32` prints; several are separated by blanks or commas"
)]
pub struct InvalidMasterKey;

/// A value does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// None of the master keys sealed it.
    #[error(
        "it is sealed under another master key; set MINTAGE_MASTER_KEY or MINTAGE_MASTER_KEY_FILE to the one it was sealed under"
    )]
    OtherKey,
    /// It was damaged, or belongs to something else.
    #[error("it is damaged or belongs to another record")]
    Damaged,
}

impl MasterKeys {
    /// Reads master keys: the one to seal with first, then those that only open. Base64 with either alphabet.
    ///
    /// # Errors
    /// [`InvalidMasterKey`]; never with a part of the text.
    pub fn parse(text: &Secret<String>) -> Result<Self, InvalidMasterKey> {
        let mut keys = text
            .expose()
            .split(|c: char| c.is_whitespace() || c == ',')
            .filter(|text| !text.is_empty())
            .map(MasterKey::parse);
        let first = keys.next().unwrap_or(Err(InvalidMasterKey))?;
        Ok(Self { first, others: keys.collect::<Result<_, _>>()? })
    }

    /// The text of a new master key.
    ///
    /// # Errors
    /// [`RandomError`].
    pub fn generate(random: &dyn Random) -> Result<Secret<String>, RandomError> {
        Ok(Secret::new(general_purpose::STANDARD.encode(random::bytes::<KEY_LENGTH>(random)?)))
    }

    /// Seals a value for a context.
    ///
    /// # Errors
    /// [`RandomError`] when there is no nonce.
    pub fn seal(&self, context: &str, value: &[u8], random: &dyn Random) -> Result<Vec<u8>, RandomError> {
        let nonce = random::bytes::<NONCE_LEN>(random)?;
        let mut sealed = Vec::with_capacity(1 + ID_LENGTH + NONCE_LEN + value.len() + AES_256_GCM.tag_len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.first.id);
        sealed.extend_from_slice(&nonce);
        let mut text = zeroize::Zeroizing::new(value.to_vec());
        let tag = self
            .first
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                &mut text,
            )
            .map_err(|_| RandomError)?;
        sealed.extend_from_slice(&text);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens a value that was sealed for this context.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Secret<Vec<u8>>, Unopened> {
        let (id, rest) = split(sealed).ok_or(Unopened::Damaged)?;
        let key = self.all().find(|key| key.id == id).ok_or(Unopened::OtherKey)?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or(Unopened::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unopened::Damaged)?;
        let mut text = zeroize::Zeroizing::new(text.to_vec());
        let opened = key
            .key
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut text)
            .map_err(|_| Unopened::Damaged)?;
        Ok(Secret::new(opened.to_vec()))
    }

    /// Whether the first master key sealed it, so that it need not be sealed again.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        split(sealed).is_some_and(|(id, _)| id == self.first.id)
    }

    fn all(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl MasterKey {
    fn parse(text: &str) -> Result<Self, InvalidMasterKey> {
        let text = text.trim_end_matches('=');
        let bytes = general_purpose::STANDARD_NO_PAD
            .decode(text)
            .or_else(|_| general_purpose::URL_SAFE_NO_PAD.decode(text))
            .map_err(|_| InvalidMasterKey)?;
        let bytes = zeroize::Zeroizing::new(bytes);
        if bytes.len() != KEY_LENGTH {
            return Err(InvalidMasterKey);
        }
        let mut id = [0; ID_LENGTH];
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"mintage master key id");
        context.update(&bytes);
        id.copy_from_slice(&context.finish().as_ref()[..ID_LENGTH]);
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| InvalidMasterKey)?;
        Ok(Self { id, key: LessSafeKey::new(key) })
    }
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKeys(***)")
    }
}

/// The id of the master key, and what follows it.
fn split(sealed: &[u8]) -> Option<(&[u8], &[u8])> {
    let (version, rest) = sealed.split_first()?;
    if *version == VERSION { rest.split_at_checked(ID_LENGTH) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    fn keys(text: &str) -> MasterKeys {
        MasterKeys::parse(&Secret::from(text)).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_its_context_alone() {
        let text = MasterKeys::generate(&SystemRandom).unwrap();
        let keys = keys(text.expose());
        let sealed = keys.seal("key/a", b"private", &SystemRandom).unwrap();
        assert_eq!(keys.open("key/a", &sealed).unwrap().expose(), b"private");
        assert_eq!(keys.open("key/b", &sealed).unwrap_err(), Unopened::Damaged);
        assert!(!sealed.windows(7).any(|window| window == b"private"));
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(keys.open("key/a", &damaged).is_err(), "byte {at}");
            assert!(keys.open("key/a", &sealed[..at]).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn a_new_master_key_takes_over_while_the_old_one_still_opens() {
        let (old, new) = ("A".repeat(43) + "=", "-_".repeat(21) + "8");
        let sealed = keys(&old).seal("x", b"v", &SystemRandom).unwrap();
        assert_eq!(keys(&new).open("x", &sealed).unwrap_err(), Unopened::OtherKey);
        let both = keys(&format!("{new},\n{old}"));
        assert!(!both.is_current(&sealed));
        let again = both.seal("x", both.open("x", &sealed).unwrap().expose(), &SystemRandom).unwrap();
        assert!(both.is_current(&again));
        assert_eq!(keys(&new).open("x", &again).unwrap().expose(), b"v");
    }

    #[test]
    fn other_texts_are_no_master_key() {
        for text in [
            "",
            " , ",
            "short",
            &"A".repeat(42),
            &"A".repeat(44),
            &format!("{} x", "A".repeat(43)),
            &"?".repeat(43),
        ] {
            assert_eq!(MasterKeys::parse(&Secret::from(text)).unwrap_err(), InvalidMasterKey, "{text}");
        }
    }
}
