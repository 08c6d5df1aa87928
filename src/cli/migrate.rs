//! `mintage migrate`: brings the tables of the store up to date, or says whether they are. `serve` does it too.

use clap::Args;
use serde_json::json;

use super::{
    output::{Failure, Report},
    store::{self, in_runtime},
};
use crate::store::{LATEST, OpenError, Options, Schema, Store};

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  mintage migrate --config mintage.toml\n  mintage migrate --check --config mintage.toml"
)]
pub(super) struct Migrate {
    /// Change nothing, and fail unless the tables are up to date
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    store: store::Arguments,
}

pub(super) fn run(arguments: &Migrate) -> Result<Report, Failure> {
    let config = arguments.store.config()?;
    let location = config.store.location.to_string();
    // A check creates no file.
    if arguments.check && config.store.location.file().is_some_and(|path| !path.exists()) {
        return Err(pending(&location, 0));
    }
    let options = Options { ca_file: config.store.ca_file, notify: false, ..Options::default() };
    let in_words = |error: OpenError| Failure::failed(format!("{location}: {error}"));
    let (before, after) = in_runtime(async {
        let store = Store::connect(&config.store.location, options).await.map_err(in_words)?;
        let before = store.schema().await.map_err(in_words)?;
        if !arguments.check {
            store.migrate().await.map_err(in_words)?;
        }
        Ok((before, store.schema().await.map_err(in_words)?))
    })?;
    if arguments.check && !before.is_current() {
        return Err(pending(&location, before.version));
    }
    Ok(done(&location, before, after))
}

fn pending(location: &str, version: u64) -> Failure {
    Failure::failed(format!(
        "{location}: has schema version {version} and needs {LATEST}; run `mintage migrate`, or start the server"
    ))
}

fn done(location: &str, before: Schema, after: Schema) -> Report {
    let (from, to) = (before.version, after.version);
    let text = if from == to {
        format!("ok: {location} has schema version {to}\n")
    } else {
        format!("ok: {location} went from schema version {from} to {to}\n")
    };
    Report {
        text,
        json: json!({ "ok": true, "database": location, "from_version": from, "version": to }).to_string(),
    }
}
