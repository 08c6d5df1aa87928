//! The server's certificate and its key, from PEM (RFC 7468), found usable before a client sees them.

use std::sync::Arc;

use rustls::{
    Error, InconsistentKeys,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::{prelude::FromDer, time::ASN1Time};

use super::provider;
use crate::clock::Timestamp;

/// A certificate with its issuers and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(super) certified: Arc<CertifiedKey>,
    /// The last instant at which the certificate is valid.
    pub not_after: Timestamp,
}

/// Why they cannot be used. Each is the predicate of a sentence about the file.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The certificate file is at fault.
    #[error("{0}")]
    Certificate(String),
    /// The key file is at fault.
    #[error("{0}")]
    Key(String),
}

impl Identity {
    /// Reads the certificate, leaf first, its issuers after it, and the key: PKCS#8, PKCS#1 or SEC1.
    ///
    /// # Errors
    /// [`IdentityError`], also for a certificate that is not valid at `now` and for a key that is not the certificate's.
    pub fn from_pem(certificates: &[u8], key: &[u8], now: Timestamp) -> Result<Self, IdentityError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|error| IdentityError::Certificate(format!("is no PEM ({error})")))?;
        let Some(leaf) = chain.first() else {
            return Err(IdentityError::Certificate("holds no certificate in PEM".to_owned()));
        };
        let not_after = valid_until(leaf, now)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            IdentityError::Key(match error {
                pem::Error::NoItemsFound => {
                    "holds no private key in PEM, or one that needs a password".to_owned()
                }
                other => format!("is no PEM ({other})"),
            })
        })?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                IdentityError::Key("is not the key of the certificate".to_owned())
            }
            Error::InvalidCertificate(error) => {
                IdentityError::Certificate(format!("holds an unusable certificate ({error})"))
            }
            other => IdentityError::Key(format!("holds an unusable key ({other})")),
        })?;
        Ok(Self { certified: Arc::new(certified), not_after })
    }
}

/// The end of a certificate that is valid now.
fn valid_until(leaf: &CertificateDer<'_>, now: Timestamp) -> Result<Timestamp, IdentityError> {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(leaf)
        .map_err(|error| IdentityError::Certificate(format!("holds an unusable certificate ({error})")))?;
    let instant =
        |time: ASN1Time| Timestamp::from_seconds(u64::try_from(time.timestamp()).unwrap_or_default());
    let validity = parsed.validity();
    if now < instant(validity.not_before) {
        let problem = format!("holds a certificate that is not valid before {}", validity.not_before);
        return Err(IdentityError::Certificate(problem));
    }
    if now > instant(validity.not_after) {
        let problem = format!("holds a certificate that expired on {}", validity.not_after);
        return Err(IdentityError::Certificate(problem));
    }
    Ok(instant(validity.not_after))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn pair(from: i32, until: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn refused(certificate: &str, key: &str) -> String {
        match Identity::from_pem(certificate.as_bytes(), key.as_bytes(), NOW).unwrap_err() {
            IdentityError::Certificate(problem) => format!("certificate {problem}"),
            IdentityError::Key(problem) => format!("key {problem}"),
        }
    }

    #[test]
    fn a_certificate_and_its_key_are_read() {
        let (certificate, key) = pair(2020, 2030);
        let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes(), NOW).unwrap();
        assert_eq!(identity.not_after.seconds(), 1_893_456_000);
    }

    #[test]
    fn whatever_cannot_be_used_is_named() {
        let ((certificate, key), (_, other)) = (pair(2020, 2030), pair(2020, 2030));
        let (expired, of_expired) = pair(2020, 2026);
        let (early, of_early) = pair(2028, 2030);
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let cut = &certificate[..certificate.len() / 2];
        for (certificate, key, problem) in [
            (&*certificate, &*other, "key is not the key of the certificate"),
            (&expired, &of_expired, "certificate holds a certificate that expired on Jan  1 00:00:00 2026"),
            (&early, &of_early, "certificate holds a certificate that is not valid before Jan  1"),
            ("", &key, "certificate holds no certificate in PEM"),
            (&key, &key, "certificate holds no certificate in PEM"),
            (damaged, &key, "certificate holds an unusable certificate"),
            (cut, &key, "certificate is no PEM"),
            (&certificate, "", "key holds no private key in PEM"),
            (&certificate, &certificate, "key holds no private key in PEM"),
            (&certificate, &key[..key.len() / 2], "key is no PEM"),
        ] {
            let refused = refused(certificate, key);
            assert!(refused.starts_with(problem), "{refused} is not {problem}");
        }
    }
}
