//! What is wrong with a configuration, and where: every problem on a line of its own, each with its remedy.

use std::{fmt, path::PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The default of the setting.
    Default,
    /// The built-in demonstration values.
    Dev,
    /// A line of a TOML file, counted from 1.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A command line flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Dev => f.write_str("--dev"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong.
///
/// Displays as `ORIGIN: NAME: PROBLEM`, where the problem also says what to do: `mintage.toml:12: clients[0].scope: ...`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where the value came from; [`Origin::Default`] when there is none.
    pub origin: Origin,
    /// The setting or member; empty when the place says it all.
    pub name: String,
    /// What is wrong and what to do. Never contains a secret.
    pub text: String,
}

impl Problem {
    pub(super) fn new(origin: Origin, name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { origin, name: name.into(), text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !matches!(self.origin, Origin::Default) {
            write!(f, "{}: ", self.origin)?;
        }
        if !self.name.is_empty() {
            write!(f, "{}: ", self.name)?;
        }
        f.write_str(&self.text)
    }
}

impl std::error::Error for Problem {}

/// A file that the configuration names, and where it does so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// The file.
    pub path: PathBuf,
    /// The setting or member that names it.
    name: String,
    origin: Origin,
}

impl NamedFile {
    /// The file that `name` names at `origin`.
    pub fn new(path: impl Into<PathBuf>, name: impl Into<String>, origin: Origin) -> Self {
        Self { path: path.into(), name: name.into(), origin }
    }

    /// What is wrong with what it holds, and what to do.
    pub fn problem(&self, text: impl fmt::Display) -> Problem {
        Problem::new(self.origin.clone(), self.name.as_str(), format!("{}: {text}", self.path.display()))
    }
}

/// Everything that is wrong with a configuration, in the order of the lines; never empty.
///
/// Displays one problem per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<Problem>);

impl ConfigErrors {
    /// `Ok` when there is no problem.
    pub(super) fn unless_empty(mut problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort();
        problems.dedup();
        Err(Self(problems))
    }

    pub(super) fn one(problem: Problem) -> Self {
        Self(vec![problem])
    }

    /// The problems.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
