//! JSON objects read strictly (RFC 8259, RFC 7515 §4, RFC 7519 §4): member names are unique, values are kept as written.
//!
//! `serde_json::Value` keeps the last of two equal names, as other parsers keep the first; two parties could then read
//! different claims from one signed text. Here a repeated name is an error, and a value stays the text it was, so that
//! no number loses a digit.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The most members one object may have. It bounds the cost of comparing names.
pub const MAX_MEMBERS: usize = 256;

/// The members of one JSON object.
#[derive(Debug, Default)]
pub struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// Why a text is not the JSON object it should be. The text itself is never part of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJson {
    /// Not UTF-8, not JSON, not an object, a repeated name, or too many members.
    #[error("it is not a JSON object with unique member names")]
    Object,
    /// A member has another JSON type, or a value outside the range, than its definition asks for.
    #[error("the member {0:?} has the wrong type or range")]
    Member(&'static str),
    /// A member that must be there is missing.
    #[error("the member {0:?} is missing")]
    Missing(&'static str),
}

impl<'a> Members<'a> {
    /// Reads one object that fills `text` completely.
    ///
    /// # Errors
    /// [`InvalidJson::Object`].
    pub fn parse(text: &'a [u8]) -> Result<Self, InvalidJson> {
        let text = std::str::from_utf8(text).map_err(|_| InvalidJson::Object)?;
        serde_json::from_str(text).map_err(|_| InvalidJson::Object)
    }

    /// The value of a member, as it was written.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    /// All members, in the order they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// A member of any type that serde can read. A wrong type is an error, never "absent".
    ///
    /// # Errors
    /// [`InvalidJson::Member`].
    pub fn optional<T: Deserialize<'a>>(&self, name: &'static str) -> Result<Option<T>, InvalidJson> {
        self.get(name)
            .map(|value| serde_json::from_str(value.get()).map_err(|_| InvalidJson::Member(name)))
            .transpose()
    }

    /// A member that must be there.
    ///
    /// # Errors
    /// [`InvalidJson::Missing`] or [`InvalidJson::Member`].
    pub fn required<T: Deserialize<'a>>(&self, name: &'static str) -> Result<T, InvalidJson> {
        self.optional(name)?.ok_or(InvalidJson::Missing(name))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueNames)
    }
}

/// Collects members and refuses a name it has seen.
struct UniqueNames;

impl<'de> Visitor<'de> for UniqueNames {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object with unique member names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::with_capacity(16);
        while let Some(Name(name)) = map.next_key()? {
            if members.len() == MAX_MEMBERS || members.iter().any(|(earlier, _)| *earlier == name) {
                return Err(serde::de::Error::custom("repeated name or too many members"));
            }
            members.push((name, map.next_value()?));
        }
        Ok(Members(members))
    }
}

/// A member name: borrowed unless it was written with escapes.
#[derive(Debug, Deserialize)]
pub struct Name<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// One string, or several (RFC 7519 §4.1.3, the `aud` claim).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OneOrMany {
    /// A single JSON string.
    One(String),
    /// An array of strings.
    Many(Vec<String>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Strings)
    }
}

/// Reads one string or an array of them; what serde derives for such an enum reads everything twice.
struct Strings;

impl<'de> Visitor<'de> for Strings {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an array of strings")
    }

    fn visit_str<E>(self, one: &str) -> Result<OneOrMany, E> {
        Ok(OneOrMany::One(one.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut several: A) -> Result<OneOrMany, A::Error> {
        let mut many = Vec::new();
        while let Some(one) = several.next_element()? {
            many.push(one);
        }
        Ok(OneOrMany::Many(many))
    }
}

impl OneOrMany {
    /// The strings, in order.
    pub fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // V-14, CHK-73
    #[test]
    fn a_repeated_name_is_an_error_even_when_spelled_differently() {
        for text in [r#"{"sub":"a","sub":"b"}"#, r#"{"alg":"ES256","\u0061lg":"none"}"#] {
            assert_eq!(Members::parse(text.as_bytes()).unwrap_err(), InvalidJson::Object, "{text}");
        }
    }

    // CHK-81
    #[test]
    fn only_utf8_objects_are_read() {
        for text in [
            &b"[1]"[..],
            b"1",
            b"",
            b"{",
            b"{} {}",
            b"{\"a\":\"\xff\"}",
            b"{\"a\":\"\\ud800\"",
            b"\xef\xbb\xbf{}",
        ] {
            assert_eq!(Members::parse(text).unwrap_err(), InvalidJson::Object, "{text:?}");
        }
    }

    // V-6
    #[test]
    fn a_wrong_type_is_not_absent() {
        let members = Members::parse(br#"{"exp":"1","iat":null,"nbf":-1,"aud":{},"n":1e400}"#).unwrap();
        assert_eq!(members.optional::<u64>("exp"), Err(InvalidJson::Member("exp")));
        assert_eq!(members.required::<u64>("iat"), Err(InvalidJson::Member("iat")));
        assert_eq!(members.optional::<u64>("nbf"), Err(InvalidJson::Member("nbf")));
        assert_eq!(members.optional::<OneOrMany>("aud"), Err(InvalidJson::Member("aud")));
        assert_eq!(members.optional::<u64>("n"), Err(InvalidJson::Member("n")));
        assert_eq!(members.required::<u64>("jti"), Err(InvalidJson::Missing("jti")));
    }

    // V-9
    #[test]
    fn deep_and_wide_texts_end_quickly() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let _ = Members::parse(deep.as_bytes());
        let wide = (0..100_000).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(",");
        assert_eq!(Members::parse(format!("{{{wide}}}").as_bytes()).unwrap_err(), InvalidJson::Object);
    }

    #[test]
    fn numbers_stay_as_written() {
        let members = Members::parse(br#"{"a":1.10,"b":12345678901234567890123}"#).unwrap();
        assert_eq!(members.get("a").unwrap().get(), "1.10");
        assert_eq!(members.get("b").unwrap().get(), "12345678901234567890123");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Members::parse(&bytes);
        }
    }
}
