//! Authorization server metadata (RFC 8414 §2, OpenID Connect Discovery 1.0 §3), built from what is really enabled.
//!
//! This server has no browser in front of it: `authorization_endpoint` and the members about ID Tokens are here because
//! typed discovery clients do not start without them. The endpoint answers with an explanation.

use serde::Serialize;

use super::{
    authorization_server::Policy, client::assertion, dpop, grant::GrantType, issuer::Issuer,
    signed_introspection,
};
use crate::jose::KeyRing;

/// The metadata document. `scopes_supported` is left out, since some clients ask for all that is listed.
#[derive(Clone, Debug, Serialize)]
pub struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    introspection_endpoint: String,
    revocation_endpoint: String,
    userinfo_endpoint: String,
    jwks_uri: String,
    /// RFC 7591 §3, when clients may register themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_endpoint: Option<String>,
    grant_types_supported: Vec<&'static str>,
    /// `none`: nothing comes back from the authorization endpoint. The member must be there and must not be empty.
    response_types_supported: [&'static str; 1],
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    /// What assertions may be signed with: never `none` (RFC 8414 §2; CHK-101).
    token_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    introspection_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// RFC 9701 §7
    introspection_signing_alg_values_supported: Vec<&'static str>,
    revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    revocation_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: Vec<&'static str>,
    /// True when left out (OpenID Connect Discovery 1.0 §3), so it is said.
    request_uri_parameter_supported: bool,
    /// RFC 9449 §5.1: none of them symmetric.
    dpop_signing_alg_values_supported: Vec<&'static str>,
    /// RFC 8705 §3.3
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tls_client_certificate_bound_access_tokens: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtls_endpoint_aliases: Option<MtlsEndpointAliases>,
}

/// Where client certificates are asked for (RFC 8705 §5): at the one port, where everything is.
#[derive(Clone, Debug, Serialize)]
struct MtlsEndpointAliases {
    token_endpoint: String,
    introspection_endpoint: String,
    revocation_endpoint: String,
    userinfo_endpoint: String,
}

impl MtlsEndpointAliases {
    fn of(issuer: &Issuer) -> Self {
        Self {
            token_endpoint: issuer.endpoint("/token"),
            introspection_endpoint: issuer.endpoint("/introspect"),
            revocation_endpoint: issuer.endpoint("/revoke"),
            userinfo_endpoint: issuer.endpoint("/userinfo"),
        }
    }
}

impl Metadata {
    /// The methods of client authentication that the document lists.
    pub fn methods(&self) -> &[&'static str] {
        &self.token_endpoint_auth_methods_supported
    }

    /// Whether it says that tokens can be bound to client certificates (RFC 8705 §3.3).
    pub fn binds_to_certificates(&self) -> bool {
        self.tls_client_certificate_bound_access_tokens
    }

    /// The document of a server with this policy, these keys and these grants.
    pub fn new(policy: &Policy, keys: &KeyRing, grants: &[GrantType]) -> Self {
        let issuer = &policy.issuer;
        let methods: Vec<_> = policy.methods.iter().map(|method| method.as_str()).collect();
        let of_assertions: Vec<_> = assertion::METHODS
            .iter()
            .flat_map(|method| method.assertion_algorithms())
            .map(|alg| alg.as_str())
            .collect();
        let signed = signed_introspection::algorithm(policy.signing_alg, keys);
        let published = keys.algorithms().into_iter().filter(|alg| !alg.is_symmetric());
        Self {
            issuer: issuer.as_str().to_owned(),
            authorization_endpoint: issuer.endpoint("/authorize"),
            token_endpoint: issuer.endpoint("/token"),
            introspection_endpoint: issuer.endpoint("/introspect"),
            revocation_endpoint: issuer.endpoint("/revoke"),
            userinfo_endpoint: issuer.endpoint("/userinfo"),
            jwks_uri: issuer.endpoint("/.well-known/jwks.json"),
            registration_endpoint: policy.registration.then(|| issuer.endpoint("/register")),
            grant_types_supported: grants.iter().map(|grant| grant.as_str()).collect(),
            response_types_supported: ["none"],
            token_endpoint_auth_methods_supported: methods.clone(),
            token_endpoint_auth_signing_alg_values_supported: of_assertions.clone(),
            introspection_endpoint_auth_methods_supported: methods.clone(),
            introspection_endpoint_auth_signing_alg_values_supported: of_assertions.clone(),
            introspection_signing_alg_values_supported: signed.iter().map(|alg| alg.as_str()).collect(),
            revocation_endpoint_auth_methods_supported: methods,
            revocation_endpoint_auth_signing_alg_values_supported: of_assertions,
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: published.map(|alg| alg.as_str()).collect(),
            request_uri_parameter_supported: false,
            dpop_signing_alg_values_supported: dpop::algorithms().collect(),
            tls_client_certificate_bound_access_tokens: policy.certificates,
            mtls_endpoint_aliases: policy.certificates.then(|| MtlsEndpointAliases::of(issuer)),
        }
    }
}
