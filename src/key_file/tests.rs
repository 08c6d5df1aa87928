//! Key files on a real file system.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
};

use rsa::{
    pkcs1::{self, EncodeRsaPrivateKey, EncodeRsaPublicKey},
    pkcs8::{
        EncodePrivateKey, EncodePublicKey, LineEnding,
        der::{EncodePem, asn1::UintRef},
    },
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
        let key = pem::parse_private(pem::generate().unwrap().as_bytes()).unwrap();
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
    let expected = pem::to_pkcs8(&fixture.key).unwrap();
    let public = fixture.key.to_public_key();
    let pkcs1 = fixture.write("pkcs1.pem", fixture.key.to_pkcs1_pem(LineEnding::CRLF).unwrap().as_bytes());
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
        let refusal = refusal(fixture.auto());
        let remedy = format!("`chmod 600 {}`", private.display());
        assert!(refusal.contains("is open to other users") && refusal.contains(&remedy), "{refusal}");
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

// What a process publishes appears by one hard link, so threads race as processes do.
#[test]
fn those_who_start_at_once_end_with_one_key() {
    let fixture = Fixture::new();
    let barrier = std::sync::Barrier::new(4);
    let keys: Vec<_> = std::thread::scope(|scope| {
        let racer = || {
            barrier.wait();
            fixture.auto().unwrap()
        };
        let racers: Vec<_> = (0..4).map(|_| scope.spawn(racer)).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!(fs::read_dir(fixture.directory.path()).unwrap().count(), 2);
}
