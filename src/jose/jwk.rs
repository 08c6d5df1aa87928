//! JSON Web Keys (RFC 7517, RFC 7518 §6, RFC 8037 §2) and their thumbprints (RFC 7638): public keys only.

use aws_lc_rs::digest;
use serde::Serialize;

use super::{
    SigningAlgorithm, VerificationKey, base64url, base64url_decode,
    json::{InvalidJson, Members},
    verification_key::InvalidKey,
};

/// A public key as it is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Jwk {
    #[serde(flatten)]
    parameters: PublicParameters,
    #[serde(rename = "use")]
    key_use: &'static str,
    alg: &'static str,
    kid: String,
}

/// The members that make the key what it is (RFC 7638 §3.2), and no private one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kty")]
pub enum PublicParameters {
    /// RFC 7518 §6.3.1, base64url of the big-endian numbers.
    #[serde(rename = "RSA")]
    Rsa {
        /// Modulus.
        n: String,
        /// Exponent.
        e: String,
    },
    /// RFC 7518 §6.2.1, base64url of coordinates of full length.
    #[serde(rename = "EC")]
    Ec {
        /// P-256 or P-384.
        crv: &'static str,
        /// First coordinate.
        x: String,
        /// Second coordinate.
        y: String,
    },
    /// RFC 8037 §2.
    #[serde(rename = "OKP")]
    Okp {
        /// Ed25519.
        crv: &'static str,
        /// The public key.
        x: String,
    },
}

impl Jwk {
    /// A signature key for one algorithm; its `kid` is its thumbprint.
    pub fn new(alg: SigningAlgorithm, parameters: PublicParameters) -> Self {
        let kid = thumbprint(&parameters);
        Self { parameters, key_use: "sig", alg: alg.as_str(), kid }
    }

    /// The identifier.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The name of the only algorithm it is for.
    pub fn alg(&self) -> &'static str {
        self.alg
    }

    /// The members of its type.
    pub fn parameters(&self) -> &PublicParameters {
        &self.parameters
    }
}

