//! What a configured client counts on that other settings must provide: trusted issuers, trust domains, keys that may be
//! fetched. A client of the store that lacks it is found out when it authenticates, since the settings may follow later.

use super::{
    check_proof::check_jwks_uri,
    methods::Methods,
    proof::{JwksFetch, TrustDomain, TrustedIssuer},
};
use crate::oauth::{
    client::{ClientRegistration, TokenEndpointAuthMethod, spiffe::SpiffePattern},
    grant::GrantType,
};

/// The settings that matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Provided<'a> {
    pub(super) methods: &'a Methods,
    pub(super) trusted_issuers: &'a [TrustedIssuer],
    pub(super) trust_domains: &'a [TrustDomain],
    pub(super) jwks_fetch: &'a JwksFetch,
}

impl Provided<'_> {
    /// What the settings lack for a client: the member that counts on it, and what to do.
    pub(super) fn missing(&self, client: &ClientRegistration) -> Vec<(&'static str, String)> {
        let mut missing = Vec::new();
        for subject in &client.federated {
            if !self.trusted_issuers.iter().any(|trusted| trusted.issuer == subject.issuer) {
                let text = format!(
                    "{:?} is no trusted issuer; add a [[trusted_issuers]] table with this issuer, letter for letter",
                    subject.issuer
                );
                missing.push(("federated", text));
            }
        }
        let uses_grant =
            client.grant_types.iter().flatten().any(|grant| grant == GrantType::JwtBearer.as_str());
        if uses_grant && client.federated.is_empty() {
            let text = "names the jwt-bearer grant, which needs a subject of a trusted issuer; set federated, or take the grant away";
            missing.push(("grant_types", text.to_owned()));
        }
        // What is no URL at all is said where every registration is checked.
        if let Some(uri) = &client.jwks_uri
            && uri.starts_with("http://")
            && let Err(text) = check_jwks_uri(uri, self.jwks_fetch)
        {
            missing.push(("jwks_uri", text));
        }
        missing.extend(self.missing_jwt_bundle(client).map(|text| ("token_endpoint_auth_method", text)));
        missing
    }

    /// Whether the trust domain of a client that sends JWT-SVIDs has keys.
    fn missing_jwt_bundle(&self, client: &ClientRegistration) -> Option<String> {
        let method = client.token_endpoint_auth_method.as_deref()?;
        if method != TokenEndpointAuthMethod::SpiffeJwt.as_str() {
            return None;
        }
        let id = client.spiffe_id.as_ref().or(client.tls_client_auth_san_uri.as_ref());
        let pattern = SpiffePattern::parse(id.unwrap_or(&client.client_id)).ok()?;
        let domain = pattern.trust_domain();
        let known = self.trust_domains.iter().any(|known| known.name == domain && known.jwt_bundle.is_some());
        (!known).then(|| {
            format!(
                "needs the keys of {domain}; set jwt_bundle_file or jwt_bundle_uri in [spiffe.trust_domains.{domain:?}]"
            )
        })
    }
}
