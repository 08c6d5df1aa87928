//! The members of a registration by which a client proves who it is without a shared secret, checked (RFC 7591 §2,
//! RFC 8705 §2.1.2, RFC 9449 §5.2).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use url::Url;

use super::{
    Profile, TokenEndpointAuthMethod,
    registration::{ClientRegistration, Problems},
    spiffe::SpiffePattern,
};
use crate::{
    certificates::DistinguishedName,
    jose::{JwkSet, JwsAlgorithm},
};

/// The most subjects of trusted issuers that one client may have.
const MAX_FEDERATED: usize = 64;

/// The longest text of one of these members, in bytes.
const MAX_TEXT: usize = 2048;

/// The most bytes of registered keys: dozens of RSA keys. A client is read, sealed and sent as one piece.
const MAX_JWKS: usize = 32 * 1024;

/// The public keys of a client.
#[derive(Clone, Debug)]
pub enum ClientKeys {
    /// `jwks`: registered with it.
    Registered {
        /// The keys.
        keys: Arc<JwkSet>,
        /// As they were registered.
        json: Box<RawValue>,
    },
    /// `jwks_uri`: where they are.
    At(Box<str>),
}

/// What the certificate of a client must say: exactly one of the members of RFC 8705 §2.1.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSubject {
    /// `tls_client_auth_subject_dn`
    SubjectDn {
        /// As it was registered, in the form of RFC 4514.
        text: String,
        /// What it means.
        name: DistinguishedName,
    },
    /// `tls_client_auth_san_dns`
    SanDns(String),
    /// `tls_client_auth_san_uri`
    SanUri(String),
    /// `tls_client_auth_san_ip`
    SanIp(std::net::IpAddr),
    /// `tls_client_auth_san_email`
    SanEmail(String),
}

/// A subject of a trusted issuer that may act as the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FederatedSubject {
    /// `iss` of its tokens: one of the configured trusted issuers.
    pub issuer: String,
    /// `sub` of its tokens; `*` stands for any characters.
    pub subject: String,
}

impl PartialEq for ClientKeys {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Registered { json: one, .. }, Self::Registered { json: other, .. }) => {
                one.get() == other.get()
            }
            (Self::At(one), Self::At(other)) => one == other,
            _ => false,
        }
    }
}

impl Eq for ClientKeys {}

/// The checked members.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ProofMembers {
    /// `profile`
    pub profile: Profile,
    /// `token_endpoint_auth_signing_alg`: what assertions may be signed with; empty: what the profile allows.
    pub assertion_algorithms: Vec<JwsAlgorithm>,
    /// `jwks` or `jwks_uri`
    pub keys: Option<ClientKeys>,
    /// The one `tls_client_auth_*` member.
    pub certificate_subject: Option<CertificateSubject>,
    /// `spiffe_id`: an identifier, or a prefix of some that ends in `/*`.
    pub spiffe_id: Option<String>,
    /// The workloads that are the client, when it uses a SPIFFE method: `spiffe_id`, without it `tls_client_auth_san_uri`,
    /// and without that the client identifier.
    pub workloads: Option<SpiffePattern>,
    /// `federated`
    pub federated: Vec<FederatedSubject>,
    /// `tls_client_certificate_bound_access_tokens`
    pub certificate_bound_access_tokens: bool,
    /// `dpop_bound_access_tokens`
    pub dpop_bound_access_tokens: bool,
}

impl ProofMembers {
    /// Writes the members back into a registration.
    pub fn write(&self, registration: &mut ClientRegistration) {
        registration.profile = Some(self.profile.as_str().to_owned());
        registration.token_endpoint_auth_signing_alg =
            self.assertion_algorithms.iter().map(|alg| alg.as_str().to_owned()).collect();
        match &self.keys {
            Some(ClientKeys::Registered { json, .. }) => registration.jwks = Some(json.clone()),
            Some(ClientKeys::At(uri)) => registration.jwks_uri = Some(uri.to_string()),
            None => {}
        }
        match &self.certificate_subject {
            Some(CertificateSubject::SubjectDn { text, .. }) => {
                registration.tls_client_auth_subject_dn = Some(text.clone());
            }
            Some(CertificateSubject::SanDns(text)) => {
                registration.tls_client_auth_san_dns = Some(text.clone());
            }
            Some(CertificateSubject::SanUri(text)) => {
                registration.tls_client_auth_san_uri = Some(text.clone());
            }
            Some(CertificateSubject::SanIp(ip)) => registration.tls_client_auth_san_ip = Some(ip.to_string()),
            Some(CertificateSubject::SanEmail(text)) => {
                registration.tls_client_auth_san_email = Some(text.clone());
            }
            None => {}
        }
        registration.spiffe_id.clone_from(&self.spiffe_id);
        registration.federated.clone_from(&self.federated);
        registration.tls_client_certificate_bound_access_tokens = Some(self.certificate_bound_access_tokens);
        registration.dpop_bound_access_tokens = Some(self.dpop_bound_access_tokens);
    }
}

