//! Access tokens as JWTs (RFC 9068): what a token says, written and read.
//!
//! Beside the claims of RFC 9068 §2.2 a token carries `nbf`, `azp` and `scp` for the sake of resource servers that look
//! for those, and the client's own claims. Reading is the exact inverse of writing: a claim of another type, another
//! issuer or another `typ` makes the token unacceptable, whoever signed it.

mod claims;

use std::time::Duration;

use serde::{Serialize, Serializer, ser::SerializeMap};

use self::claims::Claims;
pub use self::claims::OtherClaim;
use super::{
    client::{Client, ClientId},
    confirmation::Confirmation,
    error::TokenRefusal,
    issuer::Issuer,
    resource::Audience,
    scope::Scope,
};
use crate::{
    clock::Timestamp,
    jose::{
        KeyRing,
        json::{InvalidJson, OneOrMany},
        jws::{CompactJws, InvalidJws, UnverifiedJws},
        signing_key::ACCESS_TOKEN_TYPE,
    },
};

/// How far ahead of this server's clock `nbf` may lie: replicas do not agree on the time to the second.
const NOT_BEFORE_LEEWAY: Duration = Duration::from_secs(10);

/// Claims whose meaning is fixed; a client cannot be registered with one of its own by these names. The last three
/// would collide with members of the introspection response (RFC 7662 §2.2).
const REGISTERED_CLAIMS: [&str; 21] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "client_id",
    "scope",
    "azp",
    "scp",
    "cnf",
    "act",
    "may_act",
    "typ",
    "auth_time",
    "acr",
    "amr",
    "active",
    "token_type",
    "username",
];

/// Whether the server alone decides what a claim of this name says.
pub fn is_registered_claim(name: &str) -> bool {
    REGISTERED_CLAIMS.contains(&name)
}

/// What a new token will say.
#[derive(Debug)]
pub struct AccessTokenClaims<'a> {
    /// `iss`
    pub issuer: &'a Issuer,
    /// `sub`, `client_id`, `azp`, and the client's own claims
    pub client: &'a Client,
    /// `aud`; a string when there is one, an array when there are several
    pub audiences: &'a [Audience],
    /// `scope` and `scp`; left out when empty
    pub scope: &'a Scope,
    /// `iat` and `nbf`
    pub issued_at: Timestamp,
    /// `exp`
    pub expires_at: Timestamp,
    /// `jti`; a token that is only explained has none
    pub token_id: Option<&'a str>,
    /// `cnf`
    pub confirmation: Option<&'a Confirmation>,
}

impl Serialize for AccessTokenClaims<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let client_id = self.client.client_id.as_str();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("iss", self.issuer.as_str())?;
        map.serialize_entry("sub", client_id)?;
        match self.audiences {
            [one] => map.serialize_entry("aud", one)?,
            several => map.serialize_entry("aud", several)?,
        }
        map.serialize_entry("exp", &self.expires_at.seconds())?;
        map.serialize_entry("iat", &self.issued_at.seconds())?;
        map.serialize_entry("nbf", &self.issued_at.seconds())?;
        if let Some(token_id) = self.token_id {
            map.serialize_entry("jti", token_id)?;
        }
        map.serialize_entry("client_id", client_id)?;
        map.serialize_entry("azp", client_id)?;
        if !self.scope.is_empty() {
            map.serialize_entry("scope", self.scope)?;
            map.serialize_entry("scp", &Tokens(self.scope))?;
        }
        if let Some(confirmation) = self.confirmation {
            map.serialize_entry("cnf", confirmation)?;
        }
        for (name, value) in &self.client.claims {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A scope as the array that `scp` is.
struct Tokens<'a>(&'a Scope);

impl Serialize for Tokens<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.tokens())
    }
}

/// A token that this server signed and that is valid now. Only [`AccessToken::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    /// `iss`
    pub issuer: String,
    /// `sub`
    pub subject: String,
    /// `client_id`
    pub client_id: ClientId,
    /// `azp`
    pub authorized_party: String,
    /// `aud`
    pub audiences: Vec<String>,
    /// `scope`; empty when the token has none
    pub scope: Scope,
    /// `jti`
    pub token_id: String,
    /// `exp`
    pub expires_at: Timestamp,
    /// `iat`
    pub issued_at: Timestamp,
    /// `nbf`
    pub not_before: Timestamp,
    /// `kid` of the header: the key that signed it
    pub kid: String,
    /// `cnf`: what the token is bound to
    pub confirmation: Option<Confirmation>,
    /// All claims, byte for byte as they were signed: one JSON object.
    pub claims_json: Vec<u8>,
}

