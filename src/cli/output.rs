//! What a command has to say, as text for people or JSON for programs: results on stdout, errors on stderr.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::ValueEnum;
use serde_json::json;

use crate::config::ConfigErrors;

/// `--output`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// Lines for people
    Text,
    /// One JSON document
    Json,
}

/// The result of a command that did what it was asked to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Complete lines.
    pub(super) text: String,
    /// The same as JSON; empty when only the text makes sense.
    pub(super) json: String,
}

/// Why a command did not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// 1 when it failed, 2 when it was misused.
    code: u8,
    /// One sentence that says what to do next. Contains no token and no secret.
    message: String,
    /// What is wrong in detail, each a sentence of the same kind; as text they are printed instead of the message.
    problems: Vec<String>,
}

impl Failure {
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into(), problems: Vec::new() }
    }

    pub(super) fn misused(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into(), problems: Vec::new() }
    }

    /// A failure with several reasons.
    pub(super) fn with_problems(message: impl Into<String>, problems: Vec<String>) -> Self {
        Self { code: 1, message: message.into(), problems }
    }

    /// What is wrong with the configuration.
    pub(super) fn of_configuration(problems: Vec<String>) -> Self {
        let message = match problems.as_slice() {
            [only] => only.clone(),
            many => format!("the configuration has {} problems; correct each of them", many.len()),
        };
        Self::with_problems(message, problems)
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::of_configuration(errors.problems().iter().map(ToString::to_string).collect())
    }
}

impl Output {
    /// Prints the outcome and makes it the exit code.
    pub(super) fn finish(self, result: Result<Report, Failure>) -> ExitCode {
        match result.and_then(|report| self.print(&report)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                // When stderr is closed there is nobody left to tell; the exit code still does.
                let _ = io::stderr().write_all(self.render(&failure).as_bytes());
                ExitCode::from(failure.code)
            }
        }
    }

    fn print(self, report: &Report) -> Result<(), Failure> {
        let mut text = match self {
            Self::Json if !report.json.is_empty() => report.json.clone(),
            _ => report.text.clone(),
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            // A reader that has seen enough, such as head, is not an error.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(format!(
                "the output cannot be written ({error}); write it somewhere else"
            ))),
            _ => Ok(()),
        }
    }

    fn render(self, failure: &Failure) -> String {
        match self {
            Self::Text if failure.problems.is_empty() => format!("error: {}\n", failure.message),
            Self::Text => failure.problems.iter().map(|problem| format!("error: {problem}\n")).collect(),
            Self::Json if failure.problems.is_empty() => format!("{}\n", json!({ "error": failure.message })),
            Self::Json => format!("{}\n", json!({ "error": failure.message, "problems": failure.problems })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_sentences_or_json() {
        let one = Failure::failed("no \"key\"; add one");
        assert_eq!(Output::Text.render(&one), "error: no \"key\"; add one\n");
        assert_eq!(Output::Json.render(&one), "{\"error\":\"no \\\"key\\\"; add one\"}\n");
        let many = Failure::with_problems("two", vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(Output::Text.render(&many), "error: a\nerror: b\n");
        assert_eq!(Output::Json.render(&many), "{\"error\":\"two\",\"problems\":[\"a\",\"b\"]}\n");
    }
}