/// Checks them, and that a client of this method can ever authenticate.
pub(super) fn check(
    registration: &ClientRegistration,
    method: Option<TokenEndpointAuthMethod>,
    problems: &mut Problems,
) -> ProofMembers {
    use TokenEndpointAuthMethod as Method;

    let profile = registration.profile.as_deref().and_then(|text| problems.take("profile", text.parse()));
    let assertion_algorithms = registration
        .token_endpoint_auth_signing_alg
        .iter()
        .filter_map(|text| problems.take("token_endpoint_auth_signing_alg", text.parse()))
        .collect();
    let keys = keys(registration, problems);
    let certificate_subject = certificate_subject(registration, problems);
    let spiffe_id = registration.spiffe_id.clone();
    problems.take("federated", check_federated(&registration.federated));
    let workloads = workloads(registration, method, problems);
    let missing = match method {
        Some(Method::PrivateKeyJwt | Method::SelfSignedTlsClientAuth) if keys.is_none() => {
            Some(("jwks", "is missing; the method needs the client's public keys in jwks, or jwks_uri"))
        }
        Some(Method::TlsClientAuth) if certificate_subject.is_none() => Some((
            "tls_client_auth_subject_dn",
            "is missing; the method needs exactly one of tls_client_auth_subject_dn, _san_dns, _san_uri, _san_ip and \
             _san_email",
        )),
        _ => None,
    };
    if let Some((member, text)) = missing {
        problems.report(member, text);
    }
    ProofMembers {
        profile: profile.unwrap_or_default(),
        assertion_algorithms,
        keys,
        certificate_subject,
        spiffe_id,
        workloads,
        federated: registration.federated.clone(),
        certificate_bound_access_tokens: registration
            .tls_client_certificate_bound_access_tokens
            .unwrap_or_default(),
        dpop_bound_access_tokens: registration.dpop_bound_access_tokens.unwrap_or_default(),
    }
}

fn keys(registration: &ClientRegistration, problems: &mut Problems) -> Option<ClientKeys> {
    match (&registration.jwks, &registration.jwks_uri) {
        (Some(_), Some(_)) => {
            problems.report("jwks_uri", "is set beside jwks; keep one of the two (RFC 7591 section 2)");
            None
        }
        (Some(jwks), None) => {
            if jwks.get().len() > MAX_JWKS {
                problems.report("jwks", format!("has more than {MAX_JWKS} bytes; register jwks_uri instead"));
                return None;
            }
            let set = problems.take("jwks", JwkSet::parse(jwks.get().as_bytes()))?;
            if set.is_empty() {
                problems.report("jwks", "holds no key that can verify a signature");
            }
            Some(ClientKeys::Registered { keys: Arc::new(set), json: jwks.clone() })
        }
        (None, Some(uri)) => {
            problems.take("jwks_uri", check_text(uri).and_then(|()| check_jwks_uri(uri)))?;
            Some(ClientKeys::At(uri.as_str().into()))
        }
        (None, None) => None,
    }
}

