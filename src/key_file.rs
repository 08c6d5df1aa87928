//! RS256 key files: PKCS#1 and PKCS#8 PEM (RFC 8017 App. A.1, RFC 5958, RFC 7468), given or generated.
//!
//! Where a key lies and whether it may be trusted there; what is in the file is for `pem` to read.

mod pem;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::{private_file, secret::Secret};

/// The file names of a generated pair.
pub const AUTO_PRIVATE_KEY: &str = "auto_private_key.pem";
/// See [`AUTO_PRIVATE_KEY`].
pub const AUTO_PUBLIC_KEY: &str = "auto_public_key.pem";

/// No key file is longer, in bytes: an RSA key of 16384 bits takes less.
const MAX_LENGTH: u64 = 64 * 1024;

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

    /// The file at fault.
    pub fn path(&self) -> &Path {
        &self.path
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
                let key = pem::parse_private(&read(private)?)
                    .map_err(|problem| KeyFileError::new(private, problem))?;
                if let Some(public) = public {
                    let text = read(public)?;
                    pem::check_public(&text, &key).map_err(|problem| KeyFileError::new(public, problem))?;
                }
                pem::to_pkcs8(&key).map_err(|problem| KeyFileError::new(private, problem))
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
            let generated = pem::generate().map_err(|problem| KeyFileError::new(&private, problem))?;
            private_file::publish(&private, generated.as_bytes())
                .map_err(|problem| refused(&private, problem))?
        }
    };
    let key = pem::parse_private(&text).map_err(|problem| refused(&private, problem))?;

    let public_pem = pem::public(&key).map_err(|problem| KeyFileError::new(&public, problem))?;
    let text = match private_file::read(&public, MAX_LENGTH).map_err(|problem| refused(&public, problem))? {
        Some(text) => text,
        None => private_file::publish(&public, public_pem.as_bytes())
            .map_err(|problem| refused(&public, problem))?,
    };
    pem::check_public(&text, &key).map_err(|problem| refused(&public, problem))?;
    pem::to_pkcs8(&key).map_err(|problem| KeyFileError::new(&private, problem))
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

#[cfg(test)]
mod tests;
