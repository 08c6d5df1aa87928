//! Clients and their secrets as text and as JSON, with the names of RFC 7591.

use prost_types::Timestamp;
use serde::Serialize;

use super::instant;
use crate::{
    cli::output::{Failure, Report},
    config::duration,
    grpc::{pb::admin as pb, to_registration},
    oauth::client::ClientRegistration,
};

/// A client as JSON: the members of its registration, and what the store knows beside them.
#[derive(Serialize)]
struct ClientJson<'a> {
    #[serde(flatten)]
    registration: ClientRegistration,
    #[serde(skip_serializing_if = "Option::is_none")]
    create_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_time: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    etag: &'a str,
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets: Option<Vec<SecretJson<'a>>>,
}

/// A secret as JSON, without what it is.
#[derive(Serialize)]
struct SecretJson<'a> {
    secret_id: &'a str,
    create_time: Option<String>,
    not_before_time: Option<String>,
    expire_time: Option<String>,
    last_used_time: Option<String>,
}

#[derive(Serialize)]
struct CreatedJson<'a> {
    client: ClientJson<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    client_secret: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    secret_id: &'a str,
    repeated_request: bool,
    validate_only: bool,
}

#[derive(Serialize)]
struct PageJson<'a> {
    clients: Vec<ClientJson<'a>>,
    next_page_token: &'a str,
}

#[derive(Serialize)]
struct AddedJson<'a> {
    #[serde(flatten)]
    secret: SecretJson<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    client_secret: &'a str,
}

/// A client, with its secrets where they are known.
pub(super) fn client(
    client: &pb::Client,
    secrets: Option<&[pb::ClientSecretMetadata]>,
) -> Result<Report, Failure> {
    let mut json = client_json(client)?;
    json.secrets = secrets.map(|secrets| secrets.iter().map(secret_json).collect());
    let mut text = client_text(client);
    if let Some(secrets) = secrets.filter(|secrets| !secrets.is_empty()) {
        text.push_str("secrets\n");
        text.push_str(&secrets_text(secrets));
    }
    Ok(Report { text, json: to_json(&json)? })
}

/// A client that was registered, and its secret.
pub(super) fn created(response: &pb::CreateClientResponse, validate_only: bool) -> Result<Report, Failure> {
    let client = response.client.clone().unwrap_or_default();
    let json = CreatedJson {
        client: client_json(&client)?,
        client_secret: &response.client_secret,
        secret_id: &response.secret_id,
        repeated_request: response.repeated_request,
        validate_only,
    };
    let mut text = client_text(&client);
    if validate_only {
        text.push_str("It would be registered like this; nothing was done.\n");
    } else if response.repeated_request {
        text.push_str(
            "It was registered by an earlier request; its secret was shown then and cannot be shown again.\n",
        );
    } else if !response.client_secret.is_empty() {
        text.push_str(&secret_text(&response.client_secret));
    } else if response.secret_id.is_empty() {
        text.push_str("It has no secret, because the way it proves who it is needs none.\n");
    }
    Ok(Report { text, json: to_json(&json)? })
}

/// A client that was changed.
pub(super) fn updated(client: &pb::Client, method_changed: bool) -> Result<Report, Failure> {
    let mut report = self::client(client, None)?;
    if method_changed {
        report.text.push_str(&format!(
            "Secrets that its method does not use have ended; see: mintage client secret list {}\n",
            client.client_id
        ));
    }
    Ok(report)
}

/// A page of clients, `filtered` or all.
pub(super) fn page(response: &pb::ListClientsResponse, filtered: bool) -> Result<Report, Failure> {
    let ids: Vec<String> = response.clients.iter().map(|client| format!("{:?}", client.client_id)).collect();
    let width = ids.iter().map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    for (id, client) in ids.iter().zip(&response.clients) {
        let enabled = if client.enabled() { "enabled " } else { "disabled" };
        text.push_str(&format!("{id:width$}  {enabled}  {}  {}\n", time(&client.create_time), client.scope));
    }
    if response.clients.is_empty() {
        text.push_str(if filtered {
            "no client matches the filter\n"
        } else {
            "no clients; register one with: mintage client create\n"
        });
    }
    if !response.next_page_token.is_empty() {
        text.push_str(&format!("There are more: --page-token {}\n", response.next_page_token));
    }
    let json = PageJson {
        clients: response.clients.iter().map(client_json).collect::<Result<_, _>>()?,
        next_page_token: &response.next_page_token,
    };
    Ok(Report { text, json: to_json(&json)? })
}

/// A client that was deleted.
pub(super) fn deleted(client_id: &str, validate_only: bool) -> Report {
    let text = if validate_only {
        format!("{client_id:?} would be deleted; nothing was done\n")
    } else {
        format!("{client_id:?} is deleted and its tokens are revoked\n")
    };
    let json = serde_json::json!({ "client_id": client_id, "deleted": !validate_only });
    Report { text, json: json.to_string() }
}

/// A secret that was added or retired; the secret itself if it was made now.
pub(super) fn secret(secret: &pb::ClientSecretMetadata, client_secret: &str) -> Result<Report, Failure> {
    let mut text = secrets_text(std::slice::from_ref(secret));
    if !client_secret.is_empty() {
        text.push_str(&secret_text(client_secret));
    }
    Ok(Report { text, json: to_json(&AddedJson { secret: secret_json(secret), client_secret })? })
}

/// The secrets of a client.
pub(super) fn secrets(secrets: &[pb::ClientSecretMetadata]) -> Result<Report, Failure> {
    let text = if secrets.is_empty() { "no secrets\n".to_owned() } else { secrets_text(secrets) };
    let json: Vec<SecretJson<'_>> = secrets.iter().map(secret_json).collect();
    Ok(Report { text, json: format!("{{\"secrets\":{}}}", to_json(&json)?) })
}

