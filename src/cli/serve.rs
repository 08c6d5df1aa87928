//! `mintage serve`: from its flags to a checked configuration. Running the server is the caller's part.

use std::path::PathBuf;

use clap::Args;

use super::output::Failure;
use crate::config::{self, Config, Environment, Sources};

/// What names the configuration, for every command that needs it.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Examples:\n  mintage serve --dev\n  mintage serve --config mintage.toml")]
pub(super) struct Arguments {
    /// Use demonstration clients and secrets, which are public
    #[arg(long)]
    pub(super) dev: bool,
    /// TOML file with settings and clients [environment: MINTAGE_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Address and port to listen on [environment: MINTAGE_LISTEN] [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<String>,
}

impl Arguments {
    /// The flags together with the environment of this process.
    pub(super) fn into_sources(self) -> Sources {
        Sources {
            dev: self.dev,
            listen: self.listen,
            config_file: self.config,
            environment: Environment::of_process(),
        }
    }
}

/// The configuration the server is to run with.
pub(super) fn run(arguments: Arguments) -> Result<Config, Failure> {
    Ok(config::load(&arguments.into_sources())?)
}
