//! Client certificates that a proxy took before us: `Client-Cert` (RFC 9440) or Envoy's `x-forwarded-client-cert`.
//!
//! The header is believed when the connection comes from one of the configured networks, and otherwise it is not even
//! read: anybody can write one (V-21). The proxy vouches for the possession of the key and for nothing else; whether the
//! certificate is worth anything is decided in the core, as for one of a handshake of our own.
//!
//! A proxy's own certificate is never that of the clients behind it: with the header configured, a request from a trusted
//! address has the certificate in the header or none.

use std::net::SocketAddr;

use base64::engine::{Engine, general_purpose::STANDARD};
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::peer::{CertificateChain, Peer};

/// Envoy: a text of its own.
const XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// RFC 9440 §2.2
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");

/// RFC 9440 §2.3
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// The most certificates of a chain.
const MAX_CERTIFICATES: usize = 9;

/// Where a proxy puts the client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateHeader {
    /// `x-forwarded-client-cert`: exactly one element, which has the certificate in `Cert` or `Chain`. Several elements are
    /// those of several hops, some of them written by who knows whom, and count as none.
    XForwardedClientCert,
    /// `Client-Cert` and `Client-Cert-Chain` (RFC 9440).
    ClientCert,
}

/// The proxies in front of a listener.
#[derive(Clone, Debug)]
pub struct Proxies {
    trusted: Vec<IpNet>,
    header: Option<CertificateHeader>,
}

/// Why a header of a trusted proxy gives no certificate. For the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unreadable {
    /// A field that must be there once is there twice.
    Repeated,
    /// Elements of several hops.
    SeveralElements,
    /// Not of the form that the header has, or too long.
    Malformed,
    /// The element has no certificate, only words about one.
    NoCertificate,
}

impl Proxies {
    /// Proxies in these networks that use this header, or none.
    pub fn new(trusted: Vec<IpNet>, header: Option<CertificateHeader>) -> Self {
        Self { trusted, header }
    }

    /// The peer of a request: with the certificate its proxy vouches for, when it came from a trusted one.
    pub(super) fn peer_of(&self, connection: &Peer, headers: &HeaderMap) -> Peer {
        let Some(header) = self.header.filter(|_| self.trust(connection.address)) else {
            return connection.clone();
        };
        let read = match header {
            CertificateHeader::XForwardedClientCert => forwarded(headers),
            CertificateHeader::ClientCert => client_cert(headers),
        };
        let certificates = read.unwrap_or_else(|reason| {
            tracing::warn!(proxy = %connection.address, ?reason, "the client certificate of a proxy cannot be read");
            None
        });
        Peer { certificates: certificates.map(Into::into), ..connection.clone() }
    }

    /// Whether this address is that of one of them.
    pub(super) fn trust(&self, address: SocketAddr) -> bool {
        let address = address.ip().to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }
}

/// The one value of a field, or none.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Unreadable> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Unreadable::Repeated);
    }
    value.to_str().map(Some).map_err(|_| Unreadable::Malformed)
}

/// RFC 9440: a structured field with one byte sequence, and a list of them (RFC 9651 §3.3.5, §3.1).
fn client_cert(headers: &HeaderMap) -> Result<Option<CertificateChain>, Unreadable> {
    let Some(leaf) = single(headers, &CLIENT_CERT)? else { return Ok(None) };
    let mut certificates = vec![byte_sequence(leaf)?];
    for value in headers.get_all(&CLIENT_CERT_CHAIN) {
        let list = value.to_str().map_err(|_| Unreadable::Malformed)?;
        for item in list.split(',') {
            certificates.push(byte_sequence(item)?);
        }
    }
    chain(certificates)
}

fn byte_sequence(text: &str) -> Result<Vec<u8>, Unreadable> {
    let base64 = text.trim_matches([' ', '\t']).strip_prefix(':').and_then(|text| text.strip_suffix(':'));
    base64.and_then(|text| STANDARD.decode(text).ok()).ok_or(Unreadable::Malformed)
}

