//! The composition root: a checked configuration becomes a running server.
//!
//! - `core`: everything a server consists of, put together in one place
//! - `stores`: the store, and what opens its secrets
//! - `keys`: which signing keys are configured
//! - `check`: what a start would refuse in the files that it reads
//! - `runtime`: the threads that serve
//! - `start`, `snapshot`: what it knows when it starts, with or without its store
//! - `descriptors`, `memory`: how many connections the open files and the memory allow
//! - `listen`: from the first socket to the end
//! - `figures`: what the metrics read from it
//! - `follow`: what goes on beside the requests
//! - `reload`: SIGHUP replaces the configured clients
//! - `federation`: whose tokens prove who asks
//! - [`overload`]: what keeps the public port steady when too much comes
//! - [`proxy`]: who is in front of the public port
//! - [`tls`]: the certificate of the public port
//! - [`watch`]: files that are read again when they change
//! - `authorities`: whose client certificates count
//! - `ops`: what the ops listener serves
//! - `admin`: the administration of a running server, and of its store
//! - `error`: every way a start can fail

mod admin;
mod authorities;
mod check;
mod core;
mod descriptors;
mod error;
mod federation;
mod figures;
mod follow;
mod keys;
mod listen;
mod memory;
mod ops;
pub mod overload;
pub mod proxy;
mod reload;
mod runtime;
mod snapshot;
mod start;
mod stores;
pub mod tls;
pub mod watch;

use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

pub use self::{
    admin::{open_clients, open_explainer, open_keys},
    check::check_files,
    core::Core,
    error::StartError,
    follow::follow,
    stores::{OpenedStore, open_store},
};
use crate::{
    clock::SystemClock,
    config::{Config, LogFormat},
    telemetry::{self, LogQueue},
};

/// How long the end waits for somebody to read the last lines of the log.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Runs the server until a signal ends it, then returns.
///
/// # Errors
/// [`StartError`]; once it serves, it ends well.
pub fn run(config: Config) -> Result<(), StartError> {
    let format = match config.log_format {
        LogFormat::Text => telemetry::Format::Text,
        LogFormat::Json => telemetry::Format::Json,
    };
    let log = telemetry::logging::init(&config.log, format)?;
    let ended = serve(config, log.clone());
    log.finish(LAST_LINES);
    ended
}

fn serve(config: Config, log: LogQueue) -> Result<(), StartError> {
    let signing_pool = Arc::new(OnceLock::new());
    runtime::build(&signing_pool)?.block_on(async {
        let core = Core::build(&config, Arc::new(SystemClock), &std::env::temp_dir()).await?;
        signing_pool.get_or_init(|| Arc::clone(&core.signing_pool));
        listen::until_signal(config, core, log).await
    })
}

/// Runs what blocks where it holds nobody up.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
