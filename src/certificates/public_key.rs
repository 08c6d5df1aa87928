//! The public key of a certificate (RFC 3279, RFC 5480, RFC 8410), taken apart.

use x509_parser::{
    oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
        OID_SIG_ED25519,
    },
    public_key::PublicKey as Parsed,
    x509::SubjectPublicKeyInfo,
};

/// A public key in its parts. Two are the same key exactly when they are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA; the numbers are big-endian and have no leading zeros.
    Rsa {
        /// Modulus.
        n: Vec<u8>,
        /// Exponent.
        e: Vec<u8>,
    },
    /// A point of a curve; its coordinates have their full length.
    Ec {
        /// P-256, P-384 or P-521.
        curve: &'static str,
        /// First coordinate.
        x: Vec<u8>,
        /// Second coordinate.
        y: Vec<u8>,
    },
    /// The 32 bytes of RFC 8032.
    Ed25519(Vec<u8>),
}

impl PublicKey {
    /// `None` for other kinds, compressed points, and what is malformed.
    pub(super) fn read(info: &SubjectPublicKeyInfo<'_>) -> Option<Self> {
        let algorithm = &info.algorithm.algorithm;
        let bits = &info.subject_public_key.data;
        if *algorithm == OID_SIG_ED25519 {
            return (bits.len() == 32).then(|| Self::Ed25519(bits.to_vec()));
        }
        if *algorithm == OID_PKCS1_RSAENCRYPTION {
            let Ok(Parsed::RSA(key)) = info.parsed() else { return None };
            return Some(Self::Rsa { n: without_zeros(key.modulus), e: without_zeros(key.exponent) });
        }
        if *algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
            return None;
        }
        let curve = info.algorithm.parameters()?.as_oid().ok()?;
        let curves =
            [(OID_EC_P256, "P-256", 32), (OID_NIST_EC_P384, "P-384", 48), (OID_NIST_EC_P521, "P-521", 66)];
        let (_, curve, length) = curves.into_iter().find(|(oid, ..)| *oid == curve)?;
        let point = bits.strip_prefix(&[4])?;
        (point.len() == 2 * length).then(|| {
            let (x, y) = point.split_at(length);
            Self::Ec { curve, x: x.to_vec(), y: y.to_vec() }
        })
    }
}

fn without_zeros(number: &[u8]) -> Vec<u8> {
    number.iter().copied().skip_while(|byte| *byte == 0).collect()
}
