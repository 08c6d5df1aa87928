//! Nonces of the server (RFC 9449 §8): nothing is kept, every replica accepts those of every other.
//!
//! A nonce is a period of time under a key that the replicas share. It limits for how long proofs can be made in advance by
//! somebody who could use a key for a moment (§11.2); it is no secret and may be used more than once.

use std::time::Duration;

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};

use crate::{
    clock::Timestamp,
    jose::{base64url, base64url_decode},
    secret::Secret,
};

/// A nonce is given out for so long, in seconds, and accepted for the same time again.
const PERIOD: u64 = 60;
/// Bytes of the period's number.
const NUMBER: usize = 8;
/// Bytes that are kept of the tag.
const TAG: usize = 16;

#[derive(Debug)]
pub(super) struct Nonces {
    key: hmac::Key,
    skew: Duration,
}

impl Nonces {
    /// Nonces under a key that follows from a secret, of replicas whose clocks differ by less than `skew`.
    pub(super) fn new(secret: &Secret<[u8; 32]>, skew: Duration) -> Self {
        // The secret has another purpose as well.
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        let key = hmac::sign(&secret, b"mintage dpop nonce");
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), skew }
    }

    /// The one to use now.
    pub(super) fn current(&self, now: Timestamp) -> String {
        base64url(self.of(period(now)))
    }

    /// Whether it is that of this period or the last one, or that of the next which a replica may have begun already.
    pub(super) fn accepts(&self, nonce: &str, now: Timestamp) -> bool {
        let Some(nonce) = base64url_decode(nonce).filter(|nonce| nonce.len() == NUMBER + TAG) else {
            return false;
        };
        let newest = period(now + self.skew);
        let oldest = period(now).saturating_sub(1);
        (oldest..=newest).any(|period| verify_slices_are_equal(&nonce, &self.of(period)).is_ok())
    }

    fn of(&self, period: u64) -> [u8; NUMBER + TAG] {
        let number = period.to_be_bytes();
        let tag = hmac::sign(&self.key, &number);
        let mut nonce = [0; NUMBER + TAG];
        nonce[..NUMBER].copy_from_slice(&number);
        nonce[NUMBER..].copy_from_slice(&tag.as_ref()[..TAG]);
        nonce
    }
}

fn period(at: Timestamp) -> u64 {
    at.seconds() / PERIOD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonces(byte: u8) -> Nonces {
        Nonces::new(&Secret::new([byte; 32]), Duration::from_secs(10))
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_nonce_lives_for_its_period_and_the_next() {
        let nonces = nonces(1);
        let nonce = nonces.current(at(6_000));
        assert_eq!(nonce, nonces.current(at(6_059)));
        assert_ne!(nonce, nonces.current(at(6_060)));
        for now in [6_000, 6_060, 6_119] {
            assert!(nonces.accepts(&nonce, at(now)), "{now}");
        }
        assert!(!nonces.accepts(&nonce, at(6_120)));
        // A replica whose clock is late.
        assert!(nonces.accepts(&nonce, at(5_990)));
        assert!(!nonces.accepts(&nonce, at(5_989)));
    }

    #[test]
    fn only_those_of_this_server_are_accepted() {
        let (nonces, others) = (nonces(1), nonces(2));
        let nonce = nonces.current(at(6_000));
        let mut bytes = base64url_decode(&nonce).unwrap();
        assert!(!others.accepts(&nonce, at(6_000)));
        bytes[NUMBER + TAG - 1] ^= 1;
        let short = base64url(&bytes[..NUMBER]);
        for nonce in [&base64url(&bytes), &short, "", "x", &format!("{nonce}="), &format!("{nonce}A")] {
            assert!(!nonces.accepts(nonce, at(6_000)), "{nonce}");
        }
        // Visible characters of RFC 6749 Appendix A (NQCHAR), as RFC 9449 §8.1 demands.
        assert!(nonce.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }
}
