//! `mintage completions`: the completion script of a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, output::Report};

#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  mintage completions bash > ~/.local/share/bash-completion/completions/mintage"
)]
pub(super) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// The script is not JSON whatever `--output` says: only its shell can use it.
pub(super) fn run(arguments: &Arguments) -> Report {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "mintage", &mut script);
    Report { text: String::from_utf8_lossy(&script).into_owned(), json: String::new() }
}
