//! Who a token is meant for: resource indicators (RFC 8707) and audiences, against what the client may name.

use std::fmt;

use serde::Serialize;

use super::{
    client::Client,
    error::{Description, Error},
    issuer::Issuer,
};

/// The most audiences one request may name.
pub const MAX_AUDIENCES: usize = 32;

/// The name of somebody who accepts tokens: a URI or any other name without blanks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Audience(String);

/// The text cannot name an audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an audience is 1 to 512 visible ASCII characters without blanks, such as https://api.example")]
pub struct InvalidAudience;

impl Audience {
    /// Reads the name of an audience.
    ///
    /// # Errors
    /// [`InvalidAudience`].
    pub fn parse(text: &str) -> Result<Self, InvalidAudience> {
        let sound = (1..=512).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if sound { Ok(Self(text.to_owned())) } else { Err(InvalidAudience) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Chooses the audiences of a token: those that were asked for, each of which must be one of the client's, or the
/// client's default. Several are allowed and all end up in `aud` (RFC 8707 §2); the scope is the same for each.
///
/// # Errors
/// [`Error::InvalidTarget`].
pub fn choose(
    client: &Client,
    issuer: &Issuer,
    resources: &[String],
    audiences: &[String],
) -> Result<Vec<Audience>, Error> {
    let refuse = |text: &'static str| Err(Error::InvalidTarget(Description::new(text)));
    if resources.len() + audiences.len() > MAX_AUDIENCES {
        return refuse("too many resource and audience parameters");
    }
    if !resources.iter().all(|resource| is_absolute_uri(resource)) {
        return refuse("a resource must be an absolute URI without fragment");
    }
    let mut chosen: Vec<Audience> = Vec::new();
    for name in resources.iter().chain(audiences) {
        if !client.may_name_audience(name, issuer) {
            return refuse("the client is not registered for a requested resource or audience");
        }
        if !chosen.iter().any(|audience| audience.as_str() == name) {
            chosen.push(Audience(name.clone()));
        }
    }
    if chosen.is_empty() {
        chosen
            .push(client.audiences.first().cloned().unwrap_or_else(|| Audience(issuer.as_str().to_owned())));
    }
    Ok(chosen)
}

/// RFC 3986 §4.3 as far as RFC 8707 §2 needs it: a scheme, something after it, no fragment.
fn is_absolute_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && !rest.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

#[cfg(test)]
mod tests {
    use super::*;

    // CHK-95
    #[test]
    fn resources_are_absolute_uris_without_fragment() {
        assert!(is_absolute_uri("https://api.example/v1?x=1"));
        assert!(is_absolute_uri("urn:example:api"));
        for text in
            ["", "api", "/v1", "//api.example", "https:", "1a:b", "https://api.example/#x", "https://a b"]
        {
            assert!(!is_absolute_uri(text), "{text}");
        }
    }
}
