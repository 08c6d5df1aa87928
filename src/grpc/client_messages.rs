//! The messages of `mintage.admin.v1.ClientService`, done by [`ClientAdmin`]: converted, called, converted back.
//!
//! Nothing here asks who calls. The service in front of it does; the command line on the server's host is the operator.

use std::sync::Arc;

use prost_types::Timestamp as PbTimestamp;
use serde_json::value::RawValue;

use super::{
    client_authentication::non_empty,
    pb::admin as pb,
    time::{from_pb_duration, to_pb_duration, to_pb_timestamp},
};
use crate::{
    admin::{
        AdminError, ClientAdmin,
        clients::{ClientUpdate, CreatedClient, NewClient, RegisteredClient},
        list::ListClients,
        mask::Mask,
        secrets::{NewSecret, SecretInfo},
    },
    clock::Timestamp,
    jose::json::Members,
    oauth::client::{ClientRegistration, FederatedSubject},
    secret::Secret,
};

/// The methods of the service as functions of their messages.
#[derive(Clone, Debug)]
pub struct ClientMessages(pub Arc<ClientAdmin>);

impl ClientMessages {
    /// As the contract says.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn get(&self, message: pb::GetClientRequest) -> Result<pb::GetClientResponse, AdminError> {
        let client = self.0.get(&message.client_id).await?;
        Ok(pb::GetClientResponse { client: Some(to_pb(client)) })
    }

    /// As the contract says.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn list(&self, message: pb::ListClientsRequest) -> Result<pb::ListClientsResponse, AdminError> {
        let pb::ListClientsRequest { page_size, page_token, filter, order_by } = message;
        let page = self.0.list(&ListClients { page_size, page_token, filter, order_by }).await?;
        let clients = page.clients.into_iter().map(to_pb).collect();
        Ok(pb::ListClientsResponse { clients, next_page_token: page.next_page_token })
    }

    /// As the contract says.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn create(
        &self,
        message: pb::CreateClientRequest,
    ) -> Result<pb::CreateClientResponse, AdminError> {
        let secret = NewSecret {
            chosen: non_empty(message.client_secret).map(Secret::new),
            not_before: None,
            expires_at: to_instant("secret_expire_time", message.secret_expire_time)?,
        };
        let new = NewClient {
            registration: to_registration(message.client.unwrap_or_default())?,
            secret,
            request_id: non_empty(message.request_id),
            validate_only: message.validate_only,
        };
        let CreatedClient { client, secret, secret_id, repeated } = self.0.create(new).await?;
        Ok(pb::CreateClientResponse {
            client: Some(to_pb(client)),
            client_secret: secret.map(|secret| secret.expose().clone()).unwrap_or_default(),
            secret_id: secret_id.unwrap_or_default(),
            repeated_request: repeated,
        })
    }

    /// As the contract says.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn update(
        &self,
        message: pb::UpdateClientRequest,
    ) -> Result<pb::UpdateClientResponse, AdminError> {
        let client = message.client.unwrap_or_default();
        let paths = message.update_mask.map(|mask| mask.paths).filter(|paths| !paths.is_empty());
        let update = ClientUpdate {
            etag: non_empty(client.etag.clone()),
            registration: to_registration(client)?,
            mask: paths.map(|paths| Mask::parse(paths.iter().map(String::as_str))).transpose()?,
            validate_only: message.validate_only,
        };
        let client = self.0.update(&update).await?;
        Ok(pb::UpdateClientResponse { client: Some(to_pb(client)) })
    }

    /// As the contract says.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn delete(
        &self,
        message: pb::DeleteClientRequest,
    ) -> Result<pb::DeleteClientResponse, AdminError> {
        let etag = non_empty(message.etag);
        self.0.delete(&message.client_id, etag.as_deref(), message.validate_only).await?;
        Ok(pb::DeleteClientResponse {})
    }

    /// As the contract says.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn add_secret(
        &self,
        message: pb::AddClientSecretRequest,
    ) -> Result<pb::AddClientSecretResponse, AdminError> {
        let new = NewSecret {
            chosen: non_empty(message.client_secret).map(Secret::new),
            not_before: to_instant("not_before_time", message.not_before_time)?,
            expires_at: to_instant("expire_time", message.expire_time)?,
        };
        let (info, secret) = self.0.add_secret(&message.client_id, &new).await?;
        Ok(pb::AddClientSecretResponse {
            secret: Some(to_pb_secret(info)),
            client_secret: secret.map(|secret| secret.expose().clone()).unwrap_or_default(),
        })
    }

    /// As the contract says.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn list_secrets(
        &self,
        message: pb::ListClientSecretsRequest,
    ) -> Result<pb::ListClientSecretsResponse, AdminError> {
        let secrets = self.0.list_secrets(&message.client_id).await?;
        Ok(pb::ListClientSecretsResponse { secrets: secrets.into_iter().map(to_pb_secret).collect() })
    }

    /// As the contract says.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn retire_secret(
        &self,
        message: pb::RetireClientSecretRequest,
    ) -> Result<pb::RetireClientSecretResponse, AdminError> {
        let at = to_instant("expire_time", message.expire_time)?;
        let info = self.0.retire_secret(&message.client_id, &message.secret_id, at).await?;
        Ok(pb::RetireClientSecretResponse { secret: Some(to_pb_secret(info)) })
    }

    /// As the contract says.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn revoke_tokens(
        &self,
        message: pb::RevokeClientTokensRequest,
    ) -> Result<pb::RevokeClientTokensResponse, AdminError> {
        let until = to_instant("issued_until_time", message.issued_until_time)?;
        let until = self.0.revoke_tokens(&message.client_id, until).await?;
        Ok(pb::RevokeClientTokensResponse { issued_until_time: Some(to_pb_timestamp(until)) })
    }
}

