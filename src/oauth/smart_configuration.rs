//! What SMART App Launch 2.2 wants to know of an authorization server ("Conformance", `.well-known/smart-configuration`):
//! for backend services alone, which is all of SMART that this server does.
//!
//! A client of profile "smart" can be registered at any time, so that the document is always there. `issuer` and `jwks_uri`
//! are left out, as the specification demands of a server without OpenID Connect; the metadata of RFC 8414 have them.

use serde::Serialize;

use super::{client::TokenEndpointAuthMethod, grant::GrantType, issuer::Issuer};
use crate::jose::JwsAlgorithm;

/// The document.
#[derive(Clone, Debug, Serialize)]
pub struct SmartConfiguration {
    token_endpoint: String,
    token_endpoint_auth_methods_supported: [&'static str; 1],
    /// Those that every server of the profile has ("Client Authentication: Asymmetric").
    token_endpoint_auth_signing_alg_values_supported: [&'static str; 2],
    grant_types_supported: [&'static str; 1],
    introspection_endpoint: String,
    revocation_endpoint: String,
    /// There is no authorization endpoint to use it at; the specification wants it said all the same.
    code_challenge_methods_supported: [&'static str; 1],
    capabilities: [&'static str; 3],
}

impl SmartConfiguration {
    /// The document of a server with this issuer.
    pub fn new(issuer: &Issuer) -> Self {
        Self {
            token_endpoint: issuer.endpoint("/token"),
            token_endpoint_auth_methods_supported: [TokenEndpointAuthMethod::PrivateKeyJwt.as_str()],
            token_endpoint_auth_signing_alg_values_supported: [JwsAlgorithm::RS384, JwsAlgorithm::ES384]
                .map(JwsAlgorithm::as_str),
            grant_types_supported: [GrantType::ClientCredentials.as_str()],
            introspection_endpoint: issuer.endpoint("/introspect"),
            revocation_endpoint: issuer.endpoint("/revoke"),
            code_challenge_methods_supported: ["S256"],
            capabilities: ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
        }
    }
}
