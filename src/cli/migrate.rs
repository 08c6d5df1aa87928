//! `mintage migrate`: brings the tables of the store up to date, or says whether they are. `serve` does it too.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{
    output::{Failure, Report},
    serve,
};
use crate::{
    config,
    store::{LATEST, OpenError, Options, Schema, Store},
};

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  mintage migrate --config mintage.toml\n  mintage migrate --check --config mintage.toml"
)]
pub(super) struct Arguments {
    /// Change nothing, and fail unless the tables are up to date
    #[arg(long)]
    check: bool,
    /// TOML file of the server [environment: MINTAGE_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments) -> Result<Report, Failure> {
    let sources = serve::Arguments { config: arguments.config, ..serve::Arguments::default() };
    let config = config::load(&sources.into_sources())?;
    let location = config.store.location.to_string();
    // A check creates no file.
    if arguments.check && config.store.location.file().is_some_and(|path| !path.exists()) {
        return Err(pending(&location, 0));
    }
    let options = Options { ca_file: config.store.ca_file, notify: false, ..Options::default() };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(error.to_string()))?;
    let (before, after) = runtime
        .block_on(async {
            let store = Store::connect(&config.store.location, options).await?;
            let before = store.schema().await?;
            if !arguments.check {
                store.migrate().await?;
            }
            Ok((before, store.schema().await?))
        })
        .map_err(|error: OpenError| Failure::failed(format!("{location}: {error}")))?;
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