fn client_json(client: &pb::Client) -> Result<ClientJson<'_>, Failure> {
    let registration = to_registration(client.clone())
        .map_err(|error| Failure::failed(format!("the client cannot be printed ({error})")))?;
    Ok(ClientJson {
        registration,
        create_time: client.create_time.as_ref().map(instant::format),
        update_time: client.update_time.as_ref().map(instant::format),
        etag: &client.etag,
        source: match client.source() {
            pb::ClientSource::Configuration => "configuration",
            _ => "store",
        },
        secrets: None,
    })
}

fn secret_json(secret: &pb::ClientSecretMetadata) -> SecretJson<'_> {
    SecretJson {
        secret_id: &secret.secret_id,
        create_time: secret.create_time.as_ref().map(instant::format),
        not_before_time: secret.not_before_time.as_ref().map(instant::format),
        expire_time: secret.expire_time.as_ref().map(instant::format),
        last_used_time: secret.last_used_time.as_ref().map(instant::format),
    }
}

/// One line per member that is set. Debug form keeps what somebody wrote on its line and harmless to a terminal (V-72).
fn client_text(client: &pb::Client) -> String {
    let mut lines = Lines::default();
    lines.add("client_id", format!("{:?}", client.client_id));
    lines.add_written("client_name", &client.client_name);
    lines.add("token_endpoint_auth_method", &client.token_endpoint_auth_method);
    if let Some(grants) = &client.grant_types {
        let none = grants.values.is_empty();
        lines.add("grant_types", if none { "none".to_owned() } else { grants.values.join(" ") });
    }
    lines.add("scope", &client.scope);
    lines.add("audiences", client.audiences.join(" "));
    lines.add("access_token_signing_alg", &client.access_token_signing_alg);
    if let Some(lifetime) = client.access_token_lifetime.and_then(|lifetime| lifetime.try_into().ok()) {
        lines.add("access_token_lifetime", duration::format(lifetime));
    }
    lines.add("introspect", &client.introspect);
    lines.add("enabled", client.enabled().to_string());
    lines.add_proof(client);
    lines.add_json("claims", &client.claims_json);
    if client.source() == pb::ClientSource::Configuration {
        lines.add("source", "configuration file (read-only here)");
    } else {
        lines.add("create_time", time(&client.create_time));
        lines.add("update_time", time(&client.update_time));
        lines.add("etag", &client.etag);
    }
    lines.0
}

/// Names and values, one pair to a line. A value that is empty has none.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl AsRef<str>) {
        let value = value.as_ref();
        if !value.is_empty() {
            self.0.push_str(&format!("{name:26}  {value}\n"));
        }
    }

    /// What somebody wrote, of which nobody checks every character.
    fn add_written(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.add(name, format!("{value:?}"));
        }
    }

    fn add_json(&mut self, name: &str, json: &[u8]) {
        let json = String::from_utf8_lossy(json);
        if !json.is_empty() {
            self.add(name, crate::cli::json_text::pretty(&json));
        }
    }

    fn add_proof(&mut self, client: &pb::Client) {
        self.add("profile", &client.profile);
        self.add("token_endpoint_auth_signing_alg", client.token_endpoint_auth_signing_alg.join(" "));
        self.add_json("jwks", &client.jwks_json);
        for (name, value) in [
            ("jwks_uri", &client.jwks_uri),
            ("tls_client_auth_subject_dn", &client.tls_client_auth_subject_dn),
            ("tls_client_auth_san_dns", &client.tls_client_auth_san_dns),
            ("tls_client_auth_san_uri", &client.tls_client_auth_san_uri),
            ("tls_client_auth_san_ip", &client.tls_client_auth_san_ip),
            ("tls_client_auth_san_email", &client.tls_client_auth_san_email),
            ("spiffe_id", &client.spiffe_id),
        ] {
            self.add_written(name, value);
        }
        for subject in &client.federated {
            self.add("federated", format!("{:?} = {:?}", subject.issuer, subject.subject));
        }
        for (name, bound) in [
            ("tls_client_certificate_bound_access_tokens", client.tls_client_certificate_bound_access_tokens),
            ("dpop_bound_access_tokens", client.dpop_bound_access_tokens),
        ] {
            self.add(name, bound.map(|bound| bound.to_string()).unwrap_or_default());
        }
    }
}

fn secrets_text(secrets: &[pb::ClientSecretMetadata]) -> String {
    let mut text = String::new();
    for secret in secrets {
        let from = secret.not_before_time.as_ref().map(|at| format!("  from {}", instant::format(at)));
        let until = secret.expire_time.as_ref().map(|at| format!("  until {}", instant::format(at)));
        let used = secret.last_used_time.as_ref().map(|at| format!("  last used {}", instant::format(at)));
        text.push_str(&format!(
            "  {}  made {}{}{}{}\n",
            secret.secret_id,
            time(&secret.create_time),
            from.unwrap_or_default(),
            until.unwrap_or_default(),
            used.unwrap_or_else(|| "  not used yet".to_owned())
        ));
    }
    text
}

fn secret_text(secret: &str) -> String {
    format!("{:26}  {secret}\nKeep the secret now; it cannot be shown again.\n", "client_secret")
}

fn time(time: &Option<Timestamp>) -> String {
    time.as_ref().map(instant::format).unwrap_or_default()
}

/// As JSON text.
pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value)
        .map_err(|error| Failure::failed(format!("the answer cannot be printed ({error})")))
}
