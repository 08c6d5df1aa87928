//! Who can vouch for clients under these settings, and what a client lacks whom nobody can.

use super::proof::{TrustDomain, TrustedIssuer};
use crate::oauth::{
    client::{Client, TokenEndpointAuthMethod},
    grant::GrantType,
};

/// The names of those who are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Vouchers {
    issuers: Vec<Trusted>,
    /// Those with keys of JWT-SVIDs.
    trust_domains: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Trusted {
    issuer: String,
    has_conditions: bool,
}

impl Vouchers {
    pub(super) fn of(issuers: &[TrustedIssuer], trust_domains: &[TrustDomain]) -> Self {
        let with_keys = trust_domains.iter().filter(|domain| domain.jwt_bundle.is_some());
        Self {
            issuers: issuers
                .iter()
                .map(|TrustedIssuer { issuer, conditions, .. }| Trusted {
                    issuer: issuer.clone(),
                    has_conditions: !conditions.is_empty(),
                })
                .collect(),
            trust_domains: with_keys.map(|domain| domain.name.clone()).collect(),
        }
    }

    /// Why nobody could vouch for the client: a member, and what to do about it.
    pub(super) fn obstacle(&self, client: &Client) -> Option<(&'static str, String)> {
        for subject in &client.proof.federated {
            let Some(trusted) = self.issuers.iter().find(|trusted| trusted.issuer == subject.issuer) else {
                let text = format!(
                    "names the issuer {:?}, which is not trusted; add a [[trusted_issuers]] table for it",
                    subject.issuer
                );
                return Some(("federated", text));
            };
            // Every customer of a cloud or CI provider has a subject there.
            if !trusted.has_conditions && subject.subject.bytes().all(|byte| byte == b'*') {
                let text = format!(
                    "lets in every subject of {:?}; write what the right ones have in common, or give the issuer conditions",
                    subject.issuer
                );
                return Some(("federated", text));
            }
        }
        if client.grant_types.contains(&GrantType::JwtBearer) && client.proof.federated.is_empty() {
            let text = "names the jwt-bearer grant, which needs a subject of a trusted issuer; set federated, or take the grant away";
            return Some(("grant_types", text.to_owned()));
        }
        if client.token_endpoint_auth_method == Some(TokenEndpointAuthMethod::SpiffeJwt) {
            return self.obstacle_of_workload(client);
        }
        None
    }

    fn obstacle_of_workload(&self, client: &Client) -> Option<(&'static str, String)> {
        let domain = client.proof.workloads.as_ref()?.trust_domain();
        if self.trust_domains.iter().any(|known| known == domain) {
            return None;
        }
        let text = format!(
            "needs the keys of {domain}; set jwt_bundle_file or jwt_bundle_uri in [spiffe.trust_domains.{domain:?}]"
        );
        Some(("token_endpoint_auth_method", text))
    }
}
