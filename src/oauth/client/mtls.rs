//! Client authentication by certificate (RFC 8705 §2), also of workloads with an X.509-SVID (X.509-SVID §5).
//!
//! That the sender holds the certificate's key was proven in the handshake, for the leaf alone: only it is ever compared
//! with what is registered, and the rest of the chain serves to build a path (V-20).

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;

use super::{
    CertificateSubject, Client, ClientKeys, TokenEndpointAuthMethod,
    keys::{KeyError, KeySource},
    spiffe::SpiffeId,
};
use crate::{
    certificates::{Authorities, Certificate, PublicKey, Untrusted, x5t_s256},
    clock::Timestamp,
    jose::{JwkSet, base64url, jwk::PublicParameters},
    oauth::error::{CertificateRefusal, ClientRefusal, Error},
    peer::CertificateChain,
    refusal::RefusalReason,
};

/// The authorities whose certificates authenticate clients. Each set can be replaced while requests are served.
#[derive(Debug, Default)]
pub struct CertificateTrust {
    clients: Option<ArcSwap<Authorities>>,
    trust_domains: BTreeMap<String, ArcSwap<Authorities>>,
}

impl CertificateTrust {
    /// Trust in the authorities of tls_client_auth, if there are any, and in those of each trust domain.
    pub fn new(
        clients: Option<Authorities>,
        trust_domains: impl IntoIterator<Item = (String, Authorities)>,
    ) -> Self {
        let trust_domains =
            trust_domains.into_iter().map(|(name, authorities)| (name, ArcSwap::from_pointee(authorities)));
        Self { clients: clients.map(ArcSwap::from_pointee), trust_domains: trust_domains.collect() }
    }

    /// Replaces the authorities of tls_client_auth, where there are any.
    pub fn replace_clients(&self, authorities: Authorities) {
        if let Some(clients) = &self.clients {
            clients.store(authorities.into());
        }
    }

    /// Replaces the authorities of a trust domain that is known.
    pub fn replace_trust_domain(&self, name: &str, authorities: Authorities) {
        if let Some(domain) = self.trust_domains.get(name) {
            domain.store(authorities.into());
        }
    }

    /// tls_client_auth: a path to an authority, and the one registered name (RFC 8705 §2.1).
    fn verify_issued(
        &self,
        client: &Client,
        chain: &CertificateChain,
        now: Timestamp,
    ) -> Result<(), CertificateRefusal> {
        let authorities = self.clients.as_ref().ok_or(CertificateRefusal::NoAuthorities)?;
        let certificate = authorities.load().verify(chain, now)?;
        match &client.proof.certificate_subject {
            Some(subject) if subject.names(&certificate) => Ok(()),
            _ => Err(CertificateRefusal::OtherSubject),
        }
    }

    /// spiffe_x509: a path to an authority of its own trust domain, and the identifier of the client.
    fn verify_svid(
        &self,
        client: &Client,
        chain: &CertificateChain,
        now: Timestamp,
    ) -> Result<(), CertificateRefusal> {
        let read = Certificate::parse(&chain.leaf).map_err(|_| CertificateRefusal::Malformed)?;
        let id = spiffe_id(&read).ok_or(CertificateRefusal::NotAnSvid)?;
        if !client.proof.workloads.as_ref().is_some_and(|workloads| workloads.matches(&id)) {
            return Err(CertificateRefusal::OtherSubject);
        }
        let domain = self.trust_domains.get(id.trust_domain()).ok_or(CertificateRefusal::NoAuthorities)?;
        domain.load().verify(chain, now)?;
        Ok(())
    }
}

/// Verifies that the certificate of a connection is a client's.
#[derive(Debug)]
pub(super) struct CertificateVerifier {
    trust: Arc<CertificateTrust>,
    published: Option<Arc<dyn KeySource>>,
}

impl CertificateVerifier {
    /// A verifier that trusts these authorities. Without `published` no client may have a `jwks_uri`.
    pub(super) fn new(trust: Arc<CertificateTrust>, published: Option<Arc<dyn KeySource>>) -> Self {
        Self { trust, published }
    }

    /// Verifies a certificate, against what is registered for the client's method. A stranger's costs a path too (V-22).
    ///
    /// # Errors
    /// [`Error::InvalidClient`]; [`Error::Busy`] when the keys of the client could not be fetched for all the others that
    /// are.
    pub(super) async fn verify(
        &self,
        client: Option<&Client>,
        chain: &CertificateChain,
        now: Timestamp,
    ) -> Result<(), Error> {
        use TokenEndpointAuthMethod as Method;
        let method = client.and_then(|client| client.token_endpoint_auth_method);
        let verified = match (client, method) {
            (Some(client), Some(Method::TlsClientAuth)) => self.trust.verify_issued(client, chain, now),
            (Some(client), Some(Method::SpiffeX509)) => self.trust.verify_svid(client, chain, now),
            (Some(client), Some(Method::SelfSignedTlsClientAuth)) => {
                self.verify_self_signed(client, chain, now).await?
            }
            _ => {
                let _ = self.trust.clients.as_ref().map(|clients| clients.load().verify(chain, now));
                Err(CertificateRefusal::Client)
            }
        };
        verified.map_err(|refusal| Error::InvalidClient(ClientRefusal::Certificate(refusal)))
    }

