//! Where settings come from besides the defaults: flags, the environment and the name of a TOML file, as plain values.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use super::setting::{SETTINGS, Setting};
use crate::secret::Secret;

/// Everything [`load`](super::load) starts from. Loading the same sources again reads the file again and nothing else.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--dev`: the demonstration clients and secrets.
    pub dev: bool,
    /// `--tls`: a certificate made for this start, together with `--dev`.
    pub tls: bool,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--config`: the TOML file. Left out, `MINTAGE_CONFIG` names it.
    pub config_file: Option<PathBuf>,
    /// The environment variables.
    pub environment: Environment,
}

/// The environment variables that concern the server. Values are kept as secrets because some are.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `None` stands for a value that is not UTF-8.
    variables: BTreeMap<String, Option<Secret<String>>>,
}

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The variables by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Option<&Secret<String>>)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_ref()))
    }

    /// The value of one variable, when it is set and UTF-8.
    pub(super) fn get(&self, name: &str) -> Option<&Secret<String>> {
        self.variables.get(name)?.as_ref()
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    /// Keeps the variables that concern the server. An empty value counts as not set: that is how container
    /// descriptions leave a variable out.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let mut kept = BTreeMap::new();
        for (name, value) in variables {
            let (Ok(name), value) = (name.into().into_string(), value.into()) else { continue };
            if concerns_the_server(&name) && !value.is_empty() {
                kept.insert(name, value.into_string().ok().map(Secret::new));
            }
        }
        Self { variables: kept }
    }
}

/// Where commands that call a running server find their access token.
pub const TOKEN_VARIABLE: &str = "MINTAGE_TOKEN";

/// Where `mintage token get` finds the secret of its client.
pub const CLIENT_SECRET_VARIABLE: &str = "MINTAGE_CLIENT_SECRET";

/// What commands read themselves. The server has no use for it.
const OF_COMMANDS: [&str; 2] = [TOKEN_VARIABLE, CLIENT_SECRET_VARIABLE];

fn concerns_the_server(name: &str) -> bool {
    if name.starts_with("MINTAGE_") && !OF_COMMANDS.contains(&name) {
        return !is_service_link(name);
    }
    SETTINGS
        .iter()
        .filter_map(|setting: &Setting| setting.original_environment)
        .any(|original| original == name)
}

/// Kubernetes and Docker describe a service called `mintage` to its neighbours in variables such as
/// `MINTAGE_SERVICE_HOST`, `MINTAGE_PORT` and `MINTAGE_PORT_8000_TCP`. They are nobody's settings.
fn is_service_link(name: &str) -> bool {
    let port_number = |(_, rest): (&str, &str)| rest.starts_with(|c: char| c.is_ascii_digit());
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.split_once("_PORT_").is_some_and(port_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(environment: &Environment) -> Vec<&str> {
        environment.iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn keeps_what_concerns_the_server() {
        let environment: Environment = [
            ("PATH", "/bin"),
            ("ISSUER_URL", "https://a.example"),
            ("MINTAGE_LISTN", "x"),
            ("MINTAGE_LOG", ""),
        ]
        .into_iter()
        .collect();
        assert_eq!(names(&environment), ["ISSUER_URL", "MINTAGE_LISTN"]);
    }

    #[test]
    fn service_links_are_no_settings() {
        let environment: Environment = [
            "MINTAGE_SERVICE_HOST",
            "MINTAGE_SERVICE_PORT",
            "MINTAGE_SERVICE_PORT_GRPC",
            "MINTAGE_PORT",
            "MINTAGE_PORT_8000_TCP",
            "MINTAGE_PORT_8000_TCP_ADDR",
            "MINTAGE_OPS_SERVICE_HOST",
        ]
        .map(|name| (name, "tcp://10.0.0.1:8000"))
        .into_iter()
        .collect();
        assert_eq!(names(&environment), [""; 0]);
    }

    // V-71
    #[test]
    fn debug_shows_no_value() {
        let environment: Environment = [("JWT_SECRET", "canary-7c1f")].into_iter().collect();
        assert!(!format!("{environment:?}").contains("canary"));
    }
}
