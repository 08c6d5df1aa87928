//! Who can vouch for clients under these settings, and what a client lacks whom nobody can.

use super::proof::{TrustDomain, TrustedIssuer};
use crate::oauth::{
    client::{Client, TokenEndpointAuthMethod},
    federation::svid::workloads,
    grant::GrantType,
};

/// The names of those who are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Vouchers {
    issuers: Vec<String>,
    /// Those with keys of JWT-SVIDs.
    trust_domains: Vec<String>,
}

impl Vouchers {
    pub(super) fn of(issuers: &[TrustedIssuer], trust_domains: &[TrustDomain]) -> Self {
        let with_keys = trust_domains.iter().filter(|domain| domain.jwt_bundle.is_some());
        Self {
            issuers: issuers.iter().map(|issuer| issuer.issuer.clone()).collect(),
            trust_domains: with_keys.map(|domain| domain.name.clone()).collect(),
        }
    }

    /// Why nobody could vouch for the client: a member, and what to do about it.
    pub(super) fn obstacle(&self, client: &Client) -> Option<(&'static str, String)> {
        let unknown = client.proof.federated.iter().find(|subject| !self.issuers.contains(&subject.issuer));
        if let Some(subject) = unknown {
            let text = format!(
                "names the issuer {:?}, which is not trusted; add a [[trusted_issuers]] table for it",
                subject.issuer
            );
            return Some(("federated", text));
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
        let Some(workloads) = workloads(client) else {
            let text = "is missing; spiffe_jwt needs a SPIFFE ID such as spiffe://example.org/billing";
            return Some(("spiffe_id", text.to_owned()));
        };
        let domain = workloads.trust_domain();
        if self.trust_domains.iter().any(|known| known == domain) {
            return None;
        }
        let text = format!(
            "needs the keys of {domain}; set jwt_bundle_file or jwt_bundle_uri in [spiffe.trust_domains.{domain:?}]"
        );
        Some(("token_endpoint_auth_method", text))
    }
}