/// The members of a client as they were sent; empty ones count as left out.
///
/// # Errors
/// [`AdminError::InvalidArgument`] for what is no JSON or no lifetime.
pub fn to_registration(client: pb::Client) -> Result<ClientRegistration, AdminError> {
    let claims = object("claims_json", &client.claims_json)?.map_or_else(Vec::new, |claims| {
        claims.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    });
    object("jwks_json", &client.jwks_json)?;
    let jwks = String::from_utf8(client.jwks_json).ok().filter(|json| !json.is_empty());
    let jwks = jwks.and_then(|json| RawValue::from_string(json).ok());
    let federated = client.federated.into_iter();
    let lifetime = client
        .access_token_lifetime
        .map(|lifetime| {
            from_pb_duration(lifetime)
                .ok_or_else(|| AdminError::invalid("access_token_lifetime", "it must not be negative"))
        })
        .transpose()?;
    Ok(ClientRegistration {
        client_id: client.client_id,
        client_name: non_empty(client.client_name),
        secret: None,
        token_endpoint_auth_method: non_empty(client.token_endpoint_auth_method),
        grant_types: client.grant_types.map(|grants| grants.values),
        scope: non_empty(client.scope),
        audiences: Some(client.audiences).filter(|audiences| !audiences.is_empty()),
        access_token_signing_alg: non_empty(client.access_token_signing_alg),
        access_token_lifetime: lifetime,
        introspect: non_empty(client.introspect),
        enabled: client.enabled,
        profile: non_empty(client.profile),
        token_endpoint_auth_signing_alg: client.token_endpoint_auth_signing_alg,
        jwks,
        jwks_uri: non_empty(client.jwks_uri),
        tls_client_auth_subject_dn: non_empty(client.tls_client_auth_subject_dn),
        tls_client_auth_san_dns: non_empty(client.tls_client_auth_san_dns),
        tls_client_auth_san_uri: non_empty(client.tls_client_auth_san_uri),
        tls_client_auth_san_ip: non_empty(client.tls_client_auth_san_ip),
        tls_client_auth_san_email: non_empty(client.tls_client_auth_san_email),
        spiffe_id: non_empty(client.spiffe_id),
        federated: federated
            .map(|pb::FederatedSubject { issuer, subject }| FederatedSubject { issuer, subject })
            .collect(),
        tls_client_certificate_bound_access_tokens: client.tls_client_certificate_bound_access_tokens,
        dpop_bound_access_tokens: client.dpop_bound_access_tokens,
        claims,
    })
}

