//! Settings as they were given, layered: defaults < `--dev` < TOML file < environment < flags.

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use super::{
    clients::LocatedRegistration,
    dev,
    document::Document,
    names,
    problem::{Origin, Problem},
    proof::{TrustDomain, TrustedIssuer},
    proof_tables::Located,
    setting::{SETTINGS, Setting, find},
    sources::{Environment, Sources},
};
use crate::secret::Secret;

/// The text of one setting and who gave it.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// Kept as a secret because some settings are.
    pub(super) text: Secret<String>,
    pub(super) origin: Origin,
}

/// The text of every setting that has one, and the clients, nothing checked.
#[derive(Clone, Debug, Default)]
pub(super) struct RawConfig {
    pub(super) values: BTreeMap<&'static str, Given>,
    pub(super) clients: Vec<LocatedRegistration>,
    pub(super) trust_domains: Vec<Located<TrustDomain>>,
    pub(super) trusted_issuers: Vec<Located<TrustedIssuer>>,
    /// Whether what is missing is really missing, and not merely in an unreadable part of the file.
    pub(super) complete: bool,
}

impl RawConfig {
    /// Puts the layers on top of each other. `file` is what the TOML file says, when there is one.
    pub(super) fn layer(sources: &Sources, file: Option<Document>, problems: &mut Vec<Problem>) -> Self {
        let mut raw = Self { complete: true, ..Self::default() };
        for setting in &SETTINGS {
            raw.give(setting.key, setting.default, Origin::Default);
        }
        if sources.dev {
            raw.give("jwt_secret", Some(dev::JWT_SECRET), Origin::Dev);
            raw.give("reflection.enabled", Some("true"), Origin::Dev);
            raw.give("database_url", Some(dev::DATABASE_URL), Origin::Dev);
            raw.clients = dev::clients();
        }
        if let Some(file) = file {
            raw.complete = file.is_toml;
            raw.clients.extend(file.clients);
            raw.trust_domains = file.trust_domains;
            raw.trusted_issuers = file.trusted_issuers;
            for (setting, text, origin) in file.values {
                raw.values.insert(setting.key, Given { text, origin });
            }
        }
        raw.add_environment(&sources.environment, problems);
        raw.give("listen", sources.listen.as_deref(), Origin::Flag("--listen"));
        if sources.dev && !raw.values.contains_key("issuer") {
            let tls = sources.tls || raw.values.contains_key("tls.cert_file");
            raw.give("issuer", Some(&raw.dev_issuer(tls)), Origin::Dev);
        }
        raw
    }

    fn give(&mut self, key: &'static str, text: Option<&str>, origin: Origin) {
        if let Some(text) = text {
            self.values.insert(key, Given { text: Secret::from(text), origin });
        }
    }

    fn add_environment(&mut self, environment: &Environment, problems: &mut Vec<Problem>) {
        for (variable, text) in environment.iter().filter(|(variable, _)| *variable != CONFIG_VARIABLE) {
            let origin = Origin::Environment(variable.to_owned());
            let setting =
                SETTINGS.iter().find(|setting| setting.environment_names().any(|name| name == variable));
            match (setting, text) {
                (None, _) => problems.push(Problem::new(origin, "", names::unknown_variable(variable))),
                (Some(_), None) => problems.push(Problem::new(origin, "", "must be UTF-8 text")),
                (Some(setting), Some(text)) => self.add_variable(setting, text.clone(), origin, problems),
            }
        }
    }

    /// Some settings have two names; picking a winner silently would hide one half of a change.
    fn add_variable(
        &mut self,
        setting: &'static Setting,
        text: Secret<String>,
        origin: Origin,
        problems: &mut Vec<Problem>,
    ) {
        match self.values.get(setting.key) {
            Some(Given { text: other, origin: Origin::Environment(earlier) }) if *other != text => {
                let problem =
                    format!("differs from {earlier}, which is the same setting; set one of the two");
                problems.push(Problem::new(origin, "", problem));
            }
            _ => {
                self.values.insert(setting.key, Given { text, origin });
            }
        }
    }

    /// The URL that reaches a server on this machine. An unknown port (0) or a wrong address leaves the usual one.
    fn dev_issuer(&self, tls: bool) -> String {
        let listen =
            self.values.get("listen").and_then(|given| given.text.expose().parse::<SocketAddr>().ok());
        let port = listen.map(|address| address.port()).filter(|port| *port != 0).unwrap_or(8000);
        let scheme = if tls { "https" } else { "http" };
        format!("{scheme}://localhost:{port}")
    }

    /// What was given for a setting.
    pub(super) fn get(&self, key: &str) -> Option<&Given> {
        self.values.get(find(key)?.key)
    }
}

/// The variable that names the TOML file.
const CONFIG_VARIABLE: &str = "MINTAGE_CONFIG";

/// The TOML file that the sources name, and who named it.
pub(super) fn config_file(sources: &Sources) -> Option<(&Path, Origin)> {
    let from_flag = sources.config_file.as_deref().map(|path| (path, Origin::Flag("--config")));
    from_flag.or_else(|| {
        let path = sources.environment.get(CONFIG_VARIABLE)?;
        Some((Path::new(path.expose()), Origin::Environment(CONFIG_VARIABLE.to_owned())))
    })
}
