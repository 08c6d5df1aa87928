//! `mintage export`, `mintage import` and `mintage backup`: everything a store holds, into a file and out of it.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, BufWriter, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use super::{
    output::{Failure, Report},
    store::{self, in_runtime},
};
use crate::{
    admin::archive::{self, ArchiveError, Contents},
    clock::{Clock, SystemClock},
    random::SystemRandom,
};

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  mintage export --config mintage.toml mintage.archive")]
pub(super) struct Export {
    /// The file to write, which must not exist yet; it is sealed under the master key
    file: PathBuf,
    #[command(flatten)]
    store: store::Arguments,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  mintage import --config new.toml mintage.archive")]
pub(super) struct Import {
    /// A file that `mintage export` wrote
    file: PathBuf,
    #[command(flatten)]
    store: store::Arguments,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  mintage backup --config mintage.toml /var/backups/mintage.db")]
pub(super) struct Backup {
    /// The file to write, which must not exist yet; only an SQLite database can be copied this way
    file: PathBuf,
    #[command(flatten)]
    store: store::Arguments,
}

pub(super) fn export(arguments: &Export) -> Result<Report, Failure> {
    let path = &arguments.file;
    let contents = in_runtime(async {
        let opened = arguments.store.open_existing().await?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| named(path, &error))?;
        let mut writer = BufWriter::new(file);
        let written =
            archive::export(&opened.stores, &opened.master, &SystemRandom, SystemClock.now(), &mut writer)
                .await;
        let synced = written.and_then(|contents| {
            writer.flush()?;
            writer.get_ref().sync_all()?;
            Ok(contents)
        });
        // Half an archive is of no use to anybody.
        synced.map_err(|error| {
            let _ = std::fs::remove_file(path);
            failed(path, &error)
        })
    })?;
    Ok(report("exported", path, contents, "its master key opens it"))
}

pub(super) fn import(arguments: &Import) -> Result<Report, Failure> {
    let path = &arguments.file;
    let contents = in_runtime(async {
        let opened = arguments.store.open().await?;
        let mut file = BufReader::new(File::open(path).map_err(|error| named(path, &error))?);
        // All of it is opened before anything is written.
        archive::inspect(&opened.master, &mut file).map_err(|error| failed(path, &error))?;
        file.rewind().map_err(|error| named(path, &error))?;
        archive::import(&*opened.store, &opened.stores, &opened.master, SystemClock.now(), file)
            .await
            .map_err(|error| failed(path, &error))
    })?;
    Ok(report("imported", path, contents, "start the server"))
}

pub(super) fn backup(arguments: &Backup) -> Result<Report, Failure> {
    let path = &arguments.file;
    in_runtime(async {
        let opened = arguments.store.open_existing().await?;
        opened.store.backup(path).await.map_err(|error| Failure::failed(error.to_string()))
    })?;
    Ok(Report {
        text: format!("copied the database to {}; its master key opens it\n", path.display()),
        json: json!({ "ok": true, "file": path }).to_string(),
    })
}

fn report(done: &str, path: &Path, contents: Contents, next: &str) -> Report {
    let Contents { clients, keys, revocations } = contents;
    let file = path.display();
    Report {
        text: format!(
            "{done} {clients} clients, {keys} signing keys and {revocations} revocations ({file}); {next}\n"
        ),
        json:
            json!({ "ok": true, "file": path, "clients": clients, "keys": keys, "revocations": revocations })
                .to_string(),
    }
}

fn named(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(match error.kind() {
        io::ErrorKind::AlreadyExists => format!("{} exists already; name another file", path.display()),
        _ => format!("{} cannot be opened ({error}); correct the path or its permissions", path.display()),
    })
}

fn failed(path: &Path, error: &ArchiveError) -> Failure {
    Failure::failed(format!("{}: {error}", path.display()))
}
