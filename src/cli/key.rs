//! `mintage key`: the signing keys of the store and their life, whether a server runs or not. Running servers follow
//! within a second. `new-client` alone has nothing to do with the store.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    client::instant,
    new_client,
    output::{Failure, Report},
    store,
};
use crate::{
    admin::{AdminError, SigningKeyAdmin, signing_keys::KeyStatus},
    app,
    clock::Timestamp,
    jose::{KeyState, SigningAlgorithm},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show every key and where it stands
    List(List),
    /// Make a key that nobody learns of yet
    Prepare(Prepare),
    /// Publish a key and decide when it begins to sign
    Activate(Activate),
    /// Keep a key that does not sign yet from ever doing so
    Retire(Retire),
    /// Have the next key take over as soon as every verifier knows it
    Rotate(Rotate),
    /// Seal everything in the store under the first of the master keys
    Rewrap(Rewrap),
    /// Make the key pair of a client that proves itself without a secret
    NewClient(new_client::Arguments),
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  mintage key list --config mintage.toml")]
pub(super) struct List {
    #[command(flatten)]
    store: store::Arguments,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  mintage key prepare ES256")]
pub(super) struct Prepare {
    /// RS256, PS256, ES256, ES384 or EdDSA
    alg: String,
    #[command(flatten)]
    store: store::Arguments,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  mintage key activate NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs\n  mintage key activate NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs --at 7d"
)]
pub(super) struct Activate {
    /// Which key
    #[arg(allow_hyphen_values = true)]
    kid: String,
    /// When: a duration from now such as 7d, or an instant such as 2030-01-31T12:00:00Z; left out, as soon as every verifier
    /// knows it
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Accept that verifiers refuse its tokens until they read the key set again
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    store: store::Arguments,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  mintage key retire NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")]
pub(super) struct Retire {
    /// Which key
    #[arg(allow_hyphen_values = true)]
    kid: String,
    #[command(flatten)]
    store: store::Arguments,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  mintage key rotate\n  mintage key rotate RS256\n  mintage key rotate --compromised NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
)]
pub(super) struct Rotate {
    /// Which algorithms; left out, all that the store has keys for
    algs: Vec<String>,
    /// End all trust in this key at once, and have another take over now if it is the one that signs
    #[arg(long, value_name = "KID", allow_hyphen_values = true, conflicts_with = "algs")]
    compromised: Option<String>,
    #[command(flatten)]
    store: store::Arguments,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Example, with the new master key before the old one in MINTAGE_MASTER_KEY or its file:\n  mintage key rewrap --config mintage.toml"
)]
pub(super) struct Rewrap {
    #[command(flatten)]
    store: store::Arguments,
}

pub(super) fn run(command: Command) -> Result<Report, Failure> {
    match command {
        Command::List(List { store }) => with_keys(&store, async |keys| Ok(report(&keys.list().await?))),
        Command::Prepare(Prepare { alg, store }) => {
            let alg = algorithm(&alg)?;
            with_keys(&store, async |keys| Ok(report(&[keys.prepare(alg).await?])))
        }
        Command::Activate(Activate { kid, at, force, store }) => {
            let at = at.as_deref().map(instant::parse).transpose()?;
            let at = at.map(|at| Timestamp::from_seconds(u64::try_from(at.seconds).unwrap_or(0)));
            with_keys(&store, async |keys| Ok(report(&[keys.activate(&kid, at, force).await?])))
        }
        Command::Retire(Retire { kid, store }) => {
            with_keys(&store, async |keys| Ok(report(&[keys.retire(&kid).await?])))
        }
        Command::Rotate(Rotate { algs, compromised: None, store }) => {
            let algs = algs.iter().map(|alg| algorithm(alg)).collect::<Result<Vec<_>, _>>()?;
            with_keys(&store, async |keys| Ok(report(&keys.rotate_all(&algs).await?)))
        }
        Command::Rotate(Rotate { compromised: Some(kid), store, .. }) => with_keys(&store, async |keys| {
            let (revoked, successor) = keys.revoke(&kid).await?;
            Ok(report(&[Some(revoked), successor].into_iter().flatten().collect::<Vec<_>>()))
        }),
        Command::NewClient(arguments) => new_client::run(&arguments),
        Command::Rewrap(Rewrap { store }) => with_keys(&store, async |keys| {
            let count = keys.reseal().await?;
            Ok(Report {
                text: format!("ok: {count} values are sealed anew under the first master key\n"),
                json: json!({ "resealed": count }).to_string(),
            })
        }),
    }
}

