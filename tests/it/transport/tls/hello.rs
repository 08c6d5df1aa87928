//! A ClientHello by hand (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2): any version, any suites.

/// TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, which BCP 195 recommends.
pub(super) const GOOD_SUITE: u16 = 0xc02b;

/// The handshake message of a client that knows versions up to `version` and no newer way to say so.
pub(super) fn message(version: u16, suites: &[u16]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.push(0); // no session
    body.extend(u16::try_from(suites.len() * 2).unwrap().to_be_bytes());
    suites.iter().for_each(|suite| body.extend(suite.to_be_bytes()));
    body.extend([1, 0]); // no compression
    let extensions = [
        extension(10, &[0, 4, 0, 0x1d, 0, 0x17]), // x25519, secp256r1
        extension(11, &[1, 0]),                   // uncompressed points
        extension(13, &[0, 6, 4, 3, 8, 4, 2, 3]), // with SHA-256: ECDSA, RSA-PSS; ECDSA with SHA-1
        extension(23, &[]),                       // extended master secret
    ]
    .concat();
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    handshake(1, &body)
}

fn extension(number: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    [&number.to_be_bytes()[..], &length.to_be_bytes(), content].concat()
}

/// A handshake message.
pub(super) fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind][..], &length[1..], body].concat()
}

/// A record that is not encrypted.
pub(super) fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[kind, 3, 1][..], &length, content].concat()
}

/// The first record of what a server sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing.
    Nothing,
    /// A handshake message of this type.
    Handshake(u8),
    /// An alert: its description.
    Alert(u8),
    /// Something that is not TLS.
    Other,
}

pub(super) fn said(bytes: &[u8]) -> Said {
    match bytes {
        [] => Said::Nothing,
        [22, 3, _, _, _, kind, ..] => Said::Handshake(*kind),
        [21, 3, _, 0, 2, 2, description, ..] => Said::Alert(*description),
        _ => Said::Other,
    }
}
