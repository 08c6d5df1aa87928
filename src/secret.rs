//! Values that must not be seen (layer 0).
//!
//! A [`Secret`] has no `Display`, no `Serialize` and a `Debug` that prints `***`: to read it, code must call
//! [`Secret::expose`], which is easy to search for. It is wiped from memory when dropped.

use std::fmt;

use zeroize::Zeroize;

/// What can be wiped from memory, with all it has reserved.
///
/// [`Zeroize`] does the same to a `Vec` and a `String` byte by byte, which for a token costs more than to look its client up.
pub trait Wipe {
    /// Leaves nothing but zeros.
    fn wipe(&mut self);
}

impl Wipe for Vec<u8> {
    fn wipe(&mut self) {
        self.spare_capacity_mut().zeroize();
        self.as_mut_slice().zeroize();
    }
}

impl Wipe for String {
    fn wipe(&mut self) {
        std::mem::take(self).into_bytes().wipe();
    }
}

impl<const N: usize> Wipe for [u8; N] {
    fn wipe(&mut self) {
        self.as_mut_slice().zeroize();
    }
}

/// A secret value.
#[derive(Clone)]
pub struct Secret<T: Wipe>(T);

impl<T: Wipe> Secret<T> {
    /// Takes the value into custody.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Reads the value. Never pass the result to a log, an error or a response.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Wipe + AsRef<[u8]>> PartialEq for Secret<T> {
    /// Compares in time that depends on the lengths alone.
    fn eq(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.as_ref(), other.0.as_ref()).is_ok()
    }
}

impl<T: Wipe + AsRef<[u8]>> Eq for Secret<T> {}

impl<T: Wipe> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T: Wipe> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.wipe();
    }
}

impl From<&str> for Secret<String> {
    fn from(value: &str) -> Self {
        Self::new(value.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_value() {
        let secret = Secret::from("canary-7c1f");
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "*** Some(\n    ***,\n)");
    }

    #[test]
    fn what_is_wiped_is_zeros() {
        let (mut bytes, mut array, mut text) = (b"canary".to_vec(), *b"canary", "canary".to_owned());
        bytes.wipe();
        array.wipe();
        text.wipe();
        assert!(bytes.iter().chain(&array).all(|byte| *byte == 0) && text.is_empty());
    }

    #[test]
    fn equality_is_that_of_the_values() {
        assert_eq!(Secret::from("a"), Secret::from("a"));
        assert_ne!(Secret::from("a"), Secret::from("b"));
        assert_ne!(Secret::from("a"), Secret::from("aa"));
    }
}
