//! X.509 certificates (RFC 5280, layer 1): what one says, and whether an authority stands behind it. Nothing about OAuth.
//!
//! - [`Certificate`]: the facts of one certificate
//! - [`DistinguishedName`]: a subject, written as RFC 4514 says and compared part by part
//! - [`PublicKey`]: its key, in parts that can be compared with a JSON Web Key
//! - [`Authorities`]: a set of trust anchors and lists of revoked certificates, and the path from a certificate to them
//!
//! A certificate proves nothing by being shown: that its holder has the key was settled in the handshake, before any code
//! here sees it.

mod authorities;
mod certificate;
mod distinguished_name;
mod public_key;
#[cfg(test)]
mod tests;

pub use authorities::{Authorities, InvalidAuthorities, Untrusted};
pub use certificate::{Certificate, InvalidCertificate, x5t_s256};
pub use distinguished_name::{DistinguishedName, InvalidDistinguishedName};
pub use public_key::PublicKey;
