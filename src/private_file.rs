//! Private files (layer 1): ours, in a directory that others can write to, such as /tmp: read only when they are safely ours, created
//! whole or not at all, and never through a link that somebody left there.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::random::{self, SystemRandom};

/// Reads a file of at most `max_length` bytes; `None` when there is none.
///
/// # Errors
/// A sentence about why the file is not used: it is a link or no regular file, belongs to another user, can be read or
/// written by others, is too long, or the system refused.
pub fn read(path: &Path, max_length: u64) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    // Checked on the open file, so that nobody can exchange it between the check and the reading. Without NONBLOCK a
    // named pipe would hold the server up.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if is_link(path) => {
            return Err(format!("is a symbolic link, which is not followed ({error})"));
        }
        Err(error) => return Err(cannot("read", &error)),
    };
    check_owned(&file, path)?;
    let mut text = Zeroizing::new(Vec::new());
    file.take(max_length + 1).read_to_end(&mut text).map_err(|error| cannot("read", &error))?;
    if text.len() as u64 > max_length {
        return Err(format!("is larger than {max_length} bytes"));
    }
    Ok(Some(text))
}

fn check_owned(file: &File, path: &Path) -> Result<(), String> {
    let metadata = file.metadata().map_err(|error| cannot("read", &error))?;
    if !metadata.is_file() {
        return Err("is not a regular file".to_owned());
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(format!("belongs to another user (uid {})", metadata.uid()));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(format!(
            "is open to other users (mode {:04o}, not 0600; `chmod 600 {}` closes it)",
            metadata.mode() & 0o7777,
            path.display()
        ));
    }
    Ok(())
}

/// Only words an error; the decision was the system's.
fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink())
}

/// Creates the file with `content`, readable by this user alone, and returns what it then holds: `content`, or what
/// another process published first.
///
/// # Errors
/// As [`read`]. An existing file is never replaced or written to.
pub fn publish(path: &Path, content: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
    let temporary = Temporary::create(path).map_err(|error| cannot("created", &error))?;
    temporary.fill(content).map_err(|error| cannot("written", &error))?;
    // A hard link appears at once with the whole content and fails when the name exists, link or not.
    match fs::hard_link(&temporary.path, path) {
        Ok(()) => sync_directory(path).map_err(|error| cannot("written", &error))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(cannot("created", &error)),
    }
    let max_length = content.len().max(64 * 1024) as u64;
    read(path, max_length)?.ok_or_else(|| "was removed while it was being created".to_owned())
}

/// Replaces a file of ours by one with `content`, or creates it; a reader sees the old content or the new.
///
/// # Errors
/// A sentence; the old file is then as it was.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), String> {
    let temporary = Temporary::create(path).map_err(|error| cannot("created", &error))?;
    temporary.fill(content).map_err(|error| cannot("written", &error))?;
    fs::rename(&temporary.path, path).map_err(|error| cannot("replaced", &error))?;
    sync_directory(path).map_err(|error| cannot("written", &error))
}

/// A file beside the final one, removed when it goes out of scope.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    fn create(beside: &Path) -> io::Result<Self> {
        let suffix = random::bytes::<8>(&SystemRandom).map_err(io::Error::other)?;
        let mut name = beside.as_os_str().to_owned();
        name.push(format!(".{:016x}", u64::from_ne_bytes(suffix)));
        let path = PathBuf::from(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, file })
    }

    fn fill(&self, content: &[u8]) -> io::Result<()> {
        (&self.file).write_all(content)?;
        self.file.sync_all()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // The final name is a link of its own; should this fail, a file remains that only this user can read.
        let _ = fs::remove_file(&self.path);
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

fn cannot(what: &str, error: &io::Error) -> String {
    format!("cannot be {what} ({error})")
}
