//! The command line: what may be said, and one module per command that does it.
//!
//! A command returns a `Report` or a `Failure` and prints nothing itself; `output` prints either as text or JSON. Exit
//! codes: 0 done, 1 failed, 2 misused.

mod archive;
mod client;
mod completions;
mod config;
mod get;
mod healthcheck;
mod http;
mod json_text;
mod jwks;
mod key;
mod migrate;
mod misuse;
mod new_client;
mod output;
mod serve;
mod store;
mod token;
mod verify;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};

use self::output::{Failure, Output, Report};
use crate::config::Config;

#[derive(Debug, Parser)]
#[command(
    name = "mintage",
    version,
    about = "An OAuth 2.0 token service for machines",
    after_help = "Example:\n  mintage serve --dev",
    // Its help would be the only one without an example.
    disable_help_subcommand = true
)]
struct Cli {
    /// Form of what is printed, errors included
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Arguments),
    /// Check or show the configuration
    #[command(
        subcommand,
        after_help = "Example:\n  mintage config check --config mintage.toml",
        disable_help_subcommand = true
    )]
    Config(config::Command),
    /// Look at a token, or verify one
    #[command(
        subcommand,
        after_help = "Example:\n  mintage token decode - < token.txt",
        disable_help_subcommand = true
    )]
    Token(token::Command),
    /// Register, list, show, change and delete clients
    #[command(
        subcommand,
        after_help = "Example:\n  mintage client create --client-id billing --scope \"read write\"",
        disable_help_subcommand = true
    )]
    Client(client::Command),
    /// Signing keys and their life
    #[command(subcommand, after_help = "Example:\n  mintage key list", disable_help_subcommand = true)]
    Key(key::Command),
    /// Bring the tables of the store up to date
    Migrate(migrate::Migrate),
    /// Write everything the store holds to an encrypted file
    Export(archive::Export),
    /// Fill an empty store from such a file
    Import(archive::Import),
    /// Copy an SQLite database while it is in use
    Backup(archive::Backup),
    /// Ask a running server whether it is healthy
    Healthcheck(healthcheck::Arguments),
    /// Print the completion script of a shell
    Completions(completions::Arguments),
}

/// Runs the command that the arguments of this process name. `serve` runs the server with a checked configuration until
/// it ends; what it returns as an error is one sentence that says what to do next.
pub fn run(serve: impl FnOnce(Config) -> Result<(), String>) -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return misuse::answer(&error, &arguments),
    };
    let result = match cli.command {
        Command::Serve(arguments) => serve::run(arguments)
            .and_then(|config| serve(config).map_err(Failure::failed))
            .map(|()| Report::default()),
        Command::Config(command) => config::run(command),
        Command::Token(command) => token::run(command),
        Command::Client(command) => client::run(command),
        Command::Key(command) => key::run(command),
        Command::Migrate(arguments) => migrate::run(&arguments),
        Command::Export(arguments) => archive::export(&arguments),
        Command::Import(arguments) => archive::import(&arguments),
        Command::Backup(arguments) => archive::backup(&arguments),
        Command::Healthcheck(arguments) => healthcheck::run(&arguments),
        Command::Completions(arguments) => Ok(completions::run(&arguments)),
    };
    cli.output.finish(result)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::config;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example") && help.contains("\n  mintage"), "{}", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    // A variable that one command documents, exported in a shell, must not break another.
    #[test]
    fn every_variable_of_a_help_text_is_known() {
        fn variables(command: &mut clap::Command, found: &mut BTreeSet<String>) {
            let help = command.render_long_help().to_string();
            let words = help.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
            found.extend(words.filter(|word| word.starts_with("MINTAGE_")).map(str::to_owned));
            command.get_subcommands_mut().for_each(|command| variables(command, found));
        }
        let mut found = BTreeSet::new();
        variables(&mut Cli::command(), &mut found);
        assert!(found.len() >= 4, "{found:?}");
        let environment = found.iter().map(|name| (name, "x")).collect();
        let sources = config::Sources { environment, ..config::Sources::default() };
        let problems = config::load(&sources).unwrap_err().to_string();
        assert!(!problems.contains("is not known"), "{problems}");
    }
}
