//! Trust anchors, revoked certificates, and the path between a certificate and an anchor (RFC 5280 §6).

use std::{fmt, time::Duration};

use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime, pem::PemObject,
};
use webpki::{
    ALL_VERIFICATION_ALGS, CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage,
    OwnedCertRevocationList, RevocationOptionsBuilder, anchor_from_trusted_cert,
};

use super::{
    Certificate,
    certificate::{InvalidCertificate, MAX_BYTES},
};
use crate::{clock::Timestamp, peer::CertificateChain};

/// The most intermediate certificates a chain may bring.
const MAX_INTERMEDIATES: usize = 8;

/// The authorities that are trusted, and what they have revoked.
pub struct Authorities {
    anchors: Vec<Anchor>,
    revoked: Vec<CertRevocationList<'static>>,
}

struct Anchor {
    anchor: TrustAnchor<'static>,
    certificate: Certificate,
}

/// A text is not a set of authorities.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuthorities {
    /// A block of it is not PEM.
    #[error("it is not PEM")]
    Pem,
    /// It has no `CERTIFICATE` block.
    #[error("it has no certificate in PEM")]
    Empty,
    /// A certificate cannot be read.
    #[error("certificate {0} of it is not an X.509 version 3 certificate")]
    Certificate(usize),
    /// A certificate may not issue others, so that trusting it as an authority would be a mistake.
    #[error("certificate {0} of it is not a certificate authority (basic constraints)")]
    NotAnAuthority(usize),
    /// A list of revoked certificates cannot be read.
    #[error("revocation list {0} of it cannot be read")]
    RevocationList(usize),
    /// Two lists of one authority would leave open which of them holds.
    #[error("revocation list {0} of it is the second of its authority; keep the newest alone")]
    SecondRevocationList(usize),
}

/// Why a certificate is not trusted. For the log alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// A certificate cannot be read, or there are too many of them.
    #[error("a certificate cannot be read, or there are too many")]
    Malformed,
    /// A certificate of the path is expired or not yet valid.
    #[error("it or one of its issuers is expired or not yet valid")]
    Validity,
    /// Its extended key usage excludes client authentication.
    #[error("its extended key usage excludes the authentication of clients")]
    Usage,
    /// It is revoked, or it cannot be told whether it is.
    #[error("it is revoked, or no valid revocation list says that it is not")]
    Revoked,
    /// An authority of the path is not allowed to vouch for one of its names.
    #[error("the name constraints of an issuer exclude a name of it")]
    NameConstraints,
    /// No path leads to an authority that is trusted.
    #[error("no path leads to a trusted authority")]
    Issuer,
}

