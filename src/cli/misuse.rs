//! Arguments that do not parse, in one sentence, and the help texts, which clap treats alike.
//!
//! clap's own messages quote what was typed. That may be a token in the wrong place, so they are not used: only names that
//! look like a command or a flag are repeated.

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use clap::{
    CommandFactory,
    error::{ContextKind, ContextValue, Error, ErrorKind},
};

use super::{
    Cli,
    output::{Failure, Output},
};

/// Prints the help that was asked for, or the error.
pub(super) fn answer(error: &Error, arguments: &[OsString]) -> ExitCode {
    if !error.use_stderr() {
        // Help that nobody reads to its end is no failure.
        let _ = io::stdout().write_all(error.render().to_string().as_bytes());
        return ExitCode::SUCCESS;
    }
    output(arguments).finish(Err(Failure::misused(sentence(error, arguments))))
}

/// `--output` as far as it can be told from arguments that did not parse.
fn output(arguments: &[OsString]) -> Output {
    let asks_for_json = |pair: &[OsString]| pair[0] == "--output" && pair[1] == "json";
    let json = arguments.iter().any(|argument| argument == "--output=json")
        || arguments.windows(2).any(asks_for_json);
    if json { Output::Json } else { Output::Text }
}

fn sentence(error: &Error, arguments: &[OsString]) -> String {
    let argument = context(error, ContextKind::InvalidArg);
    let problem = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let typed = context(error, ContextKind::InvalidSubcommand).filter(|name| is_a_name(name));
            let problem = typed.map_or_else(
                || "there is no such command".to_owned(),
                |name| format!("there is no command {name}"),
            );
            suggest(problem, context(error, ContextKind::SuggestedSubcommand))
        }
        ErrorKind::UnknownArgument => {
            let typed = argument.as_deref().and_then(flag_name);
            let problem = typed.map_or_else(
                || "there is an argument too many".to_owned(),
                |name| format!("there is no flag {name}"),
            );
            suggest(problem, context(error, ContextKind::SuggestedArg))
        }
        ErrorKind::MissingRequiredArgument => {
            format!("{} is missing", argument.as_deref().unwrap_or("an argument"))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let values = context(error, ContextKind::ValidValue);
            let problem = format!("{} has no valid value", argument.as_deref().unwrap_or("an argument"));
            values.map_or_else(|| problem.clone(), |values| format!("{problem} (it takes {values})"))
        }
        ErrorKind::ArgumentConflict => format!(
            "{} is given twice or beside another that excludes it",
            argument.as_deref().unwrap_or("an argument")
        ),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "a command is missing".to_owned()
        }
        _ => "the arguments cannot be understood".to_owned(),
    };
    format!("{problem}; see `{} --help`", command(arguments))
}

/// The command that was meant, as far as its names were typed.
fn command(arguments: &[OsString]) -> String {
    let root = Cli::command();
    let (mut path, mut command) = (root.get_name().to_owned(), &root);
    for name in arguments.iter().skip(1).filter_map(|argument| argument.to_str()) {
        if let Some(subcommand) = command.find_subcommand(name) {
            command = subcommand;
            path = format!("{path} {}", command.get_name());
        }
    }
    path
}

fn context(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) if !texts.is_empty() => Some(texts.join(", ")),
        _ => None,
    }
}

fn suggest(problem: String, nearest: Option<String>) -> String {
    match nearest {
        Some(nearest) => format!("{problem}; did you mean {nearest}?"),
        None => problem,
    }
}

/// `--name` of `--name=value`.
fn flag_name(argument: &str) -> Option<&str> {
    let name = argument.split('=').next()?;
    name.strip_prefix("--").filter(|rest| is_a_name(rest)).map(|_| name)
}

/// Short and in lower case, as commands and flags are and tokens are not.
fn is_a_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 24 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln";

    fn misuse(arguments: &[&str]) -> String {
        let arguments: Vec<OsString> = ["mintage"].iter().chain(arguments).map(OsString::from).collect();
        sentence(&Cli::try_parse_from(&arguments).unwrap_err(), &arguments)
    }

    #[test]
    fn slips_are_named() {
        assert_eq!(misuse(&["serv"]), "there is no command serv; did you mean serve?; see `mintage --help`");
        assert_eq!(
            misuse(&["serve", "--lsten", "x"]),
            "there is no flag --lsten; did you mean --listen?; see `mintage serve --help`"
        );
        assert_eq!(
            misuse(&["--output", "xml", "serve"]),
            "--output <OUTPUT> has no valid value (it takes text, json); see `mintage serve --help`"
        );
        assert_eq!(
            misuse(&["token", "verify", "x"]),
            "--jwks <FILE|URL> is missing; see `mintage token verify --help`"
        );
        assert_eq!(misuse(&["config"]), "a command is missing; see `mintage config --help`");
        assert_eq!(misuse(&[]), "a command is missing; see `mintage --help`");
    }

    // V-71
    #[test]
    fn a_token_in_the_wrong_place_is_not_repeated() {
        let flag = format!("--{TOKEN}");
        let value = format!("--dev={TOKEN}");
        for arguments in [
            vec![TOKEN],
            vec!["token", TOKEN],
            vec!["token", "decode", "-", TOKEN],
            vec!["token", "decode", &flag],
            vec!["serve", &value],
            vec!["--output", TOKEN, "serve"],
        ] {
            assert!(!misuse(&arguments).contains("eyJ"), "{arguments:?}: {}", misuse(&arguments));
        }
    }
}