fn certificate_subject(
    registration: &ClientRegistration,
    problems: &mut Problems,
) -> Option<CertificateSubject> {
    type Make = fn(String) -> Result<CertificateSubject, String>;
    let members: [(&'static str, &Option<String>, Make); 5] = [
        ("tls_client_auth_subject_dn", &registration.tls_client_auth_subject_dn, |text| {
            let name = DistinguishedName::parse(&text).map_err(|error| error.to_string())?;
            Ok(CertificateSubject::SubjectDn { text, name })
        }),
        ("tls_client_auth_san_dns", &registration.tls_client_auth_san_dns, |text| {
            is_host_name(&text)
                .then_some(CertificateSubject::SanDns(text))
                .ok_or_else(|| "must be a host name without wildcard, such as billing.example".to_owned())
        }),
        ("tls_client_auth_san_uri", &registration.tls_client_auth_san_uri, |text| {
            (text.contains(':') && text.bytes().all(|byte| byte.is_ascii_graphic()))
                .then_some(CertificateSubject::SanUri(text))
                .ok_or_else(|| "must be a URI, such as spiffe://example.org/billing".to_owned())
        }),
        ("tls_client_auth_san_ip", &registration.tls_client_auth_san_ip, |text| {
            text.parse()
                .map(CertificateSubject::SanIp)
                .map_err(|_| "must be an IPv4 or IPv6 address, such as 192.0.2.1".to_owned())
        }),
        ("tls_client_auth_san_email", &registration.tls_client_auth_san_email, |text| {
            (text.split_once('@').is_some_and(|(local, host)| !local.is_empty() && is_host_name(host))
                && text.bytes().all(|byte| byte.is_ascii_graphic()))
            .then_some(CertificateSubject::SanEmail(text))
            .ok_or_else(|| "must be a mail address, such as billing@example.com".to_owned())
        }),
    ];
    let mut subject = None;
    for (member, text, make) in members {
        let Some(text) = text else { continue };
        problems.take(member, check_text(text));
        if subject.is_some() {
            problems.report(
                member,
                "is set beside another tls_client_auth_ member; keep exactly one (RFC 8705 section 2.1.2)",
            );
        }
        subject = problems.take(member, make(text.clone())).or(subject);
    }
    subject
}

/// The workloads that are a client of a SPIFFE method.
fn workloads(
    registration: &ClientRegistration,
    method: Option<TokenEndpointAuthMethod>,
    problems: &mut Problems,
) -> Option<SpiffePattern> {
    let is_spiffe =
        matches!(method, Some(TokenEndpointAuthMethod::SpiffeJwt | TokenEndpointAuthMethod::SpiffeX509));
    let (member, text) = match (&registration.spiffe_id, &registration.tls_client_auth_san_uri) {
        (Some(id), _) => ("spiffe_id", id),
        (None, Some(uri)) if is_spiffe => ("tls_client_auth_san_uri", uri),
        (None, None) if is_spiffe => {
            let read = SpiffePattern::parse(&registration.client_id);
            if read.is_err() {
                problems.report(
                    "spiffe_id",
                    "is missing; the method needs the client's SPIFFE ID in it, unless client_id is one",
                );
            }
            return read.ok();
        }
        (None, _) => return None,
    };
    let read = problems.take(member, SpiffePattern::parse(text));
    read.filter(|_| is_spiffe)
}

fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Whether it is where somebody would be right to fetch keys; `http` is for the settings to refuse.
fn check_jwks_uri(uri: &str) -> Result<(), String> {
    let read = Url::parse(uri).map_err(|_| "must be an https URL".to_owned())?;
    if !matches!(read.scheme(), "https" | "http") || !read.has_host() {
        return Err("must be an https URL".to_owned());
    }
    // Credentials would stand in logs, and a fragment is never sent.
    if !read.username().is_empty() || read.password().is_some() || read.fragment().is_some() {
        return Err("must have neither user, password nor fragment".to_owned());
    }
    Ok(())
}

fn check_federated(federated: &[FederatedSubject]) -> Result<(), String> {
    if federated.len() > MAX_FEDERATED {
        return Err(format!("has {} subjects; a client has at most {MAX_FEDERATED}", federated.len()));
    }
    for (index, FederatedSubject { issuer, subject }) in federated.iter().enumerate() {
        check_text(issuer).and_then(|()| check_text(subject))?;
        if subject.bytes().all(|byte| byte == b'*') {
            return Err(format!(
                "lets in every subject of {issuer:?}; write what the right ones have in common, such as \
                 system:serviceaccount:prod:*"
            ));
        }
        if federated[..index].iter().any(|earlier| earlier.issuer == *issuer && earlier.subject == *subject) {
            return Err(format!("names {subject:?} of {issuer:?} twice; keep one of the two"));
        }
    }
    Ok(())
}

fn check_text(text: &str) -> Result<(), String> {
    let sound = (1..=MAX_TEXT).contains(&text.len()) && !text.chars().any(char::is_control);
    if sound { Ok(()) } else { Err(format!("must be 1 to {MAX_TEXT} bytes of printable text")) }
}

#[cfg(test)]
mod tests;
