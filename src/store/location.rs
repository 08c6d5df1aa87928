//! Where the database is: `sqlite://PATH`, `sqlite::memory:` or `postgres://...`.

use std::{fmt, path::PathBuf};

use tokio_postgres::config::{Host, SslMode};

/// The place of a database. Neither its debug text nor its display text contains a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Location(pub(super) Place);

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Place {
    Memory,
    File(PathBuf),
    Postgres(Box<tokio_postgres::Config>),
}

/// The text names no database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLocation {
    /// Another scheme, or none.
    #[error("it must be sqlite://PATH, sqlite::memory: or postgres://USER:PASSWORD@HOST/DATABASE")]
    Scheme,
    /// The path is missing.
    #[error("it needs a path, such as sqlite:///var/lib/mintage/mintage.db")]
    Path,
    /// The rest of a PostgreSQL URL cannot be read. Only the reason is kept, because the URL holds a password.
    #[error(
        "it is no PostgreSQL URL ({0}); write postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=require, with special characters of the password percent-encoded"
    )]
    Postgres(&'static str),
}

impl Location {
    /// A database that ends with the process.
    pub const MEMORY: Self = Self(Place::Memory);

    /// Reads the text of the setting `database_url`.
    ///
    /// # Errors
    /// [`InvalidLocation`]; never with a password.
    pub fn parse(text: &str) -> Result<Self, InvalidLocation> {
        if text == "sqlite::memory:" {
            return Ok(Self::MEMORY);
        }
        if let Some(path) = text.strip_prefix("sqlite://") {
            let is_usable = !path.is_empty() && !path.ends_with('/') && !path.contains(['?', '#', '\0']);
            return if is_usable { Ok(Self(Place::File(path.into()))) } else { Err(InvalidLocation::Path) };
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return postgres(text).map(|config| Self(Place::Postgres(Box::new(config))));
        }
        Err(InvalidLocation::Scheme)
    }

    /// Whether no other process can ever see what is kept there.
    pub const fn is_private(&self) -> bool {
        matches!(self.0, Place::Memory)
    }

    /// Whether it is an SQLite database.
    pub const fn is_sqlite(&self) -> bool {
        !matches!(self.0, Place::Postgres(_))
    }

    /// The file of an SQLite database.
    pub fn file(&self) -> Option<&std::path::Path> {
        match &self.0 {
            Place::File(path) => Some(path),
            Place::Memory | Place::Postgres(_) => None,
        }
    }
}

/// libpq's words for TLS that is verified mean the same here as `require`, because TLS always is.
fn postgres(text: &str) -> Result<tokio_postgres::Config, InvalidLocation> {
    let verified = text.replace("sslmode=verify-full", "sslmode=require");
    let verified = verified.replace("sslmode=verify-ca", "sslmode=require");
    let mut config: tokio_postgres::Config =
        verified.parse().map_err(|_| InvalidLocation::Postgres("it does not parse"))?;
    if config.get_hosts().is_empty() {
        return Err(InvalidLocation::Postgres("the host is missing"));
    }
    if config.get_user().is_none() {
        return Err(InvalidLocation::Postgres("the user is missing"));
    }
    // "prefer" gives in to whoever is in between. Nobody is between two ends of one machine.
    if config.get_ssl_mode() == SslMode::Prefer {
        let mode = if config.get_hosts().iter().all(is_local) { SslMode::Disable } else { SslMode::Require };
        config.ssl_mode(mode);
    }
    Ok(config)
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
        }
        Host::Unix(_) => true,
    }
}

/// What PostgreSQL listens on unless told otherwise.
const DEFAULT_PORT: u16 = 5432;

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = match &self.0 {
            Place::Memory => return f.write_str("sqlite::memory:"),
            Place::File(path) => return write!(f, "sqlite://{}", path.display()),
            Place::Postgres(config) => config,
        };
        f.write_str("postgres://")?;
        for (at, host) in config.get_hosts().iter().enumerate() {
            let separator = if at == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{separator}{name}")?,
                Host::Unix(path) => write!(f, "{separator}{}", path.display())?,
            }
            if let Some(port) = config
                .get_ports()
                .get(at)
                .or(config.get_ports().first())
                .filter(|port| **port != DEFAULT_PORT)
            {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", config.get_dbname().or(config.get_user()).unwrap_or_default())
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read() {
        for (text, shown) in [
            ("sqlite::memory:", "sqlite::memory:"),
            ("sqlite://mintage.db", "sqlite://mintage.db"),
            ("sqlite:///var/lib/mintage.db", "sqlite:///var/lib/mintage.db"),
            ("postgres://u:canary@db.example/m", "postgres://db.example/m"),
            ("postgresql://u@a:1,b:2/m?sslmode=verify-full", "postgres://a:1,b:2/m"),
        ] {
            let location = Location::parse(text).unwrap();
            assert_eq!((location.to_string(), format!("{location:?}")), (shown.to_owned(), shown.to_owned()));
        }
    }

    // V-71
    #[test]
    fn what_cannot_be_read_is_refused_without_the_password() {
        for text in [
            "",
            "mintage.db",
            "sqlite:mintage.db",
            "sqlite://",
            "sqlite://a/",
            "sqlite://a?mode=ro",
            "mysql://u:canary@h/d",
            "postgres://",
            "postgres://u:canary@/d",
            "postgres://h/d",
            "postgres://u:canary%@h:port/d",
            "postgres://u:canary@h/d?sslmode=perhaps",
            "postgres://u:canary@h/d?canary=1",
        ] {
            let error = Location::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{text}: {error}");
        }
    }

    #[test]
    fn tls_is_left_out_on_this_machine_or_on_demand_only() {
        for (url, mode) in [
            ("postgres://u@localhost/d", SslMode::Disable),
            ("postgres://u@127.0.0.1,[::1]/d", SslMode::Disable),
            ("postgres://u@%2Frun%2Fpostgresql/d", SslMode::Disable),
            ("postgres://u@localhost/d?sslmode=require", SslMode::Require),
            ("postgres://u@db.example/d", SslMode::Require),
            ("postgres://u@localhost,db.example/d", SslMode::Require),
            ("postgres://u@db.example/d?sslmode=verify-ca", SslMode::Require),
            ("postgres://u@db.example/d?sslmode=disable", SslMode::Disable),
        ] {
            let Place::Postgres(config) = Location::parse(url).unwrap().0 else { panic!("{url}") };
            assert_eq!(config.get_ssl_mode(), mode, "{url}");
        }
    }
}