    async fn verify_self_signed(
        &self,
        client: &Client,
        chain: &CertificateChain,
        now: Timestamp,
    ) -> Result<Result<(), CertificateRefusal>, Error> {
        let uri = match &client.proof.keys {
            Some(ClientKeys::Registered { keys, .. }) => return Ok(verify_registered(keys, chain, now)),
            Some(ClientKeys::At(uri)) => uri,
            None => return Ok(Err(CertificateRefusal::NotRegistered)),
        };
        let Some(source) = &self.published else { return Ok(Err(CertificateRefusal::KeysUnavailable)) };
        // A certificate that is not in the set may be a new one. Its thumbprint stands for the `kid` that no set has, so that
        // the source looks again, as seldom as it does for any unknown key.
        let thumbprint = x5t_s256(&chain.leaf);
        let mut verified = Err(CertificateRefusal::NotRegistered);
        for kid in [None, Some(&*thumbprint)] {
            verified = match source.keys(uri, kid).await {
                Ok(keys) => verify_registered(&keys, chain, now),
                Err(KeyError::Unavailable(reason)) => {
                    tracing::warn!(client_id = client.client_id.as_str(), %reason, "the keys of a client cannot be had");
                    Err(CertificateRefusal::KeysUnavailable)
                }
                Err(KeyError::Busy { retry_after }) => {
                    return Err(Error::Busy { reason: RefusalReason::Overloaded, retry_after });
                }
            };
            if verified != Err(CertificateRefusal::NotRegistered) {
                break;
            }
        }
        Ok(verified)
    }
}

/// self_signed_tls_client_auth: a registered certificate, or any with a registered key where the key has no certificate
/// (RFC 8705 §2.2). No authority is asked and no signature of the certificate counts; but the certificate itself must
/// allow its use, now and for clients.
fn verify_registered(
    keys: &JwkSet,
    chain: &CertificateChain,
    now: Timestamp,
) -> Result<(), CertificateRefusal> {
    let certificate = Certificate::parse(&chain.leaf).map_err(|_| CertificateRefusal::Malformed)?;
    let key = certificate.public_key.as_ref().map(parameters);
    let registered = keys.certified_keys().any(|(registered, x5c)| match x5c {
        Some(x5c) => x5c == chain.leaf && key.as_ref() == Some(registered),
        None => key.as_ref() == Some(registered),
    });
    if !registered {
        return Err(CertificateRefusal::NotRegistered);
    }
    if !certificate.is_valid_at(now) || !certificate.is_for_clients {
        return Err(CertificateRefusal::NotUsable);
    }
    Ok(())
}

/// The identifier in an X.509-SVID (X.509-SVID §2, §5.2), when the certificate is one of a workload.
fn spiffe_id(certificate: &Certificate) -> Option<SpiffeId> {
    let [uri] = &certificate.uris[..] else { return None };
    let id = SpiffeId::parse(uri).ok().filter(SpiffeId::names_workload)?;
    (!certificate.is_ca && !certificate.signs_certificates).then_some(id)
}

/// The key as a JSON Web Key has it.
fn parameters(key: &PublicKey) -> PublicParameters {
    match key {
        PublicKey::Rsa { n, e } => PublicParameters::Rsa { n: base64url(n), e: base64url(e) },
        PublicKey::Ec { curve, x, y } => {
            PublicParameters::Ec { crv: curve, x: base64url(x), y: base64url(y) }
        }
        PublicKey::Ed25519(x) => PublicParameters::Okp { crv: "Ed25519", x: base64url(x) },
    }
}

impl CertificateSubject {
    /// Whether the certificate has the name. Of several alternative names one suffices (RFC 8705 §2.1.2); a wildcard is
    /// no more than its own text.
    fn names(&self, certificate: &Certificate) -> bool {
        match self {
            Self::SubjectDn { name, .. } => certificate.subject.as_ref() == Some(name),
            Self::SanDns(name) => certificate.dns_names.iter().any(|dns| dns.eq_ignore_ascii_case(name)),
            Self::SanUri(uri) => certificate.uris.contains(uri),
            Self::SanIp(ip) => certificate.addresses.contains(ip),
            Self::SanEmail(email) => certificate.emails.iter().any(|other| is_same_mailbox(email, other)),
        }
    }
}

/// The part before the last `@` is the mail host's business, the host has no case (RFC 5280 §7.5).
fn is_same_mailbox(a: &str, b: &str) -> bool {
    match (a.rsplit_once('@'), b.rsplit_once('@')) {
        (Some((local_a, host_a)), Some((local_b, host_b))) => {
            local_a == local_b && host_a.eq_ignore_ascii_case(host_b)
        }
        _ => false,
    }
}

impl From<Untrusted> for CertificateRefusal {
    fn from(reason: Untrusted) -> Self {
        Self::Untrusted(reason)
    }
}