/// A member that is a JSON object; empty means that it was left out.
fn object<'a>(member: &'static str, json: &'a [u8]) -> Result<Option<Members<'a>>, AdminError> {
    if json.is_empty() {
        return Ok(None);
    }
    Members::parse(json)
        .map(Some)
        .map_err(|_| AdminError::invalid(member, "it must be a JSON object whose names are unique"))
}

fn to_pb(client: RegisteredClient) -> pb::Client {
    let RegisteredClient { registration, stored } = client;
    let source = if stored.is_some() { pb::ClientSource::Store } else { pb::ClientSource::Configuration };
    let claims_json = claims_json(&registration);
    let (create_time, update_time, etag) = match stored {
        Some(stored) => (Some(stored.created_at), Some(stored.updated_at), stored.etag),
        None => (None, None, String::new()),
    };
    pb::Client {
        client_id: registration.client_id,
        client_name: registration.client_name.unwrap_or_default(),
        token_endpoint_auth_method: registration.token_endpoint_auth_method.unwrap_or_default(),
        grant_types: registration.grant_types.map(|values| pb::GrantTypes { values }),
        scope: registration.scope.unwrap_or_default(),
        audiences: registration.audiences.unwrap_or_default(),
        access_token_signing_alg: registration.access_token_signing_alg.unwrap_or_default(),
        access_token_lifetime: registration.access_token_lifetime.map(to_pb_duration),
        introspect: registration.introspect.unwrap_or_default(),
        enabled: Some(registration.enabled.unwrap_or(true)),
        claims_json,
        profile: registration.profile.unwrap_or_default(),
        token_endpoint_auth_signing_alg: registration.token_endpoint_auth_signing_alg,
        jwks_json: registration.jwks.map(|jwks| jwks.get().as_bytes().to_vec()).unwrap_or_default(),
        jwks_uri: registration.jwks_uri.unwrap_or_default(),
        tls_client_auth_subject_dn: registration.tls_client_auth_subject_dn.unwrap_or_default(),
        tls_client_auth_san_dns: registration.tls_client_auth_san_dns.unwrap_or_default(),
        tls_client_auth_san_uri: registration.tls_client_auth_san_uri.unwrap_or_default(),
        tls_client_auth_san_ip: registration.tls_client_auth_san_ip.unwrap_or_default(),
        tls_client_auth_san_email: registration.tls_client_auth_san_email.unwrap_or_default(),
        spiffe_id: registration.spiffe_id.unwrap_or_default(),
        federated: registration
            .federated
            .into_iter()
            .map(|FederatedSubject { issuer, subject }| pb::FederatedSubject { issuer, subject })
            .collect(),
        tls_client_certificate_bound_access_tokens: registration.tls_client_certificate_bound_access_tokens,
        dpop_bound_access_tokens: registration.dpop_bound_access_tokens,
        create_time: create_time.map(to_pb_timestamp),
        update_time: update_time.map(to_pb_timestamp),
        etag,
        source: source.into(),
    }
}

/// The claims as one JSON object, each value as it will be signed; nothing when there are none.
fn claims_json(registration: &ClientRegistration) -> Vec<u8> {
    if registration.claims.is_empty() {
        return Vec::new();
    }
    let members: Vec<String> = registration
        .claims
        .iter()
        .map(|(name, value)| format!("{}:{}", serde_json::Value::from(name.as_str()), value.get()))
        .collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

fn to_pb_secret(info: SecretInfo) -> pb::ClientSecretMetadata {
    pb::ClientSecretMetadata {
        secret_id: info.secret_id,
        create_time: Some(to_pb_timestamp(info.created_at)),
        not_before_time: info.not_before.map(to_pb_timestamp),
        expire_time: info.expires_at.map(to_pb_timestamp),
        last_used_time: info.last_used_at.map(to_pb_timestamp),
    }
}

pub(super) fn to_instant(
    member: &'static str,
    time: Option<PbTimestamp>,
) -> Result<Option<Timestamp>, AdminError> {
    /// 9999-12-31, the last day of `google.protobuf.Timestamp`.
    const LAST: u64 = 253_402_300_799;

    let Some(time) = time else { return Ok(None) };
    match u64::try_from(time.seconds) {
        Ok(seconds) if seconds <= LAST => Ok(Some(Timestamp::from_seconds(seconds))),
        _ => Err(AdminError::invalid(member, "it must lie in the years 1970 to 9999")),
    }
}
