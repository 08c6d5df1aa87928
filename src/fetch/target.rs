//! Which URLs may be asked (V-33).

use std::net::IpAddr;

use url::{Host, Url};

use super::{FetchError, Settings, address::is_public};

/// No URL is longer, in bytes.
const MAX_LENGTH: usize = 2048;

/// A URL that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub(super) url: Url,
    /// Whether its name may lead to any address.
    pub(super) allow_private: bool,
}

impl Target {
    /// Reads a URL. Numbers as hosts are normalised before they are judged, so that `0x7f.1` is 127.0.0.1.
    ///
    /// # Errors
    /// [`FetchError::Forbidden`] for another scheme, for a user name, a password or a fragment, and for an address that is
    /// not public.
    pub fn parse(text: &str, settings: &Settings) -> Result<Self, FetchError> {
        let forbidden = |reason: &str| FetchError::Forbidden(reason.to_owned());
        if text.len() > MAX_LENGTH {
            return Err(forbidden("the URL is too long"));
        }
        let url = Url::parse(text).map_err(|_| forbidden("the text is not a URL"))?;
        match url.scheme() {
            "https" => {}
            "http" if settings.allow_http => {}
            "http" => return Err(forbidden("the URL must be https; jwks_fetch.allow_http can allow http")),
            _ => return Err(forbidden("the URL must be https")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(forbidden("the URL names a user"));
        }
        if url.fragment().is_some() {
            return Err(forbidden("the URL has a fragment"));
        }
        let allow_private = settings.allow_private || is_allowed(&url, &settings.allow_hosts);
        let address: Option<IpAddr> = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) => None,
            None => return Err(forbidden("the URL has no host")),
        };
        if !allow_private && address.is_some_and(|address| !is_public(address)) {
            return Err(forbidden(
                "the URL holds an address that is not public; jwks_fetch.allow_hosts can name it",
            ));
        }
        Ok(Self { url, allow_private })
    }
}

/// Whether the host, or the host with its port, is named.
fn is_allowed(url: &Url, hosts: &[String]) -> bool {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return false };
    let with_port = format!("{host}:{port}");
    hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host) || allowed.eq_ignore_ascii_case(&with_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(allow_hosts: &[&str]) -> Settings {
        Settings {
            allow_hosts: allow_hosts.iter().map(|host| (*host).to_owned()).collect(),
            ..Settings::default()
        }
    }

    // V-33
    #[test]
    fn only_https_to_public_hosts_is_asked() {
        let strict = settings(&[]);
        for text in [
            "",
            "jwks.json",
            "//id.example/jwks.json",
            "http://id.example/jwks.json",
            "file:///etc/passwd",
            "ftp://id.example/x",
            "data:application/json,{}",
            "gopher://id.example/",
            "unix:/run/docker.sock",
            "https://",
            "https://user@id.example/",
            "https://user:password@id.example/",
            "https://:password@id.example/",
            "https://id.example/#fragment",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://0x7f.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://0177.0.0.1/",
            "https://017700000001/",
            "https://0/",
            "https://[::1]/",
            "https://[::]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[fd00:ec2::254]/",
            "https://169.254.169.254/latest/meta-data/",
            "https://10.0.0.1/",
            "https://192.168.1.1:8443/",
            // U+FF11 and others are digits to IDNA.
            "https://\u{FF11}27.0.0.1/",
            "https://127\u{3002}0\u{3002}0\u{3002}1/",
        ] {
            assert!(matches!(Target::parse(text, &strict), Err(FetchError::Forbidden(_))), "{text}");
        }
        for text in ["https://id.example/jwks.json", "https://id.example:8443/a?b=c", "https://1.1.1.1/"] {
            assert!(!Target::parse(text, &strict).unwrap().allow_private, "{text}");
        }
        assert!(Target::parse(&format!("https://id.example/{}", "a".repeat(MAX_LENGTH)), &strict).is_err());
    }

    #[test]
    fn named_hosts_may_be_anywhere() {
        let some = settings(&["keys.internal", "10.0.0.1:8443", "[::1]", "cluster.internal:6443"]);
        for text in [
            "https://keys.internal/a",
            "https://KEYS.internal:1234/a",
            "https://10.0.0.1:8443/a",
            "https://[::1]:1/",
            "https://cluster.internal:6443/",
        ] {
            assert!(Target::parse(text, &some).unwrap().allow_private, "{text}");
        }
        for text in ["https://10.0.0.1/", "https://10.0.0.2:8443/", "http://keys.internal/", "https://[::2]/"]
        {
            assert!(Target::parse(text, &some).is_err(), "{text}");
        }
        for text in
            ["https://x.keys.internal/", "https://cluster.internal/", "https://keys.internal.evil.example/"]
        {
            assert!(!Target::parse(text, &some).unwrap().allow_private, "{text}");
        }
        let all = Settings { allow_private: true, allow_http: true, ..settings(&[]) };
        assert!(Target::parse("http://127.0.0.1:1/", &all).unwrap().allow_private);
        assert!(Target::parse("file:///etc/passwd", &all).is_err());
    }
}
