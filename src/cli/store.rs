//! What the commands share that work on the store itself: its configuration, and a runtime for as long as they run.

use std::{future::Future, path::PathBuf};

use clap::Args;

use super::output::Failure;
use crate::{
    app::{self, OpenedStore},
    config::{self, Config, Environment, Sources},
};

/// What names the store.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Arguments {
    /// TOML file that names the database and the master key [environment: MINTAGE_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Arguments {
    /// The configuration the server would run with.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        load(self.config.clone())
    }

    /// The store, with its tables up to date.
    pub(super) async fn open(&self) -> Result<OpenedStore, Failure> {
        app::open_store(&self.config()?).await.map_err(|error| Failure::failed(error.to_string()))
    }

    /// The same for what reads it: a database that is not there is a mistake in its name and is not made.
    pub(super) async fn open_existing(&self) -> Result<OpenedStore, Failure> {
        let config = self.config()?;
        if let Some(path) = config.store.location.file().filter(|path| !path.exists()) {
            return Err(Failure::failed(format!(
                "{}: there is no such database; correct database_url, or name the configuration with --config",
                path.display()
            )));
        }
        self.open().await
    }
}

/// The configuration the server would run with that reads this file.
pub(super) fn load(config_file: Option<PathBuf>) -> Result<Config, Failure> {
    let environment = Environment::of_process();
    Ok(config::load(&Sources { config_file, environment, ..Sources::default() })?)
}

/// Runs a command that waits for something.
pub(super) fn in_runtime<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("the process could not be set up: {error}")))?
        .block_on(command)
}
