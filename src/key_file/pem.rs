//! RSA keys as text: PKCS#1 and PKCS#8 PEM (RFC 8017 App. A.1, RFC 5958, RFC 7468).
//!
//! The only file that names the `rsa` crate, which reads and writes PEM here and does nothing else: keys are generated
//! and used by aws-lc, whose private operations take constant time (see RUSTSEC-2023-0071 for those of `rsa`).

use rsa::{
    pkcs1::{self, DecodeRsaPrivateKey},
    pkcs8::{
        DecodePrivateKey, Document, EncodePrivateKey, EncodePublicKey, LineEnding, PrivateKeyInfo,
        SecretDocument, SubjectPublicKeyInfoRef,
    },
};
use zeroize::Zeroizing;

use crate::{
    jose::{SigningAlgorithm, SigningKey},
    secret::Secret,
};

/// RFC 7518 §3.3: "A key of size 2048 bits or larger MUST be used"; aws-lc signs with at most 8192.
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A new 2048-bit key as PKCS#8 PEM.
pub(super) fn generate() -> Result<Zeroizing<String>, String> {
    let failed = || "no key could be generated; try again".to_owned();
    let der = SigningKey::generate_pkcs8(SigningAlgorithm::RS256).map_err(|_| failed())?;
    let key = rsa::RsaPrivateKey::from_pkcs8_der(der.expose()).map_err(|_| failed())?;
    key.to_pkcs8_pem(LineEnding::LF).map_err(|_| failed())
}

/// The public half as SPKI PEM.
pub(super) fn public(key: &rsa::RsaPrivateKey) -> Result<String, String> {
    key.to_public_key().to_public_key_pem(LineEnding::LF).map_err(|error| error.to_string())
}

/// An RSA private key from PEM, PKCS#1 or PKCS#8. The error says what is wrong and what to do, and nothing of the key.
pub(super) fn parse_private(text: &[u8]) -> Result<rsa::RsaPrivateKey, String> {
    let (label, document) = decode_pem(text, SecretDocument::from_pem)?;
    let pkcs1 = match label {
        "RSA PRIVATE KEY" => document.as_bytes(),
        "PRIVATE KEY" => {
            let info = PrivateKeyInfo::try_from(document.as_bytes()).map_err(|_| NOT_A_KEY)?;
            info.algorithm.assert_algorithm_oid(pkcs1::ALGORITHM_OID).map_err(|_| NOT_RSA)?;
            info.private_key
        }
        "ENCRYPTED PRIVATE KEY" => {
            return Err("is encrypted; decrypt it with `openssl pkcs8 -in FILE -out NEW`".to_owned());
        }
        "PUBLIC KEY" | "RSA PUBLIC KEY" => {
            return Err("is a public key; name the file of the private one".to_owned());
        }
        _ => return Err(NOT_RSA.to_owned()),
    };
    let parts = pkcs1::RsaPrivateKey::try_from(pkcs1).map_err(|_| NOT_A_KEY)?;
    check_strength(&parts.public_key())?;
    // Checks that the numbers belong together (RFC 8017 §3.2).
    rsa::RsaPrivateKey::from_pkcs1_der(pkcs1).map_err(|_| NOT_A_KEY.to_owned())
}

/// Whether a PEM public key, SPKI or PKCS#1, belongs to the private one.
pub(super) fn check_public(text: &[u8], private: &rsa::RsaPrivateKey) -> Result<(), String> {
    let (label, document) = decode_pem(text, Document::from_pem)?;
    let pkcs1 = match label {
        "RSA PUBLIC KEY" => document.as_bytes(),
        "PUBLIC KEY" => {
            let info = SubjectPublicKeyInfoRef::try_from(document.as_bytes()).map_err(|_| NOT_A_KEY)?;
            info.algorithm.assert_algorithm_oid(pkcs1::ALGORITHM_OID).map_err(|_| NOT_RSA)?;
            info.subject_public_key.as_bytes().ok_or(NOT_A_KEY)?
        }
        "CERTIFICATE" => {
            return Err(
                "is a certificate; take its key with `openssl x509 -in FILE -pubkey -noout`".to_owned()
            );
        }
        _ => return Err("is not an RSA public key in PEM; name one, or leave it out".to_owned()),
    };
    let given = pkcs1::RsaPublicKey::try_from(pkcs1).map_err(|_| NOT_A_KEY)?;
    check_strength(&given)?;
    let own = pkcs1::EncodeRsaPublicKey::to_pkcs1_der(&private.to_public_key()).map_err(|_| NOT_A_KEY)?;
    if own.as_bytes() != pkcs1 {
        return Err("does not belong to the private key; name the two files of one pair".to_owned());
    }
    Ok(())
}

/// CHK-79
fn check_strength(key: &pkcs1::RsaPublicKey<'_>) -> Result<(), String> {
    let modulus = key.modulus.as_bytes();
    let leading_zeros = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = (modulus.len() * 8).saturating_sub(leading_zeros);
    if !MODULUS_BITS.contains(&bits) {
        return Err(format!(
            "has {bits} bits, and RS256 takes {} to {}; make one with `openssl genrsa 2048`",
            MODULUS_BITS.start(),
            MODULUS_BITS.end()
        ));
    }
    let exponent = key.public_exponent.as_bytes();
    if exponent == [1] || exponent.last().is_none_or(|byte| byte.is_multiple_of(2)) {
        return Err(
            "has a public exponent of 1 or an even one; make a new key with `openssl genrsa 2048`".to_owned()
        );
    }
    Ok(())
}

const NOT_A_KEY: &str = "is damaged or not an RSA key; make one with `openssl genrsa 2048`";
const NOT_RSA: &str = "is no RSA private key in PEM (PKCS#1 or PKCS#8); make one with `openssl genrsa 2048`";

fn decode_pem<T>(
    text: &[u8],
    decode: impl for<'a> FnOnce(&'a str) -> rsa::pkcs8::der::Result<(&'a str, T)>,
) -> Result<(&str, T), String> {
    let not_pem =
        || "is not PEM, or damaged; it must begin with a line such as -----BEGIN PRIVATE KEY-----".to_owned();
    let text = std::str::from_utf8(text).map_err(|_| not_pem())?;
    decode(text.trim()).map_err(|_| not_pem())
}

/// The key as PKCS#8 DER, which aws-lc reads.
pub(super) fn to_pkcs8(key: &rsa::RsaPrivateKey) -> Result<Secret<Vec<u8>>, String> {
    let document = key.to_pkcs8_der().map_err(|error| error.to_string())?;
    Ok(Secret::new(document.as_bytes().to_vec()))
}
