//! `mintage config check` and `mintage config show`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    output::{Failure, Report},
    serve,
};
use crate::{
    app,
    clock::{Clock, SystemClock},
    config::{self, Config, Origin},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Report every problem of the configuration
    #[command(after_help = "Example:\n  mintage config check --config mintage.toml")]
    Check(serve::Arguments),
    /// Print every setting with its value and where it came from
    #[command(after_help = "Example:\n  mintage config show --config mintage.toml --output json")]
    Show(serve::Arguments),
}

pub(super) fn run(command: Command) -> Result<Report, Failure> {
    Ok(match command {
        Command::Check(arguments) => check(&config::load(&arguments.into_sources()?)?)?,
        Command::Show(arguments) => show(&config::load(&arguments.into_sources()?)?),
    })
}

fn check(config: &Config) -> Result<Report, Failure> {
    let found = app::check_files(config, SystemClock.now());
    if !found.is_empty() {
        return Err(Failure::of_configuration(found.iter().map(ToString::to_string).collect()));
    }
    let given = config.settings().iter().filter(|setting| setting.origin != Origin::Default).count();
    let clients = config.registrations().len();
    Ok(Report {
        text: format!("ok: {given} settings given, {clients} clients\n"),
        json: json!({ "ok": true, "settings": given, "clients": clients }).to_string(),
    })
}

fn show(config: &Config) -> Report {
    let settings = config.settings();
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let key_width = settings.iter().map(|setting| setting.setting.key.len()).max().unwrap_or(0);
    let value_width =
        settings.iter().map(|setting| value(&setting.value).chars().count()).max().unwrap_or(0).min(48);

    let mut text = String::new();
    for setting in settings {
        let (key, value, origin) = (setting.setting.key, value(&setting.value), &setting.origin);
        text.push_str(&format!("{key:key_width$}  {value:value_width$}  {origin}\n"));
    }
    let clients: Vec<_> =
        config.registrations().map(|(client, origin)| (client.client_id.as_str(), origin)).collect();
    let domains: Vec<_> =
        config.trust_domains.iter().map(|domain| (domain.name.as_str(), &domain.origin)).collect();
    let issuers: Vec<_> =
        config.trusted_issuers.iter().map(|issuer| (issuer.issuer.as_str(), &issuer.origin)).collect();
    for (kind, tables) in [("client", &clients), ("trust_domain", &domains), ("trusted_issuer", &issuers)] {
        for (name, origin) in tables {
            // A client_id may hold any printable character; debug form keeps it on its line and within its quotes.
            let name = format!("{name:?}");
            text.push_str(&format!("{kind:key_width$}  {name:value_width$}  {origin}\n"));
        }
    }

    let settings: Vec<_> = settings
        .iter()
        .map(|setting| {
            json!({
                "key": setting.setting.key,
                "value": setting.value,
                "origin": setting.origin.to_string(),
                "environment": setting.setting.environment_names().collect::<Vec<_>>(),
                "default": setting.setting.default,
                "description": setting.setting.doc,
            })
        })
        .collect();
    let tables = |member: &str, tables: &[(&str, &Origin)]| -> Vec<Value> {
        tables.iter().map(|(name, origin)| json!({ member: name, "origin": origin.to_string() })).collect()
    };
    let json = json!({
        "settings": settings,
        "clients": tables("client_id", &clients),
        "trust_domains": tables("trust_domain", &domains),
        "trusted_issuers": tables("issuer", &issuers),
    });
    Report { text, json: json.to_string() }
}