/// Envoy: elements separated by commas, each of pairs `key=value` separated by semicolons, a value in quotes where it has
/// one of these characters.
fn forwarded(headers: &HeaderMap) -> Result<Option<CertificateChain>, Unreadable> {
    let Some(text) = single(headers, &XFCC)? else { return Ok(None) };
    let (mut cert, mut whole) = (None, None);
    let mut rest = text;
    loop {
        let (key, after) = rest.split_once('=').ok_or(Unreadable::Malformed)?;
        let (value, after) = value(after)?;
        let place = match key.trim_matches(' ').to_ascii_lowercase().as_str() {
            "cert" => Some(&mut cert),
            "chain" => Some(&mut whole),
            _ => None,
        };
        if let Some(place) = place
            && place.replace(pem(&value)?).is_some()
        {
            return Err(Unreadable::Repeated);
        }
        rest = match after.as_bytes() {
            [] => break,
            [b';', ..] => &after[1..],
            [b',', ..] => return Err(Unreadable::SeveralElements),
            _ => return Err(Unreadable::Malformed),
        };
    }
    match (cert, whole) {
        (None, None) => Err(Unreadable::NoCertificate),
        (None, Some(certificates)) => chain(certificates),
        // `Chain` begins with the certificate that `Cert` holds alone.
        (Some(cert), whole) => match (&cert[..], whole) {
            ([_], None) => chain(cert),
            ([leaf], Some(whole)) if whole.first() == Some(leaf) => chain(whole),
            _ => Err(Unreadable::Malformed),
        },
    }
}

/// A value, and what follows it.
fn value(text: &str) -> Result<(String, &str), Unreadable> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';', '"']).unwrap_or(text.len());
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next().ok_or(Unreadable::Malformed)?.1),
            _ => value.push(c),
        }
    }
    Err(Unreadable::Malformed)
}

/// Certificates in PEM, percent-encoded.
fn pem(text: &str) -> Result<Vec<Vec<u8>>, Unreadable> {
    let pem: Vec<u8> = percent_decode_str(text).collect();
    CertificateDer::pem_slice_iter(&pem)
        .take(MAX_CERTIFICATES + 1)
        .map(|der| der.map(|der| der.to_vec()).map_err(|_| Unreadable::Malformed))
        .collect()
}

