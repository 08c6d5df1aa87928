//! JSON Web Keys (RFC 7517, RFC 7518 §6, RFC 8037 §2) and their thumbprints (RFC 7638): public keys only.

use aws_lc_rs::digest;
use serde::Serialize;

use super::{
    JwsAlgorithm, VerificationKey, base64url, base64url_decode,
    json::{InvalidJson, Members},
    verification_key::{InvalidKey, strip_zeros},
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
    pub fn new(alg: impl Into<JwsAlgorithm>, parameters: PublicParameters) -> Self {
        let kid = thumbprint(&parameters);
        Self { parameters, key_use: "sig", alg: alg.into().as_str(), kid }
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

/// Members that hold secrets (RFC 7518 §6.2.2, §6.3.2, §6.4.1). Whoever shows one has no secret key any more.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

impl PublicParameters {
    /// Reads the members of a public key: coordinates of full length, numbers without leading zeros. `None` for a type
    /// or curve that no algorithm here uses, among them symmetric keys.
    ///
    /// # Errors
    /// [`InvalidKey`] for malformed members, and for a key that shows its private half.
    pub(super) fn read(jwk: &Members<'_>) -> Result<Option<Self>, InvalidKey> {
        let bytes = |name| text(jwk, name)?.and_then(base64url_decode).ok_or(InvalidKey);
        let number = |name| bytes(name).map(|number| base64url(strip_zeros(&number)));
        let coordinate = |name, length| {
            bytes(name)
                .and_then(|bytes| if bytes.len() == length { Ok(base64url(bytes)) } else { Err(InvalidKey) })
        };
        let curve =
            |crv, length| Ok(Self::Ec { crv, x: coordinate("x", length)?, y: coordinate("y", length)? });
        let parameters = match (text(jwk, "kty")?.as_deref(), text(jwk, "crv")?.as_deref()) {
            (Some("RSA"), _) => Self::Rsa { n: number("n")?, e: number("e")? },
            (Some("EC"), Some("P-256")) => curve("P-256", 32)?,
            (Some("EC"), Some("P-384")) => curve("P-384", 48)?,
            (Some("OKP"), Some("Ed25519")) => Self::Okp { crv: "Ed25519", x: coordinate("x", 32)? },
            _ => return Ok(None),
        };
        if PRIVATE_MEMBERS.iter().any(|name| jwk.get(name).is_some()) {
            return Err(InvalidKey);
        }
        Ok(Some(parameters))
    }

    /// The algorithms this type of key is for.
    pub fn algorithms(&self) -> &'static [JwsAlgorithm] {
        use JwsAlgorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        match self {
            Self::Rsa { .. } => &[RS256, RS384, RS512, PS256, PS384, PS512],
            Self::Ec { crv: "P-256", .. } => &[ES256],
            Self::Ec { .. } => &[ES384],
            Self::Okp { .. } => &[EdDSA],
        }
    }

    /// The key that verifies with one of [`PublicParameters::algorithms`].
    ///
    /// # Errors
    /// [`InvalidKey`] when the algorithm is another one, and for a key that is off its curve, of small order or weak.
    pub fn verification_key(&self, kid: String, alg: JwsAlgorithm) -> Result<VerificationKey, InvalidKey> {
        let bytes = |text: &str| base64url_decode(text).ok_or(InvalidKey);
        if !self.algorithms().contains(&alg) {
            return Err(InvalidKey);
        }
        match self {
            Self::Rsa { n, e } => VerificationKey::rsa(kid, alg, &bytes(n)?, &bytes(e)?),
            Self::Ec { x, y, .. } => {
                VerificationKey::elliptic(kid, alg, &[vec![4], bytes(x)?, bytes(y)?].concat())
            }
            Self::Okp { x, .. } => VerificationKey::elliptic(kid, alg, &bytes(x)?),
        }
    }
}

/// Values of `use` that mean signatures: RFC 7517 §4.2, and that of a SPIFFE bundle for the keys of JWT-SVIDs (SPIFFE Trust
/// Domain and Bundle §4.2.2).
const USES: [&str; 2] = ["sig", "jwt-svid"];

/// The algorithms that a JWK may be used with to verify: those of its type that its own `alg`, `use` and `key_ops` allow
/// (RFC 7517 §4.2 to §4.4). Often none.
pub(super) fn allowed_algorithms(
    jwk: &Members<'_>,
    parameters: &PublicParameters,
) -> Result<Vec<JwsAlgorithm>, InvalidKey> {
    let operations: Option<Vec<String>> = jwk.optional("key_ops").map_err(|_| InvalidKey)?;
    let is_for_verification = text(jwk, "use")?.is_none_or(|key_use| USES.contains(&&*key_use))
        && operations.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    let declared = text(jwk, "alg")?;
    let allows = |alg: JwsAlgorithm| declared.as_deref().is_none_or(|declared| declared.parse() == Ok(alg));
    Ok(parameters.algorithms().iter().copied().filter(|alg| is_for_verification && allows(*alg)).collect())
}

pub(super) fn text(jwk: &Members<'_>, name: &'static str) -> Result<Option<String>, InvalidKey> {
    jwk.optional(name).map_err(|_| InvalidKey)
}

/// A public key that came with the message it is to verify, as in a DPoP proof (RFC 9449 §4.2). It proves possession of
/// the private half and says nothing of who has it.
#[derive(Debug)]
pub struct EmbeddedKey {
    /// The key, for the algorithm of the header.
    pub key: VerificationKey,
    /// The RFC 7638 thumbprint, base64url: what `cnf.jkt` holds.
    pub thumbprint: String,
}

impl EmbeddedKey {
    /// Reads the `jwk` member of a header whose `alg` is given.
    ///
    /// # Errors
    /// [`InvalidKey`] unless it is one well-formed, strong, public key that may verify with that algorithm; a symmetric
    /// algorithm never fits.
    pub fn parse(jwk: &str, alg: JwsAlgorithm) -> Result<Self, InvalidKey> {
        let members = Members::parse(jwk.as_bytes()).map_err(|_: InvalidJson| InvalidKey)?;
        let parameters = PublicParameters::read(&members)?.ok_or(InvalidKey)?;
        if !allowed_algorithms(&members, &parameters)?.contains(&alg) {
            return Err(InvalidKey);
        }
        let thumbprint = thumbprint(&parameters);
        Ok(Self { key: parameters.verification_key(thumbprint.clone(), alg)?, thumbprint })
    }
}

/// The RFC 7638 §3 thumbprint with SHA-256, base64url: the required members in lexicographic order, nothing else.
pub fn thumbprint(parameters: &PublicParameters) -> String {
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

/// The set this server publishes (RFC 7517 §5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PublishedJwkSet {
    /// The keys, each `kid` once.
    pub keys: Vec<Jwk>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::PrivateKey;

    const RFC_7638_N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

    // CHK-85: the example of RFC 7638 §3.1
    #[test]
    fn thumbprint_of_the_rfc_example() {
        let parameters = PublicParameters::Rsa { n: RFC_7638_N.to_owned(), e: "AQAB".to_owned() };
        assert_eq!(thumbprint(&parameters), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let jwk =
            format!(r#"{{"kty":"RSA","n":"{RFC_7638_N}","e":"AQAB","alg":"RS256","kid":"2011-04-29"}}"#);
        let read = EmbeddedKey::parse(&jwk, JwsAlgorithm::RS256).unwrap();
        assert_eq!(read.thumbprint, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        // One key has one thumbprint, however its exponent is padded.
        let padded = jwk.replace("AQAB", "AAEAAQ");
        assert_eq!(EmbeddedKey::parse(&padded, JwsAlgorithm::RS256).unwrap().thumbprint, read.thumbprint);
    }

    // RFC 8037 App. A.3
    #[test]
    fn thumbprint_of_an_ed25519_key() {
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let read = EmbeddedKey::parse(jwk, JwsAlgorithm::EdDSA).unwrap();
        assert_eq!(read.thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    fn embedded(alg: JwsAlgorithm) -> serde_json::Value {
        let key = PrivateKey::generate(alg).unwrap();
        serde_json::to_value(key.jwk().unwrap().parameters()).unwrap()
    }

    // CHK-78, V-2: what RFC 9449 §4.3 item 7 asks, and the rest
    #[test]
    fn an_embedded_key_is_public_and_fits_the_algorithm() {
        for alg in JwsAlgorithm::ALL.into_iter().filter(|alg| !alg.is_symmetric()) {
            let jwk = embedded(alg);
            let parse = |jwk: &serde_json::Value, alg| EmbeddedKey::parse(&jwk.to_string(), alg);
            let read = parse(&jwk, alg).unwrap();
            assert_eq!((read.key.alg(), read.key.kid()), (alg, &*read.thumbprint));
            assert!(parse(&jwk, JwsAlgorithm::HS256).is_err());
            for name in PRIVATE_MEMBERS {
                let mut jwk = jwk.clone();
                jwk[name] = "AA".into();
                assert!(parse(&jwk, alg).is_err(), "{alg} {name}");
            }
            for (name, value, fits) in [
                ("alg", serde_json::json!(alg.as_str()), true),
                ("alg", serde_json::json!("none"), false),
                ("alg", serde_json::json!(1), false),
                ("use", serde_json::json!("sig"), true),
                ("use", serde_json::json!("enc"), false),
                ("key_ops", serde_json::json!(["verify"]), true),
                ("key_ops", serde_json::json!(["sign"]), false),
                ("key_ops", serde_json::json!("verify"), false),
                ("x5c", serde_json::json!(["AA"]), true),
                ("kid", serde_json::json!("anything"), true),
                ("kty", serde_json::json!("oct"), false),
                ("kty", serde_json::json!(null), false),
            ] {
                let mut jwk = jwk.clone();
                jwk[name] = value.clone();
                assert_eq!(parse(&jwk, alg).is_ok(), fits, "{alg} {name} {value}");
            }
        }
        assert!(EmbeddedKey::parse(r#"{"kty":"oct","k":"AAAA"}"#, JwsAlgorithm::HS256).is_err());
        for text in ["", "null", "[]", "\"x\"", r#"{"kty":"EC","kty":"EC"}"#] {
            assert!(EmbeddedKey::parse(text, JwsAlgorithm::ES256).is_err(), "{text}");
        }
    }

    // CHK-78: RFC 7518 §6.2.1.2, "the length of this octet string MUST be the full size of a coordinate"
    #[test]
    fn coordinates_have_their_full_length() {
        let jwk = embedded(JwsAlgorithm::ES256);
        let (x, y) = (jwk["x"].as_str().unwrap(), jwk["y"].as_str().unwrap());
        let (x, y) = (base64url_decode(x).unwrap(), base64url_decode(y).unwrap());
        let whole = [x, y].concat();
        for (at, fits) in [(32, true), (31, false), (33, false)] {
            let (x, y) = (base64url(&whole[..at]), base64url(&whole[at..]));
            let jwk = format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#);
            assert_eq!(EmbeddedKey::parse(&jwk, JwsAlgorithm::ES256).is_ok(), fits, "{at}");
        }
    }
}
