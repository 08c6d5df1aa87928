//! Clients and their secrets as text and as JSON, with the names of RFC 7591.

use prost_types::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::instant;
use crate::{
    cli::output::{Failure, Report},
    config::duration,
    grpc::pb::admin as pb,
};

/// A client as JSON.
#[derive(Serialize)]
struct ClientJson<'a> {
    client_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    client_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    token_endpoint_auth_method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_types: Option<&'a [String]>,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    audiences: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    access_token_signing_alg: &'a str,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token_lifetime: Option<i64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    introspect: &'a str,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<Box<RawValue>>,
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
    let mut json = client_json(client);
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
        client: client_json(&client),
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
    }
    Ok(Report { text, json: to_json(&json)? })
}

/// A page of clients.
pub(super) fn page(response: &pb::ListClientsResponse) -> Result<Report, Failure> {
    let ids: Vec<String> = response.clients.iter().map(|client| format!("{:?}", client.client_id)).collect();
    let width = ids.iter().map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    for (id, client) in ids.iter().zip(&response.clients) {
        let enabled = if client.enabled() { "enabled " } else { "disabled" };
        text.push_str(&format!("{id:width$}  {enabled}  {}  {}\n", time(&client.create_time), client.scope));
    }
    if response.clients.is_empty() {
        text.push_str("no clients; register one with: mintage client create\n");
    }
    if !response.next_page_token.is_empty() {
        text.push_str(&format!("There are more: --page-token {}\n", response.next_page_token));
    }
    let json = PageJson {
        clients: response.clients.iter().map(client_json).collect(),
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

fn client_json(client: &pb::Client) -> ClientJson<'_> {
    let claims = std::str::from_utf8(&client.claims_json).ok().filter(|claims| !claims.is_empty());
    ClientJson {
        client_id: &client.client_id,
        client_name: &client.client_name,
        token_endpoint_auth_method: &client.token_endpoint_auth_method,
        grant_types: client.grant_types.as_ref().map(|grants| grants.values.as_slice()),
        scope: &client.scope,
        audiences: &client.audiences,
        access_token_signing_alg: &client.access_token_signing_alg,
        access_token_lifetime: client.access_token_lifetime.map(|lifetime| lifetime.seconds),
        introspect: &client.introspect,
        enabled: client.enabled(),
        claims: claims.and_then(|claims| RawValue::from_string(claims.to_owned()).ok()),
        create_time: client.create_time.as_ref().map(instant::format),
        update_time: client.update_time.as_ref().map(instant::format),
        etag: &client.etag,
        source: match client.source() {
            pb::ClientSource::Configuration => "configuration",
            _ => "store",
        },
        secrets: None,
    }
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
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{name:26}  {value}\n"));
        }
    };
    line("client_id", &format!("{:?}", client.client_id));
    if !client.client_name.is_empty() {
        line("client_name", &format!("{:?}", client.client_name));
    }
    line("token_endpoint_auth_method", &client.token_endpoint_auth_method);
    if let Some(grants) = &client.grant_types {
        line(
            "grant_types",
            if grants.values.is_empty() { "none".to_owned() } else { grants.values.join(" ") }.as_str(),
        );
    }
    line("scope", &client.scope);
    line("audiences", &client.audiences.join(" "));
    line("access_token_signing_alg", &client.access_token_signing_alg);
    if let Some(lifetime) = client.access_token_lifetime.and_then(|lifetime| lifetime.try_into().ok()) {
        line("access_token_lifetime", &duration::format(lifetime));
    }
    line("introspect", &client.introspect);
    line("enabled", if client.enabled() { "true" } else { "false" });
    let claims = String::from_utf8_lossy(&client.claims_json);
    if !claims.is_empty() {
        line("claims", &crate::cli::json_text::pretty(&claims));
    }
    if client.source() == pb::ClientSource::Configuration {
        line("source", "configuration file (read-only here)");
    } else {
        line("create_time", &time(&client.create_time));
        line("update_time", &time(&client.update_time));
        line("etag", &client.etag);
    }
    text
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
