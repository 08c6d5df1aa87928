//! What the handshake asks of a client's certificate: that it can be read, and that the client has its key.
//!
//! Who issued it, whether it is valid now and whose it is depends on the client that it authenticates and is decided in the
//! core: one client's certificate comes from an authority, another's is self-signed and registered, a third's names a SPIFFE
//! trust domain. Hence no list of authorities is sent as a hint either (RFC 8446 §4.2.4): a client with a self-signed
//! certificate would find itself excluded by it and show none.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::{
        ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

/// The longest chain of a client, in bytes of DER. Chains are kept as long as their connections and travel in tickets.
const MAX_CHAIN: usize = 16 * 1024;

/// Accepts every certificate whose key is proven.
#[derive(Debug)]
pub(super) struct ProvenKey {
    algorithms: WebPkiSupportedAlgorithms,
    mandatory: bool,
}

impl ProvenKey {
    pub(super) fn verifier(provider: &CryptoProvider, mandatory: bool) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Self { algorithms: provider.signature_verification_algorithms, mandatory })
    }
}

impl ClientCertVerifier for ProvenKey {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let length =
            end_entity.len() + intermediates.iter().map(|certificate| certificate.len()).sum::<usize>();
        if length > MAX_CHAIN {
            return Err(Error::General("the client's certificates are too long".to_owned()));
        }
        ParsedCertificate::try_from(end_entity)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
