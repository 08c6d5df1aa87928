//! `mintage client secret`: several secrets of one client, which overlap while one replaces another.

use std::{
    fs::File,
    io::{self, Read},
};

use clap::{Args, Subcommand};

use super::{
    backend::{Backend, Target},
    instant, show,
};
use crate::{
    cli::output::{Failure, Report},
    grpc::pb::admin as pb,
    secret::Secret,
};

/// A secret has at most 1024 characters; one byte more than that and its newline shows that a file holds something else.
const MAX_SECRET_FILE: u64 = 1024 + 3;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Add a secret; prints it, this once. The others stay valid
    Add(Add),
    /// List the secrets of a client: when they are valid and when they were last used
    List(List),
    /// End a secret, at once or at an instant
    Retire(Retire),
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  mintage client secret add billing --expires 90d")]
pub(in crate::cli) struct Add {
    /// Whose secret
    client_id: String,
    /// From when it is accepted: a duration from now such as 1h, or an instant such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    not_before: Option<String>,
    /// When it ends, likewise [default: it does not]
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// File with a secret that somebody chose, - for standard input; left out, one is made
    #[arg(long, value_name = "FILE")]
    secret_file: Option<String>,
    #[command(flatten)]
    target: Target,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  mintage client secret list billing")]
pub(in crate::cli) struct List {
    /// Whose secrets
    client_id: String,
    #[command(flatten)]
    target: Target,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  mintage client secret retire billing 5f0eKq1Zc_Xb --at 1h")]
pub(in crate::cli) struct Retire {
    /// Whose secret
    client_id: String,
    /// Which one, by the name that `list` prints
    #[arg(allow_hyphen_values = true)]
    secret_id: String,
    /// When it ends: a duration from now such as 1h, or an instant such as 2030-01-31T12:00:00Z [default: at once]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(command: Command) -> Result<Report, Failure> {
    match command {
        Command::Add(arguments) => add(arguments).await,
        Command::List(arguments) => list(arguments).await,
        Command::Retire(arguments) => retire(arguments).await,
    }
}

async fn add(arguments: Add) -> Result<Report, Failure> {
    let chosen = arguments.secret_file.as_deref().map(read_file).transpose()?;
    let request = pb::AddClientSecretRequest {
        client_id: arguments.client_id,
        not_before_time: arguments.not_before.as_deref().map(instant::parse).transpose()?,
        expire_time: arguments.expires.as_deref().map(instant::parse).transpose()?,
        client_secret: chosen.map(|secret| secret.expose().clone()).unwrap_or_default(),
    };
    let response = Backend::open(&arguments.target).await?.add_secret(request).await?;
    show::secret(&response.secret.unwrap_or_default(), &response.client_secret)
}

async fn list(arguments: List) -> Result<Report, Failure> {
    let request = pb::ListClientSecretsRequest { client_id: arguments.client_id };
    show::secrets(&Backend::open(&arguments.target).await?.list_secrets(request).await?.secrets)
}

async fn retire(arguments: Retire) -> Result<Report, Failure> {
    let request = pb::RetireClientSecretRequest {
        client_id: arguments.client_id,
        secret_id: arguments.secret_id,
        expire_time: arguments.at.as_deref().map(instant::parse).transpose()?,
    };
    let response = Backend::open(&arguments.target).await?.retire_secret(request).await?;
    show::secret(&response.secret.unwrap_or_default(), "")
}

/// The secret that a file holds: its text without the newline that editors put at the end.
pub(super) fn read_file(path: &str) -> Result<Secret<String>, Failure> {
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    let read = if path == "-" {
        io::stdin().take(MAX_SECRET_FILE).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(MAX_SECRET_FILE).read_to_end(&mut bytes))
    };
    let refuse = |why: &str| Failure::failed(format!("{path}: {why}"));
    read.map_err(|error| refuse(&format!("cannot be read ({error}); correct the path or the permissions")))?;
    if bytes.len() as u64 == MAX_SECRET_FILE {
        return Err(refuse("holds more than a secret of at most 1024 characters"));
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| refuse("holds something else than text; write the secret as ASCII"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(refuse("is empty; write the secret into it"));
    }
    Ok(Secret::from(text))
}
