//! The signed statements of a client: assertions about itself (RFC 7523 §3) and DPoP proofs (RFC 9449 §4.2).

use serde_json::{Map, Value, json};
use url::Url;

use crate::{
    cli::output::Failure,
    clock::Timestamp,
    jose::{PrivateKey, base64url},
    random::{self, Random},
};

/// How long an assertion is good for, in seconds: enough for the way to the server and for clocks that differ a little.
const ASSERTION_LIFE: u64 = 60;

/// A client assertion: who says it, to whom, and for how long (RFC 7523 §3, draft-ietf-oauth-rfc7523bis §4).
///
/// # Errors
/// When signing or the random generator fails.
pub(super) fn assertion(
    key: &PrivateKey,
    kid: Option<&str>,
    (client_id, audience): (&str, &str),
    now: Timestamp,
    random: &dyn Random,
) -> Result<String, Failure> {
    let now = now.seconds();
    let claims = json!({
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "exp": now + ASSERTION_LIFE,
        "iat": now,
        "jti": unique(random)?,
    });
    // An explicit type, so that it can be taken for nothing else (RFC 8725 §3.11).
    let mut header = Map::from_iter([("typ".to_owned(), json!("client-authentication+jwt"))]);
    header.extend(kid.map(|kid| ("kid".to_owned(), json!(kid))));
    sign(key, header, &claims)
}

/// A proof of possession for one POST to this URL, with the nonce that the server demanded.
///
/// # Errors
/// As [`assertion`].
pub(super) fn dpop(
    key: &PrivateKey,
    url: &Url,
    nonce: Option<&str>,
    now: Timestamp,
    random: &dyn Random,
) -> Result<String, Failure> {
    // RFC 9449 §4.2: without query and fragment.
    let mut htu = url.clone();
    htu.set_query(None);
    htu.set_fragment(None);
    let mut claims =
        json!({ "jti": unique(random)?, "htm": "POST", "htu": htu.as_str(), "iat": now.seconds() });
    if let Some(nonce) = nonce {
        claims["nonce"] = json!(nonce);
    }
    let jwk = key.jwk().map(|jwk| json!(jwk.parameters()));
    let header = [("typ".to_owned(), json!("dpop+jwt")), ("jwk".to_owned(), json!(jwk))];
    sign(key, Map::from_iter(header), &claims)
}

fn sign(key: &PrivateKey, header: Map<String, Value>, claims: &Value) -> Result<String, Failure> {
    let signed = key.sign(header, claims.to_string().as_bytes());
    signed.map_err(|error| Failure::failed(format!("{error}; try again, or make another key")))
}

fn unique(random: &dyn Random) -> Result<String, Failure> {
    let bytes =
        random::bytes::<16>(random).map_err(|error| Failure::failed(format!("{error}; try again")))?;
    Ok(base64url(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        jose::{JwsAlgorithm, jws::UnverifiedJws},
        random::SystemRandom,
    };

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    /// Header and claims, the signature checked.
    fn read(text: &str, key: &PrivateKey) -> (Value, Value) {
        let payload = UnverifiedJws::parse(text).unwrap().verify(&key.verification_key().unwrap()).unwrap();
        let header = crate::jose::base64url_decode(text.split('.').next().unwrap()).unwrap();
        (serde_json::from_slice(&header).unwrap(), serde_json::from_slice(&payload).unwrap())
    }

    // CHK-63, CHK-64
    #[test]
    fn an_assertion_is_for_one_issuer_and_one_minute() {
        for alg in JwsAlgorithm::ALL {
            let key = if alg.is_symmetric() {
                PrivateKey::from_shared_secret(alg, &[b'k'; 64]).unwrap()
            } else {
                PrivateKey::generate(alg).unwrap()
            };
            let make =
                || assertion(&key, Some("k"), ("me", "https://id.example"), NOW, &SystemRandom).unwrap();
            let (header, claims) = read(&make(), &key);
            assert_eq!(
                header,
                json!({ "alg": alg.as_str(), "kid": "k", "typ": "client-authentication+jwt" })
            );
            let jti = &claims["jti"];
            assert_eq!(
                claims,
                json!({
                    "iss": "me", "sub": "me", "aud": "https://id.example",
                    "exp": 1_800_000_060, "iat": 1_800_000_000, "jti": jti
                })
            );
            assert_eq!(jti.as_str().unwrap().len(), 22);
            assert_ne!(&read(&make(), &key).1["jti"], jti);
        }
        let key = PrivateKey::generate(JwsAlgorithm::ES256).unwrap();
        let without = assertion(&key, None, ("me", "x"), NOW, &SystemRandom).unwrap();
        assert!(read(&without, &key).0.get("kid").is_none());
    }

    #[test]
    fn a_proof_carries_the_public_key_and_what_it_is_for() {
        let key = PrivateKey::generate(JwsAlgorithm::EdDSA).unwrap();
        let url = Url::parse("https://ID.example/token?tenant=a").unwrap();
        let (header, claims) = read(&dpop(&key, &url, None, NOW, &SystemRandom).unwrap(), &key);
        assert_eq!(header["typ"], "dpop+jwt");
        let members: Vec<&String> = header["jwk"].as_object().unwrap().keys().collect();
        assert_eq!(members, ["crv", "kty", "x"]);
        let jti = &claims["jti"];
        let expected =
            json!({ "jti": jti, "htm": "POST", "htu": "https://id.example/token", "iat": 1_800_000_000 });
        assert_eq!(claims, expected);
        let (_, claims) = read(&dpop(&key, &url, Some("n-1"), NOW, &SystemRandom).unwrap(), &key);
        assert_eq!(claims["nonce"], "n-1");
    }
}
