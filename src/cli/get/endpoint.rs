//! Where the token endpoint is, and whose it is: by the metadata of the issuer (RFC 8414 §3), which must be its own.

use serde::Deserialize;
use url::Url;

use super::Arguments;
use crate::cli::{http, output::Failure};

/// The largest metadata document that is read, in bytes.
const MAX_LENGTH: usize = 256 * 1024;

/// A token endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) url: Url,
    /// Whose it is, when metadata say so.
    pub(super) issuer: Option<String>,
}

/// What is read of the metadata (RFC 8414 §2, RFC 8705 §5).
#[derive(Debug, Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
    #[serde(default)]
    mtls_endpoint_aliases: Aliases,
}

#[derive(Debug, Default, Deserialize)]
struct Aliases {
    token_endpoint: Option<String>,
}

impl Endpoint {
    /// Asks for the metadata of `text` as an issuer, then of the issuer that could have it as its token endpoint. When
    /// there are none, it is a token endpoint of which nothing is known.
    ///
    /// # Errors
    /// When the text is no URL that credentials may be sent to, or the metadata are those of another issuer.
    pub(super) async fn find(
        client: &reqwest::Client,
        text: &str,
        arguments: &Arguments,
        presents_certificate: bool,
    ) -> Result<Self, Failure> {
        let url = checked(text, "--url", arguments.allow_plain_http)?;
        let parent = text.trim_end_matches('/').rsplit_once('/').map(|(parent, _)| parent);
        let parent = parent.filter(|parent| !parent.ends_with('/'));
        for (issuer, is_endpoint) in [(Some(text), false), (parent, true)] {
            let Some(issuer) = issuer else { continue };
            let Some(metadata) = metadata(client, issuer, arguments.allow_plain_http).await? else {
                continue;
            };
            if is_endpoint && metadata.token_endpoint != text {
                continue;
            }
            // RFC 8414 §3.3: otherwise whoever answers here could collect assertions that are meant for another.
            if metadata.issuer != issuer {
                return Err(Failure::failed(format!(
                    "{issuer} says that its issuer is {}; correct --url to be exactly the issuer",
                    printable(&metadata.issuer)
                )));
            }
            let alias = metadata.mtls_endpoint_aliases.token_endpoint.filter(|_| presents_certificate);
            let endpoint = alias.unwrap_or(metadata.token_endpoint);
            let url = checked(&endpoint, "the token endpoint of the metadata", arguments.allow_plain_http)?;
            return Ok(Self { url, issuer: Some(metadata.issuer) });
        }
        Ok(Self { url, issuer: None })
    }
}

/// A URL that credentials may be sent to: https, or plain HTTP that does not leave this host.
fn checked(text: &str, what: &str, allow_plain_http: bool) -> Result<Url, Failure> {
    let misused = |problem: &str| Failure::misused(format!("{what} {problem}"));
    let url = Url::parse(text).map_err(|_| misused("is no URL; give one such as https://id.example"))?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(misused("has a user or a fragment; leave them out"));
    }
    let is_local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_local || allow_plain_http => Ok(url),
        "http" => {
            Err(misused("is plain HTTP to another host; use https, or --allow-plain-http within a mesh"))
        }
        _ => Err(misused("is no https URL; give one such as https://id.example")),
    }
}

/// The metadata at either place; `None` when neither answers with some.
async fn metadata(
    client: &reqwest::Client,
    issuer: &str,
    allow_plain_http: bool,
) -> Result<Option<Metadata>, Failure> {
    let url = checked(issuer, "--url", allow_plain_http)?;
    if url.query().is_some() {
        return Ok(None);
    }
    let path = url.path().trim_end_matches('/');
    for place in [
        // RFC 8414 §3.1 puts it between host and path, OpenID Connect Discovery 1.0 §4 behind both.
        format!("/.well-known/oauth-authorization-server{path}"),
        format!("{path}/.well-known/openid-configuration"),
    ] {
        let mut url = url.clone();
        url.set_path(&place);
        let response = client.get(url.clone()).send().await.map_err(|error| {
            Failure::failed(format!(
                "{url} does not answer ({}); start the server, or correct --url",
                http::innermost(&error)
            ))
        })?;
        if response.status() == reqwest::StatusCode::OK {
            let body = http::body(response, MAX_LENGTH).await;
            let body = body.map_err(|problem| {
                Failure::failed(format!("the answer of {url} {problem}; correct --url"))
            })?;
            if let Ok(metadata) = serde_json::from_slice(&body) {
                return Ok(Some(metadata));
            }
        }
    }
    Ok(None)
}

/// What a stranger wrote, without what could steer a terminal, and not at any length.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_over_tls_or_nowhere() {
        for url in [
            "https://id.example",
            "https://id.example/a/token?x=y",
            "http://localhost:8000",
            "http://127.0.0.2/t",
            "http://[::1]:1/",
        ] {
            assert!(checked(url, "--url", false).is_ok(), "{url}");
        }
        for url in ["http://id.example", "http://localhost.example/", "http://10.0.0.1/"] {
            assert!(checked(url, "--url", false).is_err(), "{url}");
            assert!(checked(url, "--url", true).is_ok(), "{url}");
        }
        for url in [
            "",
            "id.example",
            "ftp://id.example/",
            "https://u:canary@id.example/",
            "https://id.example/#x",
            "file:///etc/passwd",
        ] {
            let failure = checked(url, "--url", true).unwrap_err();
            assert!(!format!("{failure:?}").contains("canary"), "V-71");
        }
    }
}