impl AccessToken {
    /// Verifies a token of this server (RFC 9068 §4): shape, type, key, signature, issuer, claims, time, in this order.
    /// Whether its client still is what it was, and whether it was revoked, is the caller's question.
    ///
    /// # Errors
    /// [`TokenRefusal`], for the log.
    pub fn verify(text: &str, keys: &KeyRing, issuer: &Issuer, now: Timestamp) -> Result<Self, TokenRefusal> {
        Self::verify_with(text, keys, issuer, now, |_| ()).map(|(token, ())| token)
    }

    /// The same, and what `also` makes of the claims that decide nothing.
    ///
    /// # Errors
    /// [`TokenRefusal`], for the log.
    pub fn verify_with<T>(
        text: &str,
        keys: &KeyRing,
        issuer: &Issuer,
        now: Timestamp,
        also: impl FnOnce(&[OtherClaim<'_>]) -> T,
    ) -> Result<(Self, T), TokenRefusal> {
        let (token, others) = Self::read_signed_with(text, keys, issuer, also)?;
        if now >= token.expires_at || token.not_before > now + NOT_BEFORE_LEEWAY {
            return Err(TokenRefusal::Time);
        }
        Ok((token, others))
    }

    /// Verifies a token whatever the time.
    ///
    /// # Errors
    /// [`TokenRefusal`], but for [`TokenRefusal::Time`].
    pub fn read_signed(text: &str, keys: &KeyRing, issuer: &Issuer) -> Result<Self, TokenRefusal> {
        Self::read_signed_with(text, keys, issuer, |_| ()).map(|(token, ())| token)
    }

    fn read_signed_with<T>(
        text: &str,
        keys: &KeyRing,
        issuer: &Issuer,
        also: impl FnOnce(&[OtherClaim<'_>]) -> T,
    ) -> Result<(Self, T), TokenRefusal> {
        let refusal = |error| match error {
            InvalidJws::Algorithm | InvalidJws::Signature => TokenRefusal::Signature,
            _ => TokenRefusal::Malformed,
        };
        let jws = CompactJws::split(text).map_err(refusal)?;
        let (kid, payload) = match keys.key_of_header(jws.encoded_header()) {
            // Written by this version: type, algorithm and key are told by the whole header.
            Some(key) => (key.kid().to_owned(), jws.verify(key.verification_key()).map_err(refusal)?),
            None => {
                let jws = UnverifiedJws::read(jws).map_err(refusal)?;
                if jws.header().typ.as_deref() != Some(ACCESS_TOKEN_TYPE) {
                    return Err(TokenRefusal::Malformed);
                }
                let kid = jws.header().kid.clone().ok_or(TokenRefusal::Signature)?;
                let key = keys.verification_key(&kid).ok_or(TokenRefusal::Signature)?;
                let payload = jws.verify(key).map_err(refusal)?;
                (kid, payload)
            }
        };
        let (token, others) = Self::read(payload, kid, also).map_err(|_| TokenRefusal::Claims)?;
        if token.issuer != issuer.as_str() {
            return Err(TokenRefusal::Claims);
        }
        Ok((token, others))
    }

    fn read<T>(
        payload: Vec<u8>,
        kid: String,
        also: impl FnOnce(&[OtherClaim<'_>]) -> T,
    ) -> Result<(Self, T), InvalidJson> {
        let claims = Claims::parse(&payload)?;
        let others = also(&claims.others);
        let confirmation = claims.cnf.map(|cnf| Confirmation::read(&cnf)).transpose()?;
        let client_id = required("client_id", claims.client_id)?;
        let token = Self {
            issuer: required("iss", claims.iss)?,
            subject: required("sub", claims.sub)?,
            client_id: ClientId::parse(&client_id).map_err(|_| InvalidJson::Member("client_id"))?,
            authorized_party: required("azp", claims.azp)?,
            audiences: required("aud", claims.aud).map(OneOrMany::into_vec)?,
            scope: match claims.scope {
                Some(text) => Scope::parse(&text).map_err(|_| InvalidJson::Member("scope"))?,
                None => Scope::default(),
            },
            token_id: required("jti", claims.jti)?,
            expires_at: required("exp", claims.exp).map(Timestamp::from_seconds)?,
            issued_at: required("iat", claims.iat).map(Timestamp::from_seconds)?,
            not_before: required("nbf", claims.nbf).map(Timestamp::from_seconds)?,
            kid,
            confirmation,
            claims_json: payload,
        };
        Ok((token, others))
    }

    /// Whether `aud` names this party.
    pub fn is_meant_for(&self, audience: &str) -> bool {
        self.audiences.iter().any(|member| member == audience)
    }
}

fn required<T>(name: &'static str, claim: Option<T>) -> Result<T, InvalidJson> {
    claim.ok_or(InvalidJson::Missing(name))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        jose::{SigningAlgorithm, SigningKey, base64url, json::MAX_MEMBERS},
        secret::Secret,
    };

    const NOW: u64 = 1_800_000_000;
    const CLAIMS: &str = r#"{"iss":"https://id.example","sub":"c","aud":"https://id.example","exp":1800000060,"iat":1800000000,"nbf":1800000000,"jti":"j","client_id":"c","azp":"c","scope":"read"}"#;

    /// A token as if it had been verified.
    pub(crate) fn token(token_id: &str, client_id: &str, kid: &str, issued_at: u64) -> AccessToken {
        let claims = format!(
            r#"{{"iss":"https://id.example","sub":"c","aud":"https://id.example","exp":{},"iat":{issued_at},"nbf":{issued_at},"jti":"{token_id}","client_id":"{client_id}","azp":"c"}}"#,
            issued_at + 3600
        );
        AccessToken::read(claims.into_bytes(), kid.to_owned(), |_| ()).unwrap().0
    }

    fn ring() -> KeyRing {
        let mut ring = KeyRing::default();
        ring.insert(SigningKey::generate(SigningAlgorithm::ES256).unwrap()).unwrap();
        ring.insert(
            SigningKey::from_shared_secret(&Secret::from("0123456789abcdef0123456789abcdef")).unwrap(),
        )
        .unwrap();
        ring
    }

    fn verify_at(ring: &KeyRing, token: &str, now: u64) -> Result<AccessToken, TokenRefusal> {
        let issuer = Issuer::parse("https://id.example").unwrap();
        AccessToken::verify(token, ring, &issuer, Timestamp::from_seconds(now))
    }

    fn verify_claims(claims: &str) -> Result<AccessToken, TokenRefusal> {
        let ring = ring();
        let token =
            ring.signing_key(SigningAlgorithm::ES256).unwrap().sign_access_token(claims.as_bytes()).unwrap();
        verify_at(&ring, &token, NOW)
    }

    /// The claims with one member replaced; an empty value removes it.
    fn with(name: &str, value: &str) -> String {
        let mut map: serde_json::Map<String, serde_json::Value> = serde_json::from_str(CLAIMS).unwrap();
        map.remove(name);
        let rest = serde_json::to_string(&map).unwrap();
        if value.is_empty() { rest } else { format!("{{\"{name}\":{value},{}", &rest[1..]) }
    }

    #[test]
    fn a_good_token_is_read() {
        let token = verify_claims(CLAIMS).unwrap();
        assert_eq!(token.claims_json, CLAIMS.as_bytes());
        assert_eq!(token.scope.as_str(), "read");
        assert!(token.is_meant_for("https://id.example"));
        assert!(!token.is_meant_for("https://id.exampl"));
    }

    // V-6, V-7, CHK-89
    #[test]
    fn every_claim_must_be_there_with_its_type() {
        for name in ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "azp"] {
            for value in ["", "null", "true", "{}", "[1]", "-1", "1e400"] {
                assert_eq!(verify_claims(&with(name, value)), Err(TokenRefusal::Claims), "{name}: {value}");
            }
        }
        for value in ["\"1800000060\"", "1800000060.5", "99999999999999999999999"] {
            assert_eq!(verify_claims(&with("exp", value)), Err(TokenRefusal::Claims), "{value}");
        }
        assert_eq!(verify_claims(&with("scope", "[\"read\"]")), Err(TokenRefusal::Claims));
        // V-47: what nobody here could check is no binding.
        for cnf in ["{}", "null", "\"x\"", "{\"jkt\":1}", "{\"kid\":\"x\"}", "{\"jkt\":\"x\",\"kid\":\"x\"}"]
        {
            assert_eq!(verify_claims(&with("cnf", cnf)), Err(TokenRefusal::Claims), "{cnf}");
        }
    }

    // V-7: the issuer is compared as a whole string
    #[test]
    fn the_issuer_is_exact() {
        for iss in [
            r#"["https://id.example"]"#,
            r#""https://id.example/""#,
            r#""https://ID.example""#,
            r#""https://id.exampl""#,
        ] {
            assert_eq!(verify_claims(&with("iss", iss)), Err(TokenRefusal::Claims), "{iss}");
        }
    }

    // V-14
    #[test]
    fn a_repeated_claim_is_refused() {
        for first in [r#""sub":"other""#, r#""x":1,"x":1"#, r#""x":1,"\u0078":2"#] {
            let doubled = format!("{{{first},{}", &CLAIMS[1..]);
            assert_eq!(verify_claims(&doubled), Err(TokenRefusal::Claims), "{first}");
        }
        // V-9
        let many = |count| (0..count).map(|n| format!("\"x{n}\":0,")).collect::<String>();
        let with_others = |count| verify_claims(&format!("{{{}{}", many(count), &CLAIMS[1..]));
        assert!(with_others(MAX_MEMBERS - 10).is_ok());
        assert_eq!(with_others(MAX_MEMBERS - 9), Err(TokenRefusal::Claims));
    }

    // CHK-42, CHK-45
    #[test]
    fn a_token_lives_from_nbf_to_exp() {
        let ring = ring();
        let token =
            ring.signing_key(SigningAlgorithm::ES256).unwrap().sign_access_token(CLAIMS.as_bytes()).unwrap();
        assert_eq!(verify_at(&ring, &token, NOW - 11), Err(TokenRefusal::Time));
        assert!(verify_at(&ring, &token, NOW - 10).is_ok());
        assert!(verify_at(&ring, &token, NOW + 59).is_ok());
        assert_eq!(verify_at(&ring, &token, NOW + 60), Err(TokenRefusal::Time));
    }

    // CHK-42, CHK-75: that a signature was found right before decides nothing else.
    #[test]
    fn a_token_that_was_good_is_judged_anew() {
        let (ring, other_ring) = (ring(), self::ring());
        let token =
            ring.signing_key(SigningAlgorithm::ES256).unwrap().sign_access_token(CLAIMS.as_bytes()).unwrap();
        assert!(verify_at(&ring, &token, NOW).is_ok());
        assert_eq!(verify_at(&ring, &token, NOW + 60), Err(TokenRefusal::Time));
        let elsewhere = Issuer::parse("https://other.example").unwrap();
        let at = Timestamp::from_seconds(NOW);
        assert_eq!(AccessToken::verify(&token, &ring, &elsewhere, at), Err(TokenRefusal::Claims));
        assert_eq!(verify_at(&other_ring, &token, NOW), Err(TokenRefusal::Signature));
        assert!(verify_at(&ring, &token, NOW).is_ok());
    }

    // V-2, V-3, V-4, CHK-75, CHK-76: whatever a header offers, only the key that kid names counts
    #[test]
    fn headers_choose_nothing_but_a_key_of_ours() {
        let ring = ring();
        let key = ring.signing_key(SigningAlgorithm::ES256).unwrap();
        let good = key.sign_access_token(CLAIMS.as_bytes()).unwrap();
        let (_, rest) = good.split_once('.').unwrap();
        let kid = key.kid();
        let jwk = serde_json::to_string(key.jwk().unwrap()).unwrap();
        for header in [
            r#"{"alg":"ES256","typ":"at+jwt"}"#.to_owned(),
            r#"{"alg":"ES256","typ":"at+jwt","kid":"../../dev/null"}"#.to_owned(),
            r#"{"alg":"ES256","typ":"at+jwt","kid":"' OR 1=1--\u0000"}"#.to_owned(),
            format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"ES256","typ":"at+jwt","jwk":{jwk}}}"#),
            format!(r#"{{"alg":"none","typ":"at+jwt","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"HS256","typ":"at+jwt","kid":"{kid}"}}"#),
        ] {
            assert!(verify_at(&ring, &format!("{}.{rest}", base64url(&header)), NOW).is_err(), "{header}");
        }
    }

    // V-1, V-2: the header that is known whole says nothing about the signature
    #[test]
    fn a_known_header_makes_no_token() {
        let ring = ring();
        let sign = |alg| ring.signing_key(alg).unwrap().sign_access_token(CLAIMS.as_bytes()).unwrap();
        let (token, other) = (sign(SigningAlgorithm::ES256), sign(SigningAlgorithm::HS256));
        let ((header, rest), (_, of_other)) =
            (token.split_once('.').unwrap(), other.split_once('.').unwrap());
        assert!(ring.key_of_header(header).is_some());
        let (payload, signature) = rest.split_once('.').unwrap();
        for forged in [
            format!("{header}.{of_other}"),
            format!("{header}.{}.{signature}", base64url(with("sub", "\"other\""))),
        ] {
            assert_eq!(verify_at(&ring, &forged, NOW), Err(TokenRefusal::Signature), "{forged}");
        }
        for shapeless in [format!("{header}.{payload}."), format!("{header}.{payload}"), format!("{token}.")]
        {
            assert_eq!(verify_at(&ring, &shapeless, NOW), Err(TokenRefusal::Malformed), "{shapeless}");
        }
    }

    // Another version may write its header in another way.
    #[test]
    fn another_header_is_read() {
        let ring = ring();
        let key = ring.signing_key(SigningAlgorithm::ES256).unwrap();
        let header = format!(r#"{{"alg":"ES256","kid":"{}","typ":"at+jwt"}}"#, key.kid());
        let input = format!("{}.{}", base64url(header), base64url(CLAIMS));
        let signature = base64url(key.private_key().sign_bytes(input.as_bytes()).unwrap());
        assert_eq!(verify_at(&ring, &format!("{input}.{signature}"), NOW).unwrap().kid, key.kid());
    }
}
