//! Signed JSON (layer 1): keys, signatures and strict parsing. It knows nothing of OAuth.
//!
//! - [`algorithm`]: the closed lists of algorithms
//! - [`json`]: JSON objects whose member names are unique
//! - [`jwk`]: public keys as JSON Web Keys, and their thumbprints
//! - [`jwk_set`]: the key sets of others, and the one key that fits a message
//! - [`private_key`]: private keys of every algorithm, parsed once
//! - [`signing_key`]: the keys this server signs access tokens with
//! - [`verification_key`]: what checks a signature, each for one algorithm
//! - [`jws`]: the compact serialization, read and verified
//! - [`key_lifecycle`]: what a key is used for, as a function of time
//! - [`key_ring`]: which key signs now, and which keys verify

pub mod algorithm;
pub mod json;
pub mod jwk;
pub mod jwk_set;
pub mod jws;
pub mod key_lifecycle;
pub mod key_ring;
pub mod private_key;
pub mod signing_key;
pub mod verification_key;

pub use algorithm::{JwsAlgorithm, SigningAlgorithm};
pub use jwk::Jwk;
pub use jwk_set::JwkSet;
pub use key_lifecycle::{KeyInstants, KeyLife, KeyState, KeyTiming};
pub use key_ring::{KeyRing, ManagedKey};
pub use private_key::PrivateKey;
pub use signing_key::SigningKey;
pub use verification_key::VerificationKey;

use base64::engine::{Engine, general_purpose::URL_SAFE_NO_PAD};

/// Encodes without padding (RFC 7515 §2).
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes strictly (RFC 7515 §2): no padding, no other alphabet, no blanks, no stray trailing bits, so that one value
/// has exactly one spelling.
pub fn base64url_decode(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