impl Authorities {
    /// Reads `CERTIFICATE` blocks as trust anchors and `X509 CRL` blocks as lists of revoked certificates (RFC 7468);
    /// other blocks are left out.
    ///
    /// As soon as there is a list, every certificate of a path must be covered by one that is not past its next update:
    /// what cannot be told to be good is refused.
    ///
    /// # Errors
    /// [`InvalidAuthorities`]; places count from 1.
    pub fn from_pem(pem: &[u8]) -> Result<Self, InvalidAuthorities> {
        let mut anchors = Vec::new();
        for (number, der) in (1..).zip(CertificateDer::pem_slice_iter(pem)) {
            let der = der.map_err(|_| InvalidAuthorities::Pem)?;
            let certificate =
                Certificate::parse(&der).map_err(|_| InvalidAuthorities::Certificate(number))?;
            if !certificate.is_ca {
                return Err(InvalidAuthorities::NotAnAuthority(number));
            }
            let anchor =
                anchor_from_trusted_cert(&der).map_err(|_| InvalidAuthorities::Certificate(number))?;
            anchors.push(Anchor { anchor: anchor.to_owned(), certificate });
        }
        if anchors.is_empty() {
            return Err(InvalidAuthorities::Empty);
        }
        let mut revoked: Vec<CertRevocationList<'static>> = Vec::new();
        for (number, der) in (1..).zip(CertificateRevocationListDer::pem_slice_iter(pem)) {
            let der = der.map_err(|_| InvalidAuthorities::Pem)?;
            let list: CertRevocationList<'_> = OwnedCertRevocationList::from_der(&der)
                .map_err(|_| InvalidAuthorities::RevocationList(number))?
                .into();
            let same = |other: &CertRevocationList<'_>| {
                other.issuer() == list.issuer()
                    && other.issuing_distribution_point() == list.issuing_distribution_point()
            };
            if revoked.iter().any(same) {
                return Err(InvalidAuthorities::SecondRevocationList(number));
            }
            revoked.push(list);
        }
        Ok(Self { anchors, revoked })
    }

    /// How many trust anchors there are; at least one.
    pub fn count(&self) -> usize {
        self.anchors.len()
    }

    /// Looks for a path from the leaf to an anchor, at this instant. The other certificates of the chain serve the path
    /// and nothing else: none of their names is ever looked at.
    ///
    /// A leaf or an intermediate whose extended key usage does not have clientAuth is refused; one without the extension
    /// is for any purpose (RFC 5280 §4.2.1.12). Name constraints of a kind that is not implemented (directory names, URIs,
    /// mail addresses) refuse every name they could apply to. An anchor counts only within its own validity.
    ///
    /// # Errors
    /// [`Untrusted`].
    pub fn verify(&self, chain: &CertificateChain, now: Timestamp) -> Result<Certificate, Untrusted> {
        let too_long = chain.intermediates.iter().any(|der| der.len() > MAX_BYTES);
        if too_long || chain.intermediates.len() > MAX_INTERMEDIATES {
            return Err(Untrusted::Malformed);
        }
        let certificate = Certificate::parse(&chain.leaf)?;
        let leaf = CertificateDer::from(chain.leaf.as_slice());
        let leaf = EndEntityCert::try_from(&leaf).map_err(|_| Untrusted::Malformed)?;
        let intermediates: Vec<CertificateDer<'_>> =
            chain.intermediates.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let anchors: Vec<TrustAnchor<'_>> = self
            .anchors
            .iter()
            .filter(|anchor| anchor.certificate.is_valid_at(now))
            .map(|anchor| anchor.anchor.clone())
            .collect();
        let revoked: Vec<&CertRevocationList<'_>> = self.revoked.iter().collect();
        // Its defaults are the strict ones: the whole path is checked, and a status that is unknown is refused.
        let revocation = RevocationOptionsBuilder::new(&revoked)
            .ok()
            .map(|options| options.with_expiration_policy(ExpirationPolicy::Enforce).build());
        leaf.verify_for_usage(
            ALL_VERIFICATION_ALGS,
            &anchors,
            &intermediates,
            UnixTime::since_unix_epoch(Duration::from_secs(now.seconds())),
            KeyUsage::client_auth(),
            revocation,
            None,
        )?;
        Ok(certificate)
    }
}

impl From<InvalidCertificate> for Untrusted {
    fn from(InvalidCertificate: InvalidCertificate) -> Self {
        Self::Malformed
    }
}

impl From<webpki::Error> for Untrusted {
    fn from(error: webpki::Error) -> Self {
        use webpki::Error;
        match error {
            Error::CertExpired { .. } | Error::CertNotValidYet { .. } | Error::InvalidCertValidity => {
                Self::Validity
            }
            Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => Self::Usage,
            Error::CertRevoked
            | Error::CrlExpired { .. }
            | Error::UnknownRevocationStatus
            | Error::InvalidCrlSignatureForPublicKey
            | Error::IssuerNotCrlSigner => Self::Revoked,
            Error::NameConstraintViolation
            | Error::MalformedNameConstraint
            | Error::InvalidNetworkMaskConstraint => Self::NameConstraints,
            Error::BadDer
            | Error::BadDerTime
            | Error::TrailingData(_)
            | Error::MalformedExtensions
            | Error::MalformedDnsIdentifier => Self::Malformed,
            _ => Self::Issuer,
        }
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subjects = self.anchors.iter().map(|anchor| &anchor.certificate.subject);
        write!(f, "Authorities({:?}, {} lists)", subjects.collect::<Vec<_>>(), self.revoked.len())
    }
}
