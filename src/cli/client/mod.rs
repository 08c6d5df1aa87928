//! `mintage client`: registered clients, straight on the store or through a running server.
//!
//! - `backend`: where a command does its work
//! - `members`: the members of a client as flags
//! - `secret`: `mintage client secret`
//! - `tokens`: `mintage client revoke-tokens` and `mintage client explain`
//! - `instant`: times as text
//! - `show`: clients and secrets as text and JSON

mod backend;
pub(super) mod instant;
mod members;
mod secret;
mod show;
mod tokens;

use clap::{Args, Subcommand};
use prost_types::FieldMask;

use self::{
    backend::{Backend, Target},
    members::{Changes, Members},
};
use super::{
    output::{Failure, Report},
    store::in_runtime,
};
use crate::grpc::pb::admin as pb;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Register a client; prints its secret, if it has one, this once
    Create(Box<Create>),
    /// List the clients of the store
    List(List),
    /// Show one client and its secrets, which are never shown themselves
    Show(Show),
    /// Change members of a client; others stay as they are
    Update(Box<Update>),
    /// Delete a client; its tokens are revoked
    Delete(Delete),
    /// Revoke every token of a client
    RevokeTokens(tokens::RevokeTokens),
    /// Say what a token for a client would say, and which rule decides each part of it
    Explain(tokens::Explain),
    /// Add, list or retire secrets of a client
    #[command(
        subcommand,
        after_help = "Example:\n  mintage client secret add billing",
        disable_help_subcommand = true
    )]
    Secret(secret::Command),
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  mintage client create --client-id billing --scope \"read write\"\n  mintage client create --client-id operator --admin\n  mintage client create --client-id billing --scope read --auth-method private_key_jwt --jwks-file jwks.json"
)]
pub(super) struct Create {
    /// Its identifier; left out, one is made
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    #[command(flatten)]
    members: Members,
    /// Grant it the scope mintage:admin, which opens the admin services
    #[arg(long)]
    admin: bool,
    /// Register it disabled
    #[arg(long)]
    disabled: bool,
    /// File with a secret that somebody chose, - for standard input; left out, one is made
    #[arg(long, value_name = "FILE")]
    secret_file: Option<String>,
    /// When the secret ends: a duration from now such as 90d, or an instant such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Makes the command repeatable: repeated with the same text, it registers nothing more
    #[arg(long, value_name = "TEXT")]
    request_id: Option<String>,
    /// Only say whether it would be done
    #[arg(long)]
    validate_only: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  mintage client list --filter 'enabled = true AND client_id = \"bill*\"'")]
pub(super) struct List {
    /// Which ones: enabled = true, client_id = "billing", client_id = "bill*", joined by AND
    #[arg(long, default_value = "", hide_default_value = true)]
    filter: String,
    /// client_id or create_time, followed by " desc" for the other direction
    #[arg(long, default_value = "", hide_default_value = true)]
    order_by: String,
    /// At most so many: 1 to 1000 [default: 50]
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "COUNT")]
    page_size: i32,
    /// Where the list before ended, as it was printed
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TOKEN")]
    page_token: String,
    #[command(flatten)]
    target: Target,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  mintage client show billing")]
pub(super) struct Show {
    /// Which client
    client_id: String,
    #[command(flatten)]
    target: Target,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  mintage client update billing --scope \"read\" --lifetime 5m\n  mintage client update billing --disable"
)]
pub(super) struct Update {
    /// Which client
    client_id: String,
    #[command(flatten)]
    members: Members,
    #[command(flatten)]
    changes: Changes,
    /// Only if it is still in this state, as `show` prints it
    #[arg(long)]
    etag: Option<String>,
    /// Only say whether it would be done
    #[arg(long)]
    validate_only: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  mintage client delete billing")]
pub(super) struct Delete {
    /// Which client
    client_id: String,
    /// Only if it is still in this state, as `show` prints it
    #[arg(long)]
    etag: Option<String>,
    /// Only say whether it would be done
    #[arg(long)]
    validate_only: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(command: Command) -> Result<Report, Failure> {
    in_runtime(async {
        match command {
            Command::Create(arguments) => create(*arguments).await,
            Command::List(arguments) => list(arguments).await,
            Command::Show(arguments) => show(arguments).await,
            Command::Update(arguments) => update(*arguments).await,
            Command::Delete(arguments) => delete(arguments).await,
            Command::RevokeTokens(arguments) => tokens::revoke(arguments).await,
            Command::Explain(arguments) => tokens::explain(arguments).await,
            Command::Secret(command) => secret::run(command).await,
        }
    })
}

async fn create(arguments: Create) -> Result<Report, Failure> {
    let chosen = arguments.secret_file.as_deref().map(secret::read_file).transpose()?;
    let secret_expire_time = arguments.expires.as_deref().map(instant::parse).transpose()?;
    let mut client = arguments.members.client(arguments.client_id.unwrap_or_default())?;
    client.enabled = Some(!arguments.disabled);
    if arguments.admin {
        client.scope = format!("{} {}", client.scope, crate::oauth::bearer::ADMIN).trim().to_owned();
    }
    let request = pb::CreateClientRequest {
        client: Some(client),
        request_id: arguments.request_id.unwrap_or_default(),
        validate_only: arguments.validate_only,
        client_secret: chosen.map(|secret| secret.expose().clone()).unwrap_or_default(),
        secret_expire_time,
    };
    let response = Backend::open(&arguments.target).await?.create(request).await?;
    show::created(&response, arguments.validate_only)
}

async fn list(arguments: List) -> Result<Report, Failure> {
    let List { filter, order_by, page_size, page_token, target } = arguments;
    let filtered = !filter.is_empty();
    let request = pb::ListClientsRequest { page_size, page_token, filter, order_by };
    show::page(&Backend::open(&target).await?.list(request).await?, filtered)
}

async fn show(arguments: Show) -> Result<Report, Failure> {
    let Show { client_id, target } = arguments;
    let mut backend = Backend::open(&target).await?;
    let client = backend.get(pb::GetClientRequest { client_id: client_id.clone() }).await?;
    let client = client.client.unwrap_or_default();
    let secrets = if client.source() == pb::ClientSource::Store {
        backend.list_secrets(pb::ListClientSecretsRequest { client_id }).await?.secrets
    } else {
        Vec::new()
    };
    show::client(&client, Some(&secrets))
}

async fn update(arguments: Update) -> Result<Report, Failure> {
    let mut client = arguments.members.client(arguments.client_id)?;
    let paths = arguments.changes.apply(&arguments.members, &mut client)?;
    client.etag = arguments.etag.unwrap_or_default();
    let method_changed = paths.iter().any(|path| path == "token_endpoint_auth_method");
    let request = pb::UpdateClientRequest {
        client: Some(client),
        update_mask: Some(FieldMask { paths }),
        validate_only: arguments.validate_only,
    };
    let response = Backend::open(&arguments.target).await?.update(request).await?;
    show::updated(&response.client.unwrap_or_default(), method_changed && !arguments.validate_only)
}

async fn delete(arguments: Delete) -> Result<Report, Failure> {
    let Delete { client_id, etag, validate_only, target } = arguments;
    let request = pb::DeleteClientRequest {
        client_id: client_id.clone(),
        etag: etag.unwrap_or_default(),
        validate_only,
    };
    Backend::open(&target).await?.delete(request).await?;
    Ok(show::deleted(&client_id, validate_only))
}