fn chain(certificates: Vec<Vec<u8>>) -> Result<Option<CertificateChain>, Unreadable> {
    if certificates.is_empty() || certificates.len() > MAX_CERTIFICATES {
        return Err(Unreadable::Malformed);
    }
    Ok(CertificateChain::new(certificates))
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    fn pem_of(der: &[u8]) -> String {
        let pem =
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der));
        utf8_percent_encode(&pem, NON_ALPHANUMERIC).to_string()
    }

    fn read(
        header: CertificateHeader,
        fields: &[(&HeaderName, &str)],
    ) -> Result<Option<Vec<Vec<u8>>>, Unreadable> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let read = match header {
            CertificateHeader::XForwardedClientCert => forwarded(&headers),
            CertificateHeader::ClientCert => client_cert(&headers),
        };
        read.map(|chain| chain.map(|chain| [vec![chain.leaf], chain.intermediates].concat()))
    }

    fn xfcc(text: &str) -> Result<Option<Vec<Vec<u8>>>, Unreadable> {
        read(CertificateHeader::XForwardedClientCert, &[(&XFCC, text)])
    }

    #[test]
    fn envoys_element_is_read() {
        let (a, b) = (pem_of(b"a"), pem_of(b"b"));
        let leaf = Ok(Some(vec![b"a".to_vec()]));
        let both = Ok(Some(vec![b"a".to_vec(), b"b".to_vec()]));
        assert_eq!(xfcc(&format!("Cert={a}")), leaf);
        assert_eq!(
            xfcc(&format!("By=spiffe://x/y;Hash=00;Cert=\"{a}\";Subject=\"CN=a, O=\\\"b; c\\\"\";URI=")),
            leaf
        );
        assert_eq!(xfcc(&format!("cert=\"{a}\";URI=a;URI=b;DNS=c")), leaf);
        assert_eq!(xfcc(&format!("Chain=\"{a}{b}\"")), both);
        assert_eq!(xfcc(&format!("Cert=\"{a}\";Chain=\"{a}{b}\"")), both);
        assert_eq!(read(CertificateHeader::XForwardedClientCert, &[]), Ok(None));
    }

    // V-21
    #[test]
    fn envoys_header_is_plain_or_nothing() {
        let (a, b) = (pem_of(b"a"), pem_of(b"b"));
        let twice = [(&XFCC, &*format!("Cert={a}")), (&XFCC, &*format!("Cert={b}"))];
        assert_eq!(read(CertificateHeader::XForwardedClientCert, &twice), Err(Unreadable::Repeated));
        let cases = [
            (format!("Cert={a},Cert={b}"), Unreadable::SeveralElements),
            (format!("By=x,Cert={b}"), Unreadable::SeveralElements),
            (format!("Cert={a};Cert={b}"), Unreadable::Repeated),
            (format!("Cert={a};cert={b}"), Unreadable::Repeated),
            (format!("Cert={b};Chain=\"{a}{b}\""), Unreadable::Malformed),
            (format!("Cert={a}{b}"), Unreadable::Malformed),
            (format!("Chain={}", a.repeat(10)), Unreadable::Malformed),
            (format!("Cert=\"{a}"), Unreadable::Malformed),
            (format!("Cert=\"{a}\"x"), Unreadable::Malformed),
            (format!("Cert={a};"), Unreadable::Malformed),
            ("Cert=x".to_owned(), Unreadable::Malformed),
            ("Cert=-----BEGIN%20CERTIFICATE-----%0A?".to_owned(), Unreadable::Malformed),
            ("Hash=00;Subject=\"CN=B\"".to_owned(), Unreadable::NoCertificate),
            // What `Subject` says is no certificate, whatever is written into it.
            (format!("Subject=\"x;Cert={a}\""), Unreadable::NoCertificate),
            (String::new(), Unreadable::Malformed),
        ];
        for (text, reason) in cases {
            assert_eq!(xfcc(&text), Err(reason), "{text}");
        }
    }

    #[test]
    fn client_cert_is_a_byte_sequence() {
        let header = CertificateHeader::ClientCert;
        let leaf = Ok(Some(vec![b"a".to_vec()]));
        let three = Ok(Some(vec![b"a".to_vec(), b"b".to_vec(), b"c".to_vec()]));
        assert_eq!(read(header, &[]), Ok(None));
        assert_eq!(read(header, &[(&CLIENT_CERT, ":YQ==:")]), leaf);
        let list = [(&CLIENT_CERT, ":YQ==:"), (&CLIENT_CERT_CHAIN, ":Yg==:, :Yw==:")];
        assert_eq!(read(header, &list), three);
        let lines =
            [(&CLIENT_CERT, ":YQ==:"), (&CLIENT_CERT_CHAIN, ":Yg==:"), (&CLIENT_CERT_CHAIN, ":Yw==:")];
        assert_eq!(read(header, &lines), three);
        // RFC 9440 §2.3: the chain without the certificate is nothing.
        assert_eq!(read(header, &[(&CLIENT_CERT_CHAIN, ":Yg==:")]), Ok(None));
        let twice = [(&CLIENT_CERT, ":YQ==:"), (&CLIENT_CERT, ":Yg==:")];
        assert_eq!(read(header, &twice), Err(Unreadable::Repeated));
        for text in ["", "YQ==", ":YQ==", ":YQ==:, :Yg==:", ":?:", ":YQ==:;a=b", "\"YQ==\"", "::::"] {
            assert_eq!(read(header, &[(&CLIENT_CERT, text)]), Err(Unreadable::Malformed), "{text}");
        }
        let broken = [(&CLIENT_CERT, ":YQ==:"), (&CLIENT_CERT_CHAIN, ":Yg==:, x")];
        assert_eq!(read(header, &broken), Err(Unreadable::Malformed));
    }

    // V-21
    #[test]
    fn only_a_trusted_address_is_believed() {
        let proxies = Proxies::new(
            vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            Some(CertificateHeader::ClientCert),
        );
        let mut headers = HeaderMap::new();
        headers.insert(CLIENT_CERT, ":YQ==:".parse().unwrap());
        let own = CertificateChain::new([b"own".to_vec()]).map(std::sync::Arc::new);
        let leaf = |address: &str, headers: &HeaderMap| {
            let connection = Peer { certificates: own.clone(), ..Peer::plain(address.parse().unwrap()) };
            let peer = proxies.peer_of(&connection, headers);
            assert_eq!(peer.address, connection.address);
            peer.certificates.map(|chain| chain.leaf.clone())
        };
        for address in ["10.1.2.3:1", "[::ffff:10.1.2.3]:1", "[2001:db8::1]:1"] {
            assert_eq!(leaf(address, &headers), Some(b"a".to_vec()), "{address}");
            // The proxy's own certificate is not its clients'.
            assert_eq!(leaf(address, &HeaderMap::new()), None, "{address}");
        }
        for address in ["11.1.2.3:1", "[::ffff:11.1.2.3]:1", "[2001:db9::1]:1", "127.0.0.1:1"] {
            assert_eq!(leaf(address, &headers), Some(b"own".to_vec()), "{address}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(text in "[ -~]{0,80}", value in "(Cert|Chain|By)=[\"\\\\;,=%0-9a-z]{0,30}") {
            let _ = xfcc(&text);
            let _ = xfcc(&value);
            let _ = read(CertificateHeader::ClientCert, &[(&CLIENT_CERT, &text)]);
        }
    }
}
