//! Key sets of others (RFC 7517 §5): what clients register, publish, and what trusted issuers publish.
//!
//! A set is read once and never trusted to choose: a key is found by the `kid` and algorithm of a message, and only when
//! there is exactly one. URLs inside a key (`x5u`) are not read, and its certificate (`x5c`) is nothing but compared.

use base64::engine::{Engine, general_purpose::STANDARD};
use serde_json::value::RawValue;

use super::{
    JwsAlgorithm, VerificationKey,
    json::{InvalidJson, Members},
    jwk::{PublicParameters, allowed_algorithms, text},
    verification_key::InvalidKey,
};

/// The longest text of a set, in bytes.
pub const MAX_LENGTH: usize = 256 * 1024;

/// The most keys of a set, usable or not.
pub const MAX_KEYS: usize = 64;

/// A key set read from outside, with the keys that can verify something.
#[derive(Debug, Default)]
pub struct JwkSet {
    keys: Vec<Entry>,
}

/// One key of a set, parsed for each algorithm it may be used with.
#[derive(Debug)]
struct Entry {
    kid: Option<String>,
    parameters: PublicParameters,
    certificate: Option<Vec<u8>>,
    by_algorithm: Vec<VerificationKey>,
}

/// What a set has for a message.
#[derive(Debug)]
pub enum Selection<'a> {
    /// The one key that fits.
    Found(&'a VerificationKey),
    /// No key fits.
    NoKey,
    /// Several keys fit, and guessing between keys is not verification.
    Ambiguous,
}

impl<'a> Selection<'a> {
    /// The key, when there is exactly one.
    pub fn found(self) -> Option<&'a VerificationKey> {
        match self {
            Self::Found(key) => Some(key),
            Self::NoKey | Self::Ambiguous => None,
        }
    }
}