/// The RFC 7638 §3 thumbprint with SHA-256: the required members in lexicographic order, nothing else.
fn thumbprint(parameters: &PublicParameters) -> String {
    // Every value is base64url or a curve name, so none needs JSON escapes.
    let canonical = match parameters {
        PublicParameters::Rsa { n, e } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
        PublicParameters::Ec { crv, x, y } => format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#),
        PublicParameters::Okp { crv, x } => format!(r#"{{"crv":"{crv}","kty":"OKP","x":"{x}"}}"#),
    };
    base64url(digest::digest(&digest::SHA256, canonical.as_bytes()))
}

/// The thumbprint of a shared key. Like any HS256 token it lets somebody who holds it test guesses of the key, so it
/// gives nothing away that the token's signature does not; the key must have 256 bits in any case.
pub(super) fn symmetric_thumbprint(key: &[u8]) -> String {
    let canonical = format!(r#"{{"k":"{}","kty":"oct"}}"#, base64url(key));
    base64url(digest::digest(&digest::SHA256, canonical.as_bytes()))
}

/// A key set read from outside, with the keys that this server's algorithms can use.
#[derive(Debug, Default)]
pub struct JwkSet {
    keys: Vec<VerificationKey>,
}

/// Why a key set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwkSet {
    /// The text is not a key set.
    #[error("the key set is not JSON of the form {{\"keys\": [...]}}: {0}")]
    Json(#[from] InvalidJson),
    /// A key of a known type is malformed or weak.
    #[error("key {index} of the set: {problem}")]
    Key {
        /// Position in the set, from 0.
        index: usize,
        /// What is wrong with it.
        problem: InvalidKey,
    },
}

impl JwkSet {
    /// Reads a key set (RFC 7517 §5). Keys of unknown type, use or algorithm are left out, as §5 demands.
    ///
    /// # Errors
    /// [`InvalidJwkSet`] for anything malformed, and for keys that are off their curve, of small order or too short.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidJwkSet> {
        let members = Members::parse(text)?;
        let entries: Vec<Members<'_>> = members.required("keys")?;
        let mut keys = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            keys.extend(read_key(entry).map_err(|problem| InvalidJwkSet::Key { index, problem })?);
        }
        Ok(Self { keys })
    }

    /// The one key for an algorithm and, when the token names it, a key identifier. Several that fit count as none, since
    /// guessing between keys is not verification.
    pub fn find(&self, kid: Option<&str>, alg: SigningAlgorithm) -> Option<&VerificationKey> {
        let mut fitting =
            self.keys.iter().filter(|key| key.alg() == alg && kid.is_none_or(|kid| kid == key.kid()));
        fitting.next().filter(|_| fitting.next().is_none())
    }

    /// How many usable keys the set has.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether the set has no usable key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// One entry of a set: a key per algorithm it may be used with, or none when this server has no use for it.
fn read_key(entry: &Members<'_>) -> Result<Vec<VerificationKey>, InvalidKey> {
    let text = |name| entry.optional::<String>(name).map_err(|_| InvalidKey);
    let bytes = |name| text(name)?.and_then(base64url_decode).ok_or(InvalidKey);
    if text("use")?.is_some_and(|key_use| key_use != "sig") {
        return Ok(Vec::new());
    }
    let candidates: &[SigningAlgorithm] = match (text("kty")?.as_deref(), text("crv")?.as_deref()) {
        (Some("RSA"), _) => &[SigningAlgorithm::RS256, SigningAlgorithm::PS256],
        (Some("EC"), Some("P-256")) => &[SigningAlgorithm::ES256],
        (Some("EC"), Some("P-384")) => &[SigningAlgorithm::ES384],
        (Some("OKP"), Some("Ed25519")) => &[SigningAlgorithm::EdDSA],
        _ => return Ok(Vec::new()),
    };
    let declared = text("alg")?;
    let kid = text("kid")?.unwrap_or_default();
    candidates
        .iter()
        .filter(|alg| declared.as_deref().is_none_or(|declared| declared == alg.as_str()))
        .map(|alg| match alg {
            SigningAlgorithm::RS256 | SigningAlgorithm::PS256 => {
                VerificationKey::rsa(kid.clone(), *alg, &bytes("n")?, &bytes("e")?)
            }
            SigningAlgorithm::EdDSA => VerificationKey::elliptic(kid.clone(), *alg, &bytes("x")?),
            _ => VerificationKey::elliptic(kid.clone(), *alg, &[vec![4], bytes("x")?, bytes("y")?].concat()),
        })
        .collect()
}

/// The set this server publishes (RFC 7517 §5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PublishedJwkSet {
    /// The keys, each `kid` once.
    pub keys: Vec<Jwk>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::SigningKey;

    // CHK-85: the example of RFC 7638 §3.1
    #[test]
    fn thumbprint_of_the_rfc_example() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let parameters = PublicParameters::Rsa { n: n.to_owned(), e: "AQAB".to_owned() };
        assert_eq!(thumbprint(&parameters), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn what_is_published_can_be_read_back() {
        let keys: Vec<_> =
            SigningAlgorithm::ALL[..5].iter().map(|alg| SigningKey::generate(*alg).unwrap()).collect();
        let published = PublishedJwkSet { keys: keys.iter().map(|key| key.jwk().unwrap().clone()).collect() };
        let set = JwkSet::parse(&serde_json::to_vec(&published).unwrap()).unwrap();
        for key in keys {
            assert_eq!(set.find(Some(key.kid()), key.alg()).unwrap().kid(), key.kid());
        }
    }

    // CHK-82
    #[test]
    fn no_key_is_guessed() {
        let key = |kid: &str| {
            let x = base64url([&[0x58][..], &[0x66; 31]].concat());
            format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"{x}"}}"#)
        };
        let set = |keys: &[String]| {
            JwkSet::parse(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes()).unwrap()
        };
        assert!(set(&[key("a")]).find(None, SigningAlgorithm::EdDSA).is_some());
        assert!(set(&[key("a"), key("b")]).find(None, SigningAlgorithm::EdDSA).is_none());
        assert!(set(&[key("a"), key("a")]).find(Some("a"), SigningAlgorithm::EdDSA).is_none());
        assert!(set(&[key("a"), key("b")]).find(Some("b"), SigningAlgorithm::EdDSA).is_some());
    }

    // V-2, V-31
    #[test]
    fn symmetric_keys_are_never_read_from_a_set() {
        let set = JwkSet::parse(br#"{"keys":[{"kty":"oct","k":"AAAA","alg":"HS256","kid":"a"}]}"#).unwrap();
        assert!(set.is_empty());
    }
}
