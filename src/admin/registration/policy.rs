//! What a client may register for itself: metadata as it is sent, and the policy about it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{RegistrationError, invalid};
use crate::{
    oauth::{bearer::RESERVED_PREFIX, client::ClientRegistration, metadata::Metadata, scope::Scope},
    secret::Secret,
};

/// The method of a client that names none (RFC 7591 §2), which is told so and may send its secret in either way.
pub(super) const DEFAULT_METHOD: &str = "client_secret_basic";

/// Of the methods that the server offers, those that a client may choose for itself.
const METHODS: [&str; 6] = [
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
];

/// The longest `client_name`.
const MAX_NAME: usize = 255;

/// Client metadata as it is sent (RFC 7591 §2). Members that this server does not know are ignored, as the RFC demands;
/// what they might have asked for is not granted.
#[derive(Debug, Default, Deserialize)]
pub struct ClientMetadata {
    /// `client_id`: in an update alone (RFC 7592 §2.2).
    pub client_id: Option<String>,
    /// `client_secret`: in an update alone, and then the present one.
    #[serde(default, deserialize_with = "secret")]
    pub client_secret: Option<Secret<String>>,
    /// `client_name`
    pub client_name: Option<String>,
    /// `redirect_uris`: none, since no grant here redirects.
    pub redirect_uris: Option<Vec<String>>,
    /// `response_types`: none, likewise.
    pub response_types: Option<Vec<String>>,
    /// `token_endpoint_auth_method`
    pub token_endpoint_auth_method: Option<String>,
    /// `grant_types`
    pub grant_types: Option<Vec<String>>,
    /// `scope`; left out: none
    pub scope: Option<String>,
    /// `software_statement` (§2.3), which nobody here vouches for.
    pub software_statement: Option<String>,
    /// `token_endpoint_auth_signing_alg` (OpenID Connect Dynamic Client Registration 1.0 §2)
    pub token_endpoint_auth_signing_alg: Option<String>,
    /// `jwks`
    pub jwks: Option<Box<RawValue>>,
    /// `jwks_uri`
    pub jwks_uri: Option<String>,
    /// `tls_client_auth_subject_dn` (RFC 8705 §2.1.2)
    pub tls_client_auth_subject_dn: Option<String>,
    /// `tls_client_auth_san_dns`
    pub tls_client_auth_san_dns: Option<String>,
    /// `tls_client_auth_san_uri`
    pub tls_client_auth_san_uri: Option<String>,
    /// `tls_client_auth_san_ip`
    pub tls_client_auth_san_ip: Option<String>,
    /// `tls_client_auth_san_email`
    pub tls_client_auth_san_email: Option<String>,
    /// `tls_client_certificate_bound_access_tokens` (RFC 8705 §3.4)
    pub tls_client_certificate_bound_access_tokens: Option<bool>,
    /// `dpop_bound_access_tokens` (RFC 9449 §5.2)
    pub dpop_bound_access_tokens: Option<bool>,
}

/// Makes a registration of metadata, or says which policy it breaks. Whether its members are sound and go together is checked
/// where every registration is.
pub(super) fn judge(
    metadata: &ClientMetadata,
    allowed: &Scope,
    offered: &Metadata,
) -> Result<ClientRegistration, RegistrationError> {
    if metadata.software_statement.is_some() {
        return Err(RegistrationError::UnapprovedSoftwareStatement);
    }
    if metadata.redirect_uris.as_ref().is_some_and(|uris| !uris.is_empty()) {
        return Err(RegistrationError::InvalidRedirectUri);
    }
    if metadata.response_types.as_ref().is_some_and(|types| !types.is_empty()) {
        return Err(invalid(
            "response_types must be left out: no grant here uses the authorization endpoint",
        ));
    }
    let grants = metadata.grant_types.as_deref();
    if grants
        .is_some_and(|grants| grants.iter().any(|grant| grant != "client_credentials") || grants.is_empty())
    {
        return Err(invalid("grant_types must be client_credentials"));
    }
    if metadata
        .client_name
        .as_ref()
        .is_some_and(|name| name.len() > MAX_NAME || name.chars().any(char::is_control))
    {
        return Err(invalid("client_name must be at most 255 bytes without control characters"));
    }
    if metadata.jwks_uri.as_ref().is_some_and(|uri| !uri.starts_with("https://")) {
        return Err(invalid("jwks_uri must be an https URL"));
    }
    if metadata.tls_client_certificate_bound_access_tokens == Some(true) && !offered.binds_to_certificates() {
        return Err(invalid(
            "tls_client_certificate_bound_access_tokens must be left out: no client certificate reaches this server",
        ));
    }
    Ok(ClientRegistration {
        client_name: metadata.client_name.clone(),
        token_endpoint_auth_method: judge_method(metadata, offered)?,
        grant_types: Some(vec!["client_credentials".to_owned()]),
        scope: judge_scope(metadata, allowed)?,
        token_endpoint_auth_signing_alg: metadata.token_endpoint_auth_signing_alg.iter().cloned().collect(),
        jwks: metadata.jwks.clone(),
        jwks_uri: metadata.jwks_uri.clone(),
        tls_client_auth_subject_dn: metadata.tls_client_auth_subject_dn.clone(),
        tls_client_auth_san_dns: metadata.tls_client_auth_san_dns.clone(),
        tls_client_auth_san_uri: metadata.tls_client_auth_san_uri.clone(),
        tls_client_auth_san_ip: metadata.tls_client_auth_san_ip.clone(),
        tls_client_auth_san_email: metadata.tls_client_auth_san_email.clone(),
        tls_client_certificate_bound_access_tokens: metadata.tls_client_certificate_bound_access_tokens,
        dpop_bound_access_tokens: metadata.dpop_bound_access_tokens,
        ..Default::default()
    })
}

fn judge_method(metadata: &ClientMetadata, offered: &Metadata) -> Result<Option<String>, RegistrationError> {
    let asked = &metadata.token_endpoint_auth_method;
    let method = asked.as_deref().unwrap_or(DEFAULT_METHOD);
    let possible: Vec<_> = METHODS.into_iter().filter(|method| offered.methods().contains(method)).collect();
    if !possible.contains(&method) {
        let text = format!("token_endpoint_auth_method must be one of {}", possible.join(", "));
        return Err(invalid(text));
    }
    Ok(asked.clone())
}

fn judge_scope(metadata: &ClientMetadata, allowed: &Scope) -> Result<Option<String>, RegistrationError> {
    let Some(text) = metadata.scope.as_deref().filter(|scope| !scope.is_empty()) else { return Ok(None) };
    let scope = Scope::parse(text).map_err(|error| invalid(error.to_string()))?;
    let refused = scope.tokens().find(|token| token.starts_with(RESERVED_PREFIX) || !allowed.contains(token));
    if let Some(token) = refused {
        let token = token.get(..64).unwrap_or(token);
        return Err(invalid(format!("scope may not contain {token}: nobody passes on more than he has")));
    }
    Ok(Some(scope.as_str().to_owned()))
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Secret<String>>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}
