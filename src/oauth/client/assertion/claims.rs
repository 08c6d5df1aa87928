//! The claims of a client assertion (RFC 7523 §3) and what each profile asks of them.

use std::time::Duration;

use super::refusal::AssertionRefusal;
use crate::{
    clock::Timestamp,
    jose::json::{InvalidJson, Members, OneOrMany},
    oauth::{client::Profile, issuer::Issuer, sender::Endpoint},
};

/// How far the clocks of a client and this server may be apart. A `jti` is remembered for this long after `exp`, since that
/// is how long the assertion is accepted: with two different values a replay would fit in between.
pub const SKEW: Duration = Duration::from_secs(10);

/// The longest `jti`, in bytes.
const MAX_JTI: usize = 256;

/// The claims, with their types checked (V-6).
#[derive(Debug)]
pub(super) struct AssertionClaims {
    issuer: String,
    subject: String,
    audience: OneOrMany,
    expires_at: Timestamp,
    issued_at: Option<Timestamp>,
    not_before: Option<Timestamp>,
    token_id: String,
}

/// What an assertion was verified for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) client_id: &'a str,
    pub(super) issuer: &'a Issuer,
    /// Which endpoint was called.
    pub(super) endpoint: Endpoint,
    pub(super) now: Timestamp,
}

/// What must be used once, and until when it could be used again.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::oauth::client) struct OneUse {
    pub(in crate::oauth::client) token_id: String,
    pub(in crate::oauth::client) until: Timestamp,
}

impl AssertionClaims {
    /// Reads the payload of a verified assertion.
    pub(super) fn read(payload: &[u8]) -> Result<Self, InvalidJson> {
        let claims = Members::parse(payload)?;
        Ok(Self {
            issuer: claims.required("iss")?,
            subject: claims.required("sub")?,
            audience: claims.required("aud")?,
            expires_at: instant(&claims, "exp")?.ok_or(InvalidJson::Missing("exp"))?,
            issued_at: instant(&claims, "iat")?,
            not_before: instant(&claims, "nbf")?,
            token_id: claims.required("jti")?,
        })
    }

    /// Checks the claims under the rules of a profile.
    pub(super) fn check(
        &self,
        profile: Profile,
        expected: &Expected<'_>,
    ) -> Result<OneUse, AssertionRefusal> {
        let now = expected.now;
        // 6. Issuer and subject are the client (RFC 7523 §3, rules 1 and 2; CHK-59, CHK-60, V-7, V-19).
        if self.issuer != expected.client_id || self.subject != expected.client_id {
            return Err(AssertionRefusal::Subject);
        }
        // 7. The audience is this server (rule 3; CHK-61 to CHK-63, CHK-140, V-15).
        if !self.is_meant_for(profile, expected) {
            return Err(AssertionRefusal::Audience);
        }
        // 8. It has not expired (rule 4; CHK-65).
        let until = self.expires_at + SKEW;
        if until <= now {
            return Err(AssertionRefusal::Expired);
        }
        // 9. It lives no longer than it needs to, counted from `iat`, or from now (rule 4; CHK-66, V-17). With the tenth check
        //    this bounds how old `iat` can be, and how long the next one has to remember.
        if self.expires_at.since(self.issued_at.unwrap_or(now)) > profile.longest_assertion() {
            return Err(AssertionRefusal::Lifetime);
        }
        // 10. It was made and is valid by now (rules 5 and 6; CHK-67).
        if self.issued_at.max(self.not_before).is_some_and(|instant| instant > now + SKEW) {
            return Err(AssertionRefusal::NotYet);
        }
        // 11. It can be told from every other (rule 7; CHK-68, V-18).
        if !(1..=MAX_JTI).contains(&self.token_id.len()) {
            return Err(AssertionRefusal::Identifier);
        }
        Ok(OneUse { token_id: self.token_id.clone(), until })
    }

    /// An assertion for this server and somebody else could be passed on by either, so that every value must name this
    /// server.
    fn is_meant_for(&self, profile: Profile, expected: &Expected<'_>) -> bool {
        let issuer = expected.issuer.as_str();
        match (profile, &self.audience) {
            (Profile::Strict | Profile::Fapi2, OneOrMany::One(one)) => one == issuer,
            (Profile::Strict, OneOrMany::Many(many)) => matches!(&many[..], [one] if one == issuer),
            (Profile::Fapi2, OneOrMany::Many(_)) => false,
            (Profile::Smart, audience) => {
                let token_url = expected.issuer.endpoint("/token");
                matches!(values(audience), [one] if *one == token_url || one == issuer)
            }
            (Profile::Compat, audience) => {
                let urls = [
                    issuer.to_owned(),
                    expected.issuer.endpoint("/token"),
                    expected.endpoint.url(expected.issuer),
                ];
                let is_ours =
                    |value: &String| urls.iter().any(|url| value.strip_suffix('/').unwrap_or(value) == url);
                let values = values(audience);
                !values.is_empty() && values.iter().all(is_ours)
            }
        }
    }
}

fn values(audience: &OneOrMany) -> &[String] {
    match audience {
        OneOrMany::One(one) => std::slice::from_ref(one),
        OneOrMany::Many(many) => many,
    }
}

