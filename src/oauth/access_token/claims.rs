//! The claims of an access token, read in one pass over the signed text.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::jose::json::{InvalidJson, MAX_MEMBERS, Members, Name, OneOrMany};

/// What a token says. A name that appears twice and a claim of another type are errors.
#[derive(Debug, Default)]
pub(super) struct Claims<'a> {
    pub(super) iss: Option<String>,
    pub(super) sub: Option<String>,
    pub(super) aud: Option<OneOrMany>,
    pub(super) exp: Option<u64>,
    pub(super) iat: Option<u64>,
    pub(super) nbf: Option<u64>,
    pub(super) jti: Option<String>,
    pub(super) client_id: Option<Cow<'a, str>>,
    pub(super) azp: Option<String>,
    pub(super) scope: Option<Cow<'a, str>>,
    pub(super) cnf: Option<Members<'a>>,
    /// All others, as they were signed.
    pub(super) others: Vec<OtherClaim<'a>>,
}

/// A claim that decides nothing here: its name, and its value as it was signed.
pub type OtherClaim<'a> = (Cow<'a, str>, &'a RawValue);

impl<'a> Claims<'a> {
    /// Reads one object that fills `text` completely.
    ///
    /// # Errors
    /// [`InvalidJson::Object`].
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, InvalidJson> {
        let text = std::str::from_utf8(text).map_err(|_| InvalidJson::Object)?;
        serde_json::from_str(text).map_err(|_| InvalidJson::Object)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Claims<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EachOnce)
    }
}

/// Collects claims and refuses a name it has seen.
struct EachOnce;

impl<'de> Visitor<'de> for EachOnce {
    type Value = Claims<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object of claims with unique names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims<'de>, A::Error> {
        let mut claims = Claims::default();
        let mut members = 0;
        while let Some(Name(name)) = map.next_key()? {
            let is_new = match &*name {
                "iss" => read(&mut claims.iss, &mut map)?,
                "sub" => read(&mut claims.sub, &mut map)?,
                "aud" => read(&mut claims.aud, &mut map)?,
                "exp" => read(&mut claims.exp, &mut map)?,
                "iat" => read(&mut claims.iat, &mut map)?,
                "nbf" => read(&mut claims.nbf, &mut map)?,
                "jti" => read(&mut claims.jti, &mut map)?,
                "client_id" => read_text(&mut claims.client_id, &mut map)?,
                "azp" => read(&mut claims.azp, &mut map)?,
                "scope" => read_text(&mut claims.scope, &mut map)?,
                "cnf" => read(&mut claims.cnf, &mut map)?,
                _ => {
                    let is_new = claims.others.iter().all(|(other, _)| *other != name);
                    claims.others.push((name, map.next_value()?));
                    is_new
                }
            };
            members += 1;
            if !is_new || members > MAX_MEMBERS {
                return Err(Error::custom("repeated name or too many members"));
            }
        }
        Ok(claims)
    }
}

/// Reads the next value; returns whether it is the first of its name.
fn read<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    claim: &mut Option<T>,
    map: &mut A,
) -> Result<bool, A::Error> {
    Ok(claim.replace(map.next_value()?).is_none())
}

/// The same for a text that need not be kept.
fn read_text<'de, A: MapAccess<'de>>(
    claim: &mut Option<Cow<'de, str>>,
    map: &mut A,
) -> Result<bool, A::Error> {
    let Name(text) = map.next_value()?;
    Ok(claim.replace(text).is_none())
}
