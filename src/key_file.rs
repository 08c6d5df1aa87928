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
    let (label, document) = pem(text, SecretDocument::from_pem)?;
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
    let (label, document) = pem(text, Document::from_pem)?;
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
    let not_pem =
        || "is not PEM, or damaged; it must begin with a line such as -----BEGIN PRIVATE KEY-----".to_owned();
    let text = std::str::from_utf8(text).map_err(|_| not_pem())?;
    decode(text.trim()).map_err(|_| not_pem())
}

fn to_pkcs8(key: &rsa::RsaPrivateKey) -> Result<Secret<Vec<u8>>, String> {
    let document = key.to_pkcs8_der().map_err(|error| error.to_string())?;
    Ok(Secret::new(document.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt, PermissionsExt, symlink},
        process::{Command, Stdio},
    };

    use rsa::{
        pkcs1::{EncodeRsaPrivateKey, EncodeRsaPublicKey},
        pkcs8::der::{EncodePem, asn1::UintRef},
    };
    use tempfile::TempDir;

    use super::*;

    /// A key in the memory of a test, and a directory for its files.
    struct Fixture {
        directory: TempDir,
        key: rsa::RsaPrivateKey,
    }

    impl Fixture {
        fn new() -> Self {
            let key = parse_private(generate().unwrap().as_bytes()).unwrap();
            Self { directory: tempfile::tempdir().unwrap(), key }
        }

        fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
            let path = self.directory.path().join(name);
            fs::write(&path, text).unwrap();
            path
        }

        fn private(&self) -> PathBuf {
            self.write("private.pem", self.key.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes())
        }

        fn load(&self, private: &Path, public: Option<&Path>) -> Result<Secret<Vec<u8>>, String> {
            let files = KeyFiles::Given { private: private.to_owned(), public: public.map(Path::to_owned) };
            files.load(self.directory.path()).map_err(|error| error.to_string())
        }

        fn auto(&self) -> Result<Secret<Vec<u8>>, String> {
            KeyFiles::AutoGenerate.load(self.directory.path()).map_err(|error| error.to_string())
        }
    }

    fn refusal(result: Result<Secret<Vec<u8>>, String>) -> String {
        result.map(|_| ()).unwrap_err()
    }

    #[test]
    fn both_private_and_both_public_forms_are_read() {
        let fixture = Fixture::new();
        let expected = to_pkcs8(&fixture.key).unwrap();
        let public = fixture.key.to_public_key();
        let pkcs1 =
            fixture.write("pkcs1.pem", fixture.key.to_pkcs1_pem(LineEnding::CRLF).unwrap().as_bytes());
        let spki = fixture.write("spki.pem", public.to_public_key_pem(LineEnding::LF).unwrap());
        let public_pkcs1 = fixture.write("public1.pem", public.to_pkcs1_pem(LineEnding::LF).unwrap());
        assert!(fixture.load(&fixture.private(), None).unwrap() == expected);
        assert!(fixture.load(&pkcs1, Some(&spki)).unwrap() == expected);
        assert!(fixture.load(&pkcs1, Some(&public_pkcs1)).unwrap() == expected);
        let key = crate::jose::SigningKey::from_pkcs8(crate::jose::SigningAlgorithm::RS256, &expected);
        assert!(key.is_ok());
    }

    #[test]
    fn a_public_key_of_another_pair_is_refused() {
        let fixture = Fixture::new();
        let other = Fixture::new().key.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
        let other = fixture.write("other.pem", other);
        assert!(
            refusal(fixture.load(&fixture.private(), Some(&other)))
                .contains("does not belong to the private key")
        );
    }

    #[test]
    fn what_is_no_private_rsa_key_is_refused_with_a_remedy() {
        let fixture = Fixture::new();
        let private = fs::read_to_string(fixture.private()).unwrap();
        let public = fixture.key.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
        for (text, reason) in [
            (String::new(), "is not PEM"),
            ("canary".to_owned(), "is not PEM"),
            (private.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), "is encrypted"),
            (private.replace("PRIVATE KEY", "EC PRIVATE KEY"), "is no RSA private key"),
            (private.replacen("MII", "MIJ", 1), "is not PEM, or damaged"),
            (public, "is a public key"),
            ("x".repeat(65 * 1024), "is too large"),
        ] {
            let path = fixture.write("key.pem", &text);
            let refusal = refusal(fixture.load(&path, None));
            assert!(
                refusal.contains(reason) && refusal.contains("key.pem: ") && !refusal.contains("canary"),
                "{refusal}"
            );
        }
        assert!(refusal(fixture.load(Path::new("/nowhere/key.pem"), None)).contains("cannot be read"));
    }

    // CHK-79
    #[test]
    fn weak_keys_are_refused() {
        let fixture = Fixture::new();
        let der = fixture.key.to_pkcs1_der().unwrap();
        let modulus = pkcs1::RsaPrivateKey::try_from(der.as_bytes()).unwrap().modulus.as_bytes().to_vec();
        let one_bit_less = [&[0x7F], &modulus[1..]].concat();
        for (modulus, bits) in [(&modulus[..128], 1024), (&one_bit_less, 2047)] {
            let mut parts = pkcs1::RsaPrivateKey::try_from(der.as_bytes()).unwrap();
            parts.modulus = UintRef::new(modulus).unwrap();
            let path = fixture.write("weak.pem", parts.to_pem(LineEnding::LF).unwrap());
            assert!(refusal(fixture.load(&path, None)).contains(&format!("has {bits} bits")), "{bits}");
        }
        for exponent in [1, 2, 0x01_00_00] {
            let mut parts = pkcs1::RsaPrivateKey::try_from(der.as_bytes()).unwrap();
            let bytes = u32::to_be_bytes(exponent);
            parts.public_exponent = UintRef::new(&bytes).unwrap();
            let path = fixture.write("exponent.pem", parts.to_pem(LineEnding::LF).unwrap());
            assert!(refusal(fixture.load(&path, None)).contains("public exponent"), "{exponent}");
        }
    }

    #[test]
    fn a_generated_pair_is_private_and_reused() {
        let fixture = Fixture::new();
        let first = fixture.auto().unwrap();
        for name in [AUTO_PRIVATE_KEY, AUTO_PUBLIC_KEY] {
            let metadata = fs::symlink_metadata(fixture.directory.path().join(name)).unwrap();
            assert!(metadata.is_file());
            assert_eq!((metadata.mode() & 0o7777, metadata.nlink()), (0o600, 1));
        }
        assert_eq!(fs::read_dir(fixture.directory.path()).unwrap().count(), 2);
        assert!(fixture.auto().unwrap() == first);
        let given = fixture.load(
            &fixture.directory.path().join(AUTO_PRIVATE_KEY),
            Some(&fixture.directory.path().join(AUTO_PUBLIC_KEY)),
        );
        assert!(given.unwrap() == first);
    }

    #[test]
    fn links_are_not_followed() {
        for name in [AUTO_PRIVATE_KEY, AUTO_PUBLIC_KEY] {
            for target in ["private.pem", "missing.pem"] {
                let fixture = Fixture::new();
                fixture.private();
                symlink(fixture.directory.path().join(target), fixture.directory.path().join(name)).unwrap();
                let refusal = refusal(fixture.auto());
                assert!(refusal.contains("symbolic link") && refusal.contains("remove it"), "{refusal}");
                assert!(!fixture.directory.path().join("missing.pem").exists());
            }
        }
    }

    #[test]
    fn files_that_are_not_safely_ours_are_refused() {
        let fixture = Fixture::new();
        fixture.auto().unwrap();
        let private = fixture.directory.path().join(AUTO_PRIVATE_KEY);
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&private, fs::Permissions::from_mode(mode)).unwrap();
            assert!(refusal(fixture.auto()).contains("is open to other users"), "{mode:o}");
        }
        fs::remove_file(&private).unwrap();
        fs::create_dir(&private).unwrap();
        assert!(refusal(fixture.auto()).contains("is not a regular file"));
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let fixture = Fixture::new();
        fixture.auto().unwrap();
        let private = fixture.directory.path().join(AUTO_PRIVATE_KEY);
        // Only the superuser can give files away.
        if std::os::unix::fs::chown(&private, Some(12345), None).is_ok() {
            assert!(refusal(fixture.auto()).contains("belongs to another user (uid 12345)"));
        }
    }

    #[test]
    fn a_generated_pair_that_is_damaged_or_mixed_is_refused() {
        let fixture = Fixture::new();
        fixture.auto().unwrap();
        let [private, public] =
            [AUTO_PRIVATE_KEY, AUTO_PUBLIC_KEY].map(|name| fixture.directory.path().join(name));
        fs::write(&public, Fixture::new().key.to_public_key().to_public_key_pem(LineEnding::LF).unwrap())
            .unwrap();
        assert!(refusal(fixture.auto()).contains("does not belong to the private key"));
        fs::write(&private, "canary").unwrap();
        let refusal = refusal(fixture.auto());
        assert!(refusal.contains("is not PEM") && !refusal.contains("canary"), "{refusal}");
    }

    const RACE_DIRECTORY: &str = "KEY_FILE_RACE_DIRECTORY";

    #[test]
    fn processes_that_start_at_once_end_with_one_key() {
        let directory = tempfile::tempdir().unwrap();
        let racers: Vec<_> = (0..4)
            .map(|_| {
                Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "key_file::tests::one_racer", "--nocapture"])
                    .env(RACE_DIRECTORY, directory.path())
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let keys: Vec<String> = racers
            .into_iter()
            .map(|racer| {
                let output = String::from_utf8(racer.wait_with_output().unwrap().stdout).unwrap();
                output.split("key=").nth(1).and_then(|rest| rest.lines().next()).expect(&output).to_owned()
            })
            .collect();
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    /// One process of the race; nothing when it is run as a test of its own.
    #[test]
    fn one_racer() {
        if let Some(directory) = std::env::var_os(RACE_DIRECTORY) {
            let key = KeyFiles::AutoGenerate.load(Path::new(&directory)).unwrap();
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.expose());
            println!("key={digest:?}");
        }
    }
}
