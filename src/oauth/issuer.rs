//! The issuer identifier (RFC 8414 §2): a URL that names this server, kept byte for byte.

use std::fmt;

/// An issuer identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer(String);

/// The text cannot be an issuer identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an issuer is an https URL (http only for tests) with a host and without query, fragment or final slash, \
     such as https://id.example or https://id.example/tenant"
)]
pub struct InvalidIssuer;

impl Issuer {
    /// Reads an issuer identifier. It is compared as a string by every party (RFC 8414 §3.3), so nothing is normalised;
    /// a final slash is refused because `issuer + "/token"` would then not be the token endpoint.
    ///
    /// # Errors
    /// [`InvalidIssuer`].
    pub fn parse(text: &str) -> Result<Self, InvalidIssuer> {
        let rest =
            text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or(InvalidIssuer)?;
        let authority = rest.split('/').next().unwrap_or_default();
        let url_character = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}?#".contains(&byte);
        let sound = !authority.is_empty()
            && !authority.starts_with(':')
            && !authority.contains('@')
            && text.bytes().all(url_character)
            && !text.ends_with('/')
            && !rest.contains("//");
        if sound { Ok(Self(text.to_owned())) } else { Err(InvalidIssuer) }
    }

    /// The identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path component, empty or starting with a slash.
    pub fn path(&self) -> &str {
        let after_scheme = self.0.find("://").map_or(0, |at| at + 3);
        self.0[after_scheme..].find('/').map_or("", |at| &self.0[after_scheme + at..])
    }

    /// Scheme and authority, without the path.
    pub fn origin(&self) -> &str {
        &self.0[..self.0.len() - self.path().len()]
    }

    /// The URL of an endpoint of this server.
    pub fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_what_follows_the_authority() {
        assert_eq!(Issuer::parse("https://id.example").unwrap().path(), "");
        assert_eq!(Issuer::parse("http://localhost:8000/a/b").unwrap().path(), "/a/b");
    }

    #[test]
    fn what_no_party_could_compare_is_refused() {
        for text in [
            "",
            "id.example",
            "ftp://id.example",
            "https://",
            "https:///a",
            "https://id.example/",
            "https://u@id.example",
            "https://id.example?x",
            "https://id.example#x",
            "https://id example",
            "https://id.example//a",
            "https://:1",
        ] {
            assert_eq!(Issuer::parse(text), Err(InvalidIssuer), "{text}");
        }
    }
}