/// Why a key set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwkSet {
    /// The text is not a key set.
    #[error("the key set is not JSON of the form {{\"keys\": [...]}}: {0}")]
    Json(#[from] InvalidJson),
    /// Longer than [`MAX_LENGTH`] or with more keys than [`MAX_KEYS`].
    #[error("the key set is longer than {MAX_LENGTH} bytes or has more than {MAX_KEYS} keys")]
    TooLarge,
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
    /// Reads a key set that somebody wrote for this server, such as the `jwks` of a registration. Keys of unknown type,
    /// use or algorithm are left out, as RFC 7517 §5 demands; symmetric keys are among them.
    ///
    /// # Errors
    /// [`InvalidJwkSet`] for anything malformed, and for keys that are off their curve, of small order, too short, or
    /// that show their private half.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidJwkSet> {
        Self::read(text, Err)
    }

    /// The same for a set that was fetched: it is not for us to correct, and one bad key must not take the others along,
    /// so such a key is left out.
    ///
    /// # Errors
    /// [`InvalidJwkSet::Json`] and [`InvalidJwkSet::TooLarge`].
    pub fn parse_lenient(text: &[u8]) -> Result<Self, InvalidJwkSet> {
        Self::read(text, |_| Ok(()))
    }

    fn read(
        text: &[u8],
        malformed: impl Fn(InvalidJwkSet) -> Result<(), InvalidJwkSet>,
    ) -> Result<Self, InvalidJwkSet> {
        if text.len() > MAX_LENGTH {
            return Err(InvalidJwkSet::TooLarge);
        }
        let entries: Vec<&RawValue> = Members::parse(text)?.required("keys")?;
        if entries.len() > MAX_KEYS {
            return Err(InvalidJwkSet::TooLarge);
        }
        let mut keys = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            match Entry::read(entry.get()) {
                Ok(entry) => keys.extend(entry),
                Err(problem) => malformed(InvalidJwkSet::Key { index, problem })?,
            }
        }
        Ok(Self { keys })
    }

    /// The key for a message: named by `kid` when the message has one, and of the algorithm.
    ///
    /// A `kid` that two keys of the same type have is ambiguous even when only one of them may be used with the
    /// algorithm: whoever made the set has lost track of it. Without `kid` exactly one key must fit the algorithm.
    pub fn find(&self, kid: Option<&str>, alg: JwsAlgorithm) -> Selection<'_> {
        let mut candidates: Vec<&Entry> = match kid {
            Some(kid) => self
                .keys
                .iter()
                .filter(|key| key.kid.as_deref() == Some(kid) && key.is_of_the_type_of(alg))
                .collect(),
            None => self.keys.iter().filter(|key| key.get(alg).is_some()).collect(),
        };
        match (candidates.pop(), candidates.is_empty()) {
            (Some(key), true) => key.get(alg).map_or(Selection::NoKey, Selection::Found),
            (Some(_), false) => Selection::Ambiguous,
            (None, _) => Selection::NoKey,
        }
    }

    /// Whether a usable key has this identifier.
    pub fn has_kid(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// The public keys of the set that can verify something, in order.
    pub fn public_keys(&self) -> impl Iterator<Item = &PublicParameters> {
        self.keys.iter().map(|key| &key.parameters)
    }

    /// Each of them with its certificate in DER, the first of `x5c` (RFC 7517 §4.7), if it has one. A member that is not of
    /// that form stands there as an empty certificate, which is none that anybody presents.
    pub fn certified_keys(&self) -> impl Iterator<Item = (&PublicParameters, Option<&[u8]>)> {
        self.keys.iter().map(|key| (&key.parameters, key.certificate.as_deref()))
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

impl Entry {
    /// `None` for a key that this server has no use for.
    fn read(jwk: &str) -> Result<Option<Self>, InvalidKey> {
        let members = Members::parse(jwk.as_bytes()).map_err(|_: InvalidJson| InvalidKey)?;
        let Some(parameters) = PublicParameters::read(&members)? else { return Ok(None) };
        let kid = text(&members, "kid")?;
        let by_algorithm = allowed_algorithms(&members, &parameters)?
            .into_iter()
            .map(|alg| parameters.verification_key(kid.clone().unwrap_or_default(), alg))
            .collect::<Result<Vec<_>, _>>()?;
        let certificate = certificate(&members);
        Ok((!by_algorithm.is_empty()).then_some(Self { kid, parameters, certificate, by_algorithm }))
    }

    fn get(&self, alg: JwsAlgorithm) -> Option<&VerificationKey> {
        self.by_algorithm.iter().find(|key| key.alg() == alg)
    }

    /// `kty`: RSA keys serve several algorithms, EC curves one each.
    fn is_of_the_type_of(&self, alg: JwsAlgorithm) -> bool {
        use JwsAlgorithm::{ES256, ES384};
        match self.parameters {
            PublicParameters::Ec { .. } => matches!(alg, ES256 | ES384),
            _ => self.parameters.algorithms().contains(&alg),
        }
    }
}

/// The first of `x5c`: base64, not base64url.
fn certificate(jwk: &Members<'_>) -> Option<Vec<u8>> {
    jwk.get("x5c")?;
    let certificates: Vec<String> = jwk.required("x5c").unwrap_or_default();
    let first = certificates.first().and_then(|text| STANDARD.decode(text).ok());
    Some(first.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::jose::{PrivateKey, SigningAlgorithm, SigningKey, jwk::PublishedJwkSet};

    fn jwk(alg: JwsAlgorithm, members: &Value) -> Value {
        let key = PrivateKey::generate(alg).unwrap();
        let mut jwk = serde_json::to_value(key.jwk().unwrap().parameters()).unwrap();
        jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        jwk
    }

    fn text(keys: &[Value]) -> Vec<u8> {
        json!({ "keys": keys }).to_string().into_bytes()
    }

    fn set(keys: &[Value]) -> JwkSet {
        JwkSet::parse(&text(keys)).unwrap()
    }

    #[test]
    fn what_is_published_can_be_read_back() {
        let keys: Vec<_> =
            SigningAlgorithm::ALL[..5].iter().map(|alg| SigningKey::generate(*alg).unwrap()).collect();
        let published = PublishedJwkSet { keys: keys.iter().map(|key| key.jwk().unwrap().clone()).collect() };
        let set = JwkSet::parse(&serde_json::to_vec(&published).unwrap()).unwrap();
        for key in keys {
            assert_eq!(set.find(Some(key.kid()), key.alg().into()).found().unwrap().kid(), key.kid());
        }
    }

    // CHK-82, CHK-136
    #[test]
    fn no_key_is_guessed() {
        use JwsAlgorithm::{ES256, ES384, EdDSA, RS384};
        let key = |kid: &str| jwk(EdDSA, &json!({ "kid": kid }));
        let anonymous = jwk(EdDSA, &json!({}));
        let found = |keys: &[Value], kid, alg| set(keys).find(kid, alg).found().is_some();

        assert!(found(&[key("a")], None, EdDSA));
        assert!(found(&[key("a")], Some("a"), EdDSA));
        assert!(!found(&[key("a")], Some("b"), EdDSA));
        assert!(!found(&[key("a"), key("b")], None, EdDSA));
        assert!(!found(&[key("a"), key("a")], Some("a"), EdDSA));
        assert!(found(&[key("a"), key("b")], Some("b"), EdDSA));
        assert!(found(std::slice::from_ref(&anonymous), None, EdDSA));
        // A key without identifier has not the empty one.
        assert!(!found(std::slice::from_ref(&anonymous), Some(""), EdDSA));
        assert!(!found(&[anonymous.clone(), anonymous], None, EdDSA));

        // Two types may share a kid, two keys of one type may not, whatever their alg.
        let mixed = [jwk(ES256, &json!({"kid": "a"})), jwk(RS384, &json!({"kid": "a", "alg": "RS384"}))];
        assert!(found(&mixed, Some("a"), ES256) && found(&mixed, Some("a"), RS384));
        assert!(found(&mixed, None, ES256));
        let curves = [jwk(ES256, &json!({"kid": "a"})), jwk(ES384, &json!({"kid": "a"}))];
        assert!(matches!(set(&curves).find(Some("a"), ES256), Selection::Ambiguous));
        assert!(found(&curves, None, ES256));
    }

    // CHK-74
    #[test]
    fn a_key_serves_the_algorithms_it_declares() {
        use JwsAlgorithm::{PS256, RS256, RS384};
        let free = set(&[jwk(RS256, &json!({"kid": "a"}))]);
        let bound = set(&[jwk(RS256, &json!({"kid": "a", "alg": "RS384"}))]);
        for alg in [RS256, RS384, PS256] {
            assert!(free.find(Some("a"), alg).found().is_some(), "{alg}");
            assert_eq!(bound.find(Some("a"), alg).found().is_some(), alg == RS384, "{alg}");
        }
        for symmetric in [JwsAlgorithm::HS256, JwsAlgorithm::HS512] {
            assert!(free.find(Some("a"), symmetric).found().is_none());
        }
        let named = set(&[jwk(JwsAlgorithm::EdDSA, &json!({"alg": "Ed25519"}))]);
        assert!(named.find(None, JwsAlgorithm::EdDSA).found().is_some());
    }

    // RFC 7517 §5: "Implementations SHOULD ignore JWKs within a JWK Set that use `kty` values that are not understood"
    #[test]
    fn keys_for_something_else_are_left_out() {
        let signing = |members: &Value| jwk(JwsAlgorithm::ES256, members);
        for key in [
            json!({"kty": "oct", "k": "AAAA", "alg": "HS256", "kid": "a"}),
            json!({"kty": "AKP", "pub": "AAAA"}),
            json!({"kty": "OKP", "crv": "X25519", "x": "AAAA"}),
            json!({"kty": "EC", "crv": "secp256k1", "x": "AAAA", "y": "AAAA"}),
            json!({}),
            signing(&json!({"use": "enc"})),
            signing(&json!({"use": "x509-svid"})),
            signing(&json!({"alg": "ECDH-ES"})),
            signing(&json!({"key_ops": ["deriveKey"]})),
        ] {
            assert!(set(std::slice::from_ref(&key)).is_empty(), "{key}");
        }
        let unused = json!({"use": "sig", "x5c": ["AA"], "x5u": "http://x", "key_ops": ["verify"]});
        assert_eq!(set(&[signing(&unused)]).len(), 1);
    }

    // CHK-78, CHK-79, V-31
    #[test]
    fn a_malformed_key_is_refused_or_left_out() {
        let good = || jwk(JwsAlgorithm::ES256, &json!({"kid": "good"}));
        let off_curve =
            jwk(JwsAlgorithm::ES256, &json!({"y": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}));
        let weak = json!({"kty": "RSA", "n": super::super::base64url([0xFF; 128]), "e": "AQAB"});
        let small_order = jwk(JwsAlgorithm::EdDSA, &json!({"x": super::super::base64url([0; 32])}));
        for bad in [
            off_curve,
            weak,
            small_order,
            jwk(JwsAlgorithm::ES256, &json!({"d": "AAAA"})),
            jwk(JwsAlgorithm::ES256, &json!({"x": "A+/="})),
            jwk(JwsAlgorithm::ES256, &json!({"kid": 1})),
            jwk(JwsAlgorithm::ES256, &json!({"x": null})),
            json!({"kty": 1}),
            json!("text"),
            json!([]),
        ] {
            let text = text(&[good(), bad.clone()]);
            let refused = JwkSet::parse(&text).unwrap_err();
            assert_eq!(refused, InvalidJwkSet::Key { index: 1, problem: InvalidKey }, "{bad}");
            let lenient = JwkSet::parse_lenient(&text).unwrap();
            assert!(lenient.len() == 1 && lenient.has_kid("good"), "{bad}");
        }
    }

    // V-9
    #[test]
    fn sets_are_bounded() {
        let many = vec![json!({"kty": "oct"}); MAX_KEYS + 1];
        assert!(JwkSet::parse(&text(&many[1..])).is_ok());
        assert_eq!(JwkSet::parse(&text(&many)).unwrap_err(), InvalidJwkSet::TooLarge);
        let long = format!("{{\"keys\":[]{}}}", " ".repeat(MAX_LENGTH));
        assert_eq!(JwkSet::parse_lenient(long.as_bytes()).unwrap_err(), InvalidJwkSet::TooLarge);
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, "<html>"] {
            assert!(matches!(JwkSet::parse_lenient(text.as_bytes()), Err(InvalidJwkSet::Json(_))), "{text}");
        }
    }
}
