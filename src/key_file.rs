//! RS256 key files: PKCS#1 and PKCS#8 PEM (RFC 8017 App. A.1, RFC 5958, RFC 7468), given or generated.
//!
//! The only file that names the `rsa` crate, which reads and writes PEM here and does nothing else: keys are generated
//! and used by aws-lc, whose private operations take constant time (see RUSTSEC-2023-0071 for those of `rsa`).

mod private_file;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use rsa::{
    pkcs1::{self, DecodeRsaPrivateKey},
    pkcs8::{
        DecodePrivateKey, Document, EncodePrivateKey, EncodePublicKey, LineEnding, PrivateKeyInfo,
        SecretDocument, SubjectPublicKeyInfoRef,
    },
};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The file names of a generated pair.
pub const AUTO_PRIVATE_KEY: &str = "auto_private_key.pem";
/// See [`AUTO_PRIVATE_KEY`].
pub const AUTO_PUBLIC_KEY: &str = "auto_public_key.pem";

/// No key file is longer, in bytes: an RSA key of 16384 bits takes less.
const MAX_LENGTH: u64 = 64 * 1024;

/// RFC 7518 §3.3: "A key of size 2048 bits or larger MUST be used"; aws-lc signs with at most 8192.
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Which key to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFiles {
    /// The pair in the system's temporary directory, generated when it is not there.
    AutoGenerate,
    /// A file somebody made.
    Given {
        /// PEM, PKCS#1 or PKCS#8, not encrypted.
        private: PathBuf,
        /// PEM, SPKI or PKCS#1: checked against the private key.
        public: Option<PathBuf>,
    },
}

/// Why a key file cannot be used, and what to do. Never contains a part of the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct KeyFileError {
    path: PathBuf,
    problem: String,
}

impl KeyFileError {
    fn new(path: &Path, problem: impl Into<String>) -> Self {
        Self { path: path.to_owned(), problem: problem.into() }
    }
}

impl KeyFiles {
    /// The private key as PKCS#8 DER: RSA of 2048 to 8192 bits with an odd exponent above 1.
    ///
    /// A generated pair lies in `directory`, normally [`std::env::temp_dir`].
    ///
    /// # Errors
    /// [`KeyFileError`] when a file cannot be read or written, holds no such key, does not match the other one, or, for a
    /// generated pair, is not safely ours.
    pub fn load(&self, directory: &Path) -> Result<Secret<Vec<u8>>, KeyFileError> {
        match self {
            Self::AutoGenerate => load_or_generate(directory),
            Self::Given { private, public } => {
                let key =
                    parse_private(&read(private)?).map_err(|problem| KeyFileError::new(private, problem))?;
                if let Some(public) = public {
                    let text = read(public)?;
                    check_public(&text, &key).map_err(|problem| KeyFileError::new(public, problem))?;
                }
                to_pkcs8(&key).map_err(|problem| KeyFileError::new(private, problem))
            }
        }
    }
}

/// Whoever publishes the private key first decides; everybody else, in this process or another, then reads it.
fn load_or_generate(directory: &Path) -> Result<Secret<Vec<u8>>, KeyFileError> {
    let private = directory.join(AUTO_PRIVATE_KEY);
    let public = directory.join(AUTO_PUBLIC_KEY);
    let refused = |path: &Path, problem: String| {
        KeyFileError::new(
            path,
            format!("{problem}; remove it, or name key files of your own instead of auto-gen"),
        )
    };

    let text = match private_file::read(&private, MAX_LENGTH).map_err(|problem| refused(&private, problem))? {
        Some(text) => text,
        None => {
            let generated = generate().map_err(|problem| KeyFileError::new(&private, problem))?;
            private_file::publish(&private, generated.as_bytes())
                .map_err(|problem| refused(&private, problem))?
        }
    };
    let key = parse_private(&text).map_err(|problem| refused(&private, problem))?;

    let public_pem = key.to_public_key().to_public_key_pem(LineEnding::LF);
    let public_pem = public_pem.map_err(|error| KeyFileError::new(&public, error.to_string()))?;
    let text = match private_file::read(&public, MAX_LENGTH).map_err(|problem| refused(&public, problem))? {
        Some(text) => text,
        None => private_file::publish(&public, public_pem.as_bytes())
            .map_err(|problem| refused(&public, problem))?,
    };
    check_public(&text, &key).map_err(|problem| refused(&public, problem))?;
    to_pkcs8(&key).map_err(|problem| KeyFileError::new(&private, problem))
}

/// A new 2048-bit key as PKCS#8 PEM.
fn generate() -> Result<Zeroizing<String>, String> {
    let failed = || "no key could be generated; try again".to_owned();
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).map_err(|_| failed())?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| failed())?;
    let key = rsa::RsaPrivateKey::from_pkcs8_der(der.as_ref()).map_err(|_| failed())?;
    key.to_pkcs8_pem(LineEnding::LF).map_err(|_| failed())
}

/// Reads a file that somebody else made and manages; a mounted secret is usually a symbolic link, so links are followed.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let mut text = Zeroizing::new(Vec::new());
    let length: io::Result<usize> =
        File::open(path).and_then(|file| file.take(MAX_LENGTH + 1).read_to_end(&mut text));
    match length {
        Ok(length) if length as u64 <= MAX_LENGTH => Ok(text),
        Ok(_) => Err(KeyFileError::new(path, "is too large for a key; name a PEM file")),
        Err(error) => Err(KeyFileError::new(
            path,
            format!("cannot be read ({error}); correct the path or its permissions"),
        )),
    }
}

fn parse_private(text: &[u8]) -> Result<rsa::RsaPrivateKey, String> {
    let (label, document) = pem(text, |text| SecretDocument::from_pem(text))?;
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

fn check_public(text: &[u8], private: &rsa::RsaPrivateKey) -> Result<(), String> {
    let (label, document) = pem(text, |text| Document::from_pem(text))?;
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

fn pem<T>(
    text: &[u8],
    decode: impl for<'a> FnOnce(&'a str) -> rsa::pkcs8::der::Result<(&'a str, T)>,
) -> Result<(&str, T), String> {
    let not_pem = || "is not PEM; it must begin with a line such as -----BEGIN PRIVATE KEY-----".to_owned();
    let text = std::str::from_utf8(text).map_err(|_| not_pem())?;
    decode(text.trim()).map_err(|_| not_pem())
}

fn to_pkcs8(key: &rsa::RsaPrivateKey) -> Result<Secret<Vec<u8>>, String> {
    let document = key.to_pkcs8_der().map_err(|error| error.to_string())?;
    Ok(Secret::new(document.as_bytes().to_vec()))
}
