//! JWT-SVIDs: the tokens of SPIFFE workloads (JWT-SVID §3, §4, §5).
//!
//! A workload keeps its SVID and presents it again until it ends, so that nothing is used once here; SVIDs live for
//! minutes.

use super::{check_time, refusal::FederationRefusal};
use crate::{
    clock::Timestamp,
    jose::{
        JwsAlgorithm,
        json::{Members, OneOrMany},
    },
    oauth::{
        client::{Client, spiffe::SpiffeId},
        issuer::Issuer,
    },
};

/// JWT-SVID §2.1: the asymmetric algorithms of RFC 7518, ES512 left out.
pub(super) const ALGORITHMS: [JwsAlgorithm; 8] = [
    JwsAlgorithm::RS256,
    JwsAlgorithm::RS384,
    JwsAlgorithm::RS512,
    JwsAlgorithm::ES256,
    JwsAlgorithm::ES384,
    JwsAlgorithm::PS256,
    JwsAlgorithm::PS384,
    JwsAlgorithm::PS512,
];

/// Checks the claims of an SVID whose signature is of its trust domain, and returns its workload.
pub(super) fn check(
    claims: &Members<'_>,
    own_issuer: &Issuer,
    now: Timestamp,
) -> Result<SpiffeId, FederationRefusal> {
    let subject: String = claims.required("sub").map_err(FederationRefusal::Claims)?;
    // That of a trust domain alone names no workload, and fits no client's pattern (JWT-SVID §3.1).
    let id = SpiffeId::parse(&subject).map_err(|_| FederationRefusal::Subject)?;
    // JWT-SVID §3.2 advises a single audience; with a second one, whoever that is could present the SVID here (V-15).
    let audience: OneOrMany = claims.required("aud").map_err(FederationRefusal::Claims)?;
    if audience.into_vec() != [own_issuer.as_str()] {
        return Err(FederationRefusal::Audience);
    }
    check_time(claims, now)?;
    Ok(id)
}

/// Whether a workload is the client, or one of those that are.
pub(super) fn may_act_as(id: &SpiffeId, client: &Client) -> bool {
    client.proof.workloads.as_ref().is_some_and(|workloads| workloads.matches(id))
}
