//! Argon2id (RFC 9106), for secrets that somebody chose.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::secret::Secret;

/// The memory of Argon2id, 19 MiB for each hash that is computed at once. Given back to an allocator after every hash it would be
/// taken anew on another thread, until each thread had as much.
static MEMORY: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());

/// An Argon2id hash with everything that is needed to compute it again.
#[derive(Clone, PartialEq, Eq)]
pub struct Argon2idHash {
    pub(super) params: Params,
    pub(super) salt: Box<[u8]>,
    pub(super) output: [u8; 32],
}

impl fmt::Debug for Argon2idHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Argon2idHash(***)")
    }
}

impl Argon2idHash {
    pub(super) fn make(secret: &Secret<String>, salt: [u8; 16]) -> Result<Self, argon2::Error> {
        let mut hash = Self { params: Params::DEFAULT, salt: Box::new(salt), output: [0; 32] };
        hash.output = hash.compute(secret)?;
        Ok(hash)
    }

    fn compute(&self, secret: &Secret<String>) -> Result<[u8; 32], argon2::Error> {
        let mut output = [0; 32];
        let kept = || MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = kept().pop().unwrap_or_default();
        memory.resize(self.params.block_count(), Block::default());
        let computed = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone())
            .hash_password_into_with_memory(secret.expose().as_bytes(), &self.salt, &mut output, &mut memory);
        kept().push(memory);
        computed.map(|()| output)
    }

    pub(super) fn verify(&self, secret: &Secret<String>) -> bool {
        self.compute(secret).is_ok_and(|output| verify_slices_are_equal(&output, &self.output).is_ok())
    }
}
