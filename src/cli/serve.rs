//! `mintage serve`: from its flags to a checked configuration. Running the server is the caller's part.

use std::path::PathBuf;

use clap::Args;

use super::output::Failure;
use crate::config::{self, Config, Environment, Sources};

/// What names the configuration, for every command that needs it.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  mintage serve --dev\n  mintage serve --dev --tls\n  mintage serve --config mintage.toml"
)]
pub(super) struct Arguments {
    /// Use demonstration clients and secrets, which are public
    #[arg(long)]
    pub(super) dev: bool,
    /// With --dev: HTTPS, with a certificate for localhost that is made now
    #[arg(long)]
    pub(super) tls: bool,
    /// TOML file with settings and clients [environment: MINTAGE_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Address and port to listen on [environment: MINTAGE_LISTEN] [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<String>,
}

impl Arguments {
    /// The flags together with the environment of this process.
    ///
    /// # Errors
    /// Misuse: a server that others rely on has a certificate that they know.
    pub(super) fn into_sources(self) -> Result<Sources, Failure> {
        if self.tls && !self.dev {
            return Err(Failure::misused(
                "--tls makes a certificate that nobody knows and goes with --dev; without --dev set tls.cert_file and \
                 tls.key_file (MINTAGE_TLS_CERT_FILE, MINTAGE_TLS_KEY_FILE)",
            ));
        }
        Ok(Sources {
            dev: self.dev,
            tls: self.tls,
            listen: self.listen,
            config_file: self.config,
            environment: Environment::of_process(),
        })
    }
}

/// The configuration the server is to run with.
pub(super) fn run(arguments: Arguments) -> Result<Config, Failure> {
    Ok(config::load(&arguments.into_sources()?)?)
}