/// A NumericDate (RFC 7519 §2), which may have a fraction. A negative or an endless one is no instant.
fn instant(claims: &Members<'_>, name: &'static str) -> Result<Option<Timestamp>, InvalidJson> {
    let seconds: Option<f64> = claims.optional(name)?;
    let instant = |seconds: f64| {
        Duration::try_from_secs_f64(seconds).map(Timestamp::from_epoch).map_err(|_| InvalidJson::Member(name))
    };
    seconds.map(instant).transpose()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn judge(profile: Profile, claims: &Value) -> Result<OneUse, AssertionRefusal> {
        let issuer = Issuer::parse("https://id.example").unwrap();
        let expected = Expected {
            client_id: "me",
            issuer: &issuer,
            endpoint: Endpoint::Rest("/introspect"),
            now: Timestamp::from_epoch(Duration::from_millis(NOW * 1000 + 500)),
        };
        AssertionClaims::read(claims.to_string().as_bytes())
            .map_err(AssertionRefusal::Claims)?
            .check(profile, &expected)
    }

    fn claims(name: &str, value: Value) -> Value {
        let mut claims = json!({
            "iss": "me", "sub": "me", "aud": "https://id.example", "exp": NOW + 60, "iat": NOW, "jti": "1",
        });
        claims[name] = value;
        claims
    }

    // CHK-61, CHK-62, CHK-63, CHK-140, V-7, V-15
    #[test]
    fn every_profile_has_its_audiences() {
        use Profile::{Compat, Fapi2, Smart, Strict};

        let issuer = "https://id.example";
        let (token, called) = ("https://id.example/token", "https://id.example/introspect");
        for (audience, accepted_by) in [
            (json!(issuer), &[Strict, Compat, Smart, Fapi2][..]),
            (json!([issuer]), &[Strict, Compat, Smart]),
            (json!(token), &[Compat, Smart]),
            (json!([token]), &[Compat, Smart]),
            (json!(called), &[Compat]),
            (json!([issuer, token]), &[Compat]),
            (json!("https://id.example/"), &[Compat]),
            (json!("https://id.example/token/"), &[Compat]),
            (json!("https://id.example//"), &[]),
            (json!([issuer, "https://evil.example"]), &[]),
            (json!("https://id.exampl"), &[]),
            (json!("https://ID.example"), &[]),
            (json!("https://id.example/revoke"), &[]),
            (json!([]), &[]),
            (json!(""), &[]),
        ] {
            for profile in [Strict, Compat, Smart, Fapi2] {
                let outcome = judge(profile, &claims("aud", audience.clone()));
                assert_eq!(outcome.is_ok(), accepted_by.contains(&profile), "{profile:?} {audience}");
            }
        }
    }

    // CHK-65, CHK-66, CHK-67, V-6, V-17
    #[test]
    fn instants_are_bounded() {
        let refused = |name: &str, value: Value| judge(Profile::Strict, &claims(name, value)).err();
        // The clock of the test stands half a second after NOW.
        for (name, value, refusal) in [
            ("exp", json!(NOW + 300), None),
            ("exp", json!(NOW + 301), Some(AssertionRefusal::Lifetime)),
            ("exp", json!(NOW - 9), None),
            ("exp", json!(NOW as f64 - 9.6), Some(AssertionRefusal::Expired)),
            ("exp", json!(NOW - 10), Some(AssertionRefusal::Expired)),
            ("iat", json!(NOW + 10), None),
            ("iat", json!(NOW + 11), Some(AssertionRefusal::NotYet)),
            ("iat", json!(NOW - 240), None),
            ("iat", json!(NOW - 241), Some(AssertionRefusal::Lifetime)),
            ("nbf", json!(NOW + 10), None),
            ("nbf", json!(NOW + 61), Some(AssertionRefusal::NotYet)),
            ("nbf", json!(0), None),
        ] {
            assert_eq!(refused(name, value.clone()), refusal, "{name} {value}");
        }
        // Without `iat` the life is counted from now.
        let without = |exp: u64| {
            let mut claims = claims("exp", json!(exp));
            claims.as_object_mut().unwrap().remove("iat");
            judge(Profile::Strict, &claims).err()
        };
        assert_eq!(without(NOW + 300), None);
        assert_eq!(without(NOW + 301), Some(AssertionRefusal::Lifetime));

        for name in ["exp", "iat", "nbf"] {
            for value in [json!("1"), json!(true), Value::Null, json!([NOW]), json!(-1), json!(1e300)] {
                let refusal = refused(name, value.clone());
                assert_eq!(
                    refusal,
                    Some(AssertionRefusal::Claims(InvalidJson::Member(name))),
                    "{name} {value}"
                );
            }
        }
    }

    #[test]
    fn an_older_library_may_ask_for_an_hour() {
        assert!(judge(Profile::Compat, &claims("exp", json!(NOW + 3600))).is_ok());
        assert_eq!(
            judge(Profile::Compat, &claims("exp", json!(NOW + 3601))).unwrap_err(),
            AssertionRefusal::Lifetime
        );
    }

    // V-16: what is remembered ends when the assertion does
    #[test]
    fn an_identifier_is_kept_as_long_as_it_could_come_back() {
        let one_use = judge(Profile::Strict, &claims("jti", json!("x"))).unwrap();
        assert_eq!(one_use, OneUse { token_id: "x".to_owned(), until: Timestamp::from_seconds(NOW + 70) });
    }
}