fn with_keys(
    arguments: &store::Arguments,
    command: impl AsyncFnOnce(&SigningKeyAdmin) -> Result<Report, AdminError>,
) -> Result<Report, Failure> {
    let config = arguments.config()?;
    if config.store.location.is_private() {
        return Err(Failure::failed(
            "the store is in memory and ends with its server; set database_url to one that lasts",
        ));
    }
    store::in_runtime(async {
        let keys = app::open_keys(&config).await.map_err(|error| Failure::failed(error.to_string()))?;
        command(&keys).await.map_err(|error| match error.log_detail() {
            Some(cause) => Failure::failed(format!("{error} ({cause})")),
            None => Failure::failed(error.to_string()),
        })
    })
}

fn algorithm(text: &str) -> Result<SigningAlgorithm, Failure> {
    text.parse()
        .ok()
        .filter(|alg: &SigningAlgorithm| !alg.is_symmetric())
        .ok_or_else(|| Failure::misused("the algorithm must be RS256, PS256, ES256, ES384 or EdDSA"))
}

fn report(keys: &[KeyStatus]) -> Report {
    if keys.is_empty() {
        let text = "there are no keys yet; a server makes them when it starts\n".to_owned();
        return Report { text, json: json!({ "keys": [] }).to_string() };
    }
    let json: Vec<Value> = keys.iter().map(to_json).collect();
    Report { text: keys.iter().map(line).collect(), json: json!({ "keys": json }).to_string() }
}

/// The kid, the algorithm and generation, the state, and the instant that says most about it.
fn line(key: &KeyStatus) -> String {
    let instant =
        |what: &str, at: Option<Timestamp>| at.map_or(String::new(), |at| format!("{what} {}", time(at)));
    let note = match key.state {
        KeyState::Prepared | KeyState::Published => instant("signs from", key.active_from),
        KeyState::Active => match key.retired_from {
            Some(at) => instant("signs until", Some(at)),
            None => instant("signs since", key.active_from),
        },
        KeyState::Retired => instant("verifies until", key.unpublished_from),
        KeyState::Destroyed => instant("since", key.destroyed_at.or(key.unpublished_from)),
        KeyState::Revoked => instant("since", key.revoked_at),
    };
    let line = format!(
        "{}  {:<5} {:>3}  {:<9}  {note}",
        key.kid,
        key.alg.as_str(),
        key.generation,
        state(key.state)
    );
    format!("{}\n", line.trim_end())
}

fn to_json(key: &KeyStatus) -> Value {
    json!({
        "kid": key.kid,
        "alg": key.alg.as_str(),
        "generation": key.generation,
        "state": state(key.state),
        "create_time": time(key.created_at),
        "publish_time": key.published_from.map(time),
        "activate_time": key.active_from.map(time),
        "retire_time": key.retired_from.map(time),
        "unpublish_time": key.unpublished_from.map(time),
        "revoke_time": key.revoked_at.map(time),
        "destroy_time": key.destroyed_at.map(time),
    })
}

fn time(at: Timestamp) -> String {
    let seconds = i64::try_from(at.seconds()).unwrap_or(i64::MAX);
    instant::format(&prost_types::Timestamp { seconds, nanos: 0 })
}

const fn state(state: KeyState) -> &'static str {
    match state {
        KeyState::Prepared => "prepared",
        KeyState::Published => "published",
        KeyState::Active => "active",
        KeyState::Retired => "retired",
        KeyState::Destroyed => "destroyed",
        KeyState::Revoked => "revoked",
    }
}
