//! The facts of one certificate (RFC 5280 §4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest;
use base64::engine::{Engine, general_purpose::URL_SAFE_NO_PAD};
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    oid_registry::OID_X509_EXT_BASIC_CONSTRAINTS,
    prelude::FromDer,
    time::ASN1Time,
};

use super::{DistinguishedName, PublicKey};
use crate::clock::Timestamp;

/// The longest certificate that is read, in bytes.
pub(super) const MAX_BYTES: usize = 32 * 1024;

/// What a certificate says about its subject. Whether any of it is true is for [`Authorities`](super::Authorities) or for
/// a comparison with what is registered to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its subject; `None` when it is empty (RFC 5280 §4.1.2.6).
    pub subject: Option<DistinguishedName>,
    /// `dNSName` alternative names, as written.
    pub dns_names: Vec<String>,
    /// `uniformResourceIdentifier` alternative names, as written.
    pub uris: Vec<String>,
    /// `iPAddress` alternative names.
    pub addresses: Vec<IpAddr>,
    /// `rfc822Name` alternative names, as written.
    pub emails: Vec<String>,
    /// Its public key; `None` for a kind that no JSON Web Key of this server has.
    pub public_key: Option<PublicKey>,
    /// Its SHA-256 thumbprint (RFC 8705 §3.1).
    pub x5t_s256: String,
    /// The first second it is valid in.
    pub not_before: Timestamp,
    /// The last second it is valid in.
    pub not_after: Timestamp,
    /// Whether its extended key usage lets it authenticate a client; without that extension it is for any purpose
    /// (RFC 5280 §4.2.1.12).
    pub is_for_clients: bool,
    /// Whether it may issue certificates (basic constraints).
    pub is_ca: bool,
    /// Whether its key usage lets it sign certificates or lists of revoked ones.
    pub signs_certificates: bool,
}

/// The bytes are not a certificate that can be relied on: not X.509 version 3 in DER, too long, an extension twice, or one
/// that is critical and unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not an X.509 version 3 certificate in DER")]
pub struct InvalidCertificate;

impl Certificate {
    /// Reads a certificate.
    ///
    /// Two parsers must take the bytes: the one that builds paths, which is strict, and the one that knows names. What
    /// they could read differently is no certificate.
    ///
    /// # Errors
    /// [`InvalidCertificate`].
    pub fn parse(der: &[u8]) -> Result<Self, InvalidCertificate> {
        if der.len() > MAX_BYTES {
            return Err(InvalidCertificate);
        }
        let strict = CertificateDer::from(der);
        let strict = EndEntityCert::try_from(&strict).map_err(|_| InvalidCertificate)?;
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| InvalidCertificate)?;
        let same =
            rest.is_empty() && strict.subject_public_key_info().as_ref() == certificate.public_key().raw;
        if !same || certificate.extensions_map().is_err() {
            return Err(InvalidCertificate);
        }
        let mut this = Self {
            subject: DistinguishedName::of(certificate.subject()),
            dns_names: Vec::new(),
            uris: Vec::new(),
            addresses: Vec::new(),
            emails: Vec::new(),
            public_key: PublicKey::read(certificate.public_key()),
            x5t_s256: x5t_s256(der),
            not_before: timestamp(certificate.validity().not_before),
            not_after: timestamp(certificate.validity().not_after),
            is_for_clients: certificate
                .extended_key_usage()
                .map_err(|_| InvalidCertificate)?
                .is_none_or(|usage| usage.value.client_auth),
            is_ca: is_ca(&certificate)?,
            signs_certificates: certificate
                .key_usage()
                .map_err(|_| InvalidCertificate)?
                .is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign()),
        };
        let names = certificate.subject_alternative_name().map_err(|_| InvalidCertificate)?;
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            this.read_name(name)?;
        }
        Ok(this)
    }

    /// Whether this instant lies in its validity (RFC 5280 §4.1.2.5).
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        (self.not_before.seconds()..=self.not_after.seconds()).contains(&now.seconds())
    }

    fn read_name(&mut self, name: &GeneralName<'_>) -> Result<(), InvalidCertificate> {
        // These three are IA5Strings (RFC 5280 §4.2.1.6); with anything else two readers may see different names.
        let ascii = |text: &str| if text.is_ascii() { Ok(text.to_owned()) } else { Err(InvalidCertificate) };
        match name {
            GeneralName::DNSName(name) => self.dns_names.push(ascii(name)?),
            GeneralName::URI(uri) => self.uris.push(ascii(uri)?),
            GeneralName::RFC822Name(email) => self.emails.push(ascii(email)?),
            GeneralName::IPAddress(bytes) => self.addresses.push(address(bytes).ok_or(InvalidCertificate)?),
            GeneralName::Invalid(..) => return Err(InvalidCertificate),
            _ => {}
        }
        Ok(())
    }
}

/// The thumbprint that binds a token to a certificate: base64url of the SHA-256 of its DER (RFC 8705 §3.1).
pub fn x5t_s256(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, der))
}

fn is_ca(certificate: &X509Certificate<'_>) -> Result<bool, InvalidCertificate> {
    let constraints = certificate.get_extension_unique(&OID_X509_EXT_BASIC_CONSTRAINTS);
    match constraints.map_err(|_| InvalidCertificate)?.map(|extension| extension.parsed_extension()) {
        None => Ok(false),
        Some(ParsedExtension::BasicConstraints(constraints)) => Ok(constraints.ca),
        Some(_) => Err(InvalidCertificate),
    }
}

/// Nothing here is concerned with certificates from before 1970; for one of those the epoch will do.
fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp::from_seconds(u64::try_from(time.timestamp()).unwrap_or_default())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}
