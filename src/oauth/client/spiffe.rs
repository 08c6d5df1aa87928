//! SPIFFE IDs (SPIFFE ID §2): the names of workloads, and the patterns a client may be registered with.
//!
//! Nothing is normalised: an identifier has one spelling, so that two of them are the same exactly when their bytes are.

use std::{fmt, str::FromStr};

/// The longest identifier, in bytes (SPIFFE ID §2.3).
const MAX_BYTES: usize = 2048;

/// The longest name of a trust domain, in bytes (SPIFFE ID §2.3).
const MAX_TRUST_DOMAIN_BYTES: usize = 255;

/// `spiffe://trust-domain/path`; the path may be missing, as it is in the identifier of a trust domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    text: Box<str>,
    /// Where the path begins: its slash, or the end of the text.
    path: usize,
}

/// The text cannot be a SPIFFE ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a SPIFFE ID is spiffe://trust-domain/path: a trust domain of a-z 0-9 . - _, segments of A-Z a-z 0-9 . - _ that are \
     not empty, . or .., and at most 2048 bytes"
)]
pub struct InvalidSpiffeId;

impl SpiffeId {
    /// Reads an identifier. Scheme and trust domain must be in lower case; a port, user, query, fragment or percent-encoding
    /// has no place in it.
    ///
    /// # Errors
    /// [`InvalidSpiffeId`].
    pub fn parse(text: &str) -> Result<Self, InvalidSpiffeId> {
        let name = text.strip_prefix("spiffe://").ok_or(InvalidSpiffeId)?;
        let (trust_domain, path) = name.split_at(name.find('/').unwrap_or(name.len()));
        let is_segment = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        };
        let sound = text.len() <= MAX_BYTES
            && is_trust_domain(trust_domain)
            && (path.is_empty() || path[1..].split('/').all(is_segment));
        if sound {
            Ok(Self { text: text.into(), path: text.len() - path.len() })
        } else {
            Err(InvalidSpiffeId)
        }
    }

    /// The whole identifier.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of its trust domain.
    pub fn trust_domain(&self) -> &str {
        &self.text["spiffe://".len()..self.path]
    }

    /// What follows the trust domain: empty, or a slash and the segments.
    pub fn path(&self) -> &str {
        &self.text[self.path..]
    }

    /// Whether it can name a workload: a trust domain alone cannot (X.509-SVID §3.1, JWT-SVID §3.1).
    pub fn names_workload(&self) -> bool {
        !self.path().is_empty()
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for SpiffeId {
    type Err = InvalidSpiffeId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Whether a text can name a trust domain (SPIFFE ID §2.1).
pub fn is_trust_domain(text: &str) -> bool {
    (1..=MAX_TRUST_DOMAIN_BYTES).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'))
}

/// The workloads that are one client: a single one, or with a last segment `*` all below a path. `spiffe://example.org/a/*`
/// fits `spiffe://example.org/a/b` and `.../a/b/c`, neither `.../a` nor `.../ab`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffePattern {
    id: SpiffeId,
    below: bool,
}

/// The text cannot be a pattern of SPIFFE IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it must be a SPIFFE ID with a path, such as spiffe://example.org/billing, or end in /* for all below a path"
)]
pub struct InvalidSpiffePattern;

impl SpiffePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`InvalidSpiffePattern`]; an exact pattern without a path would fit no workload.
    pub fn parse(text: &str) -> Result<Self, InvalidSpiffePattern> {
        let (id, below) = match text.strip_suffix("/*") {
            Some(id) => (id, true),
            None => (text, false),
        };
        let id = SpiffeId::parse(id).map_err(|_| InvalidSpiffePattern)?;
        if below || id.names_workload() { Ok(Self { id, below }) } else { Err(InvalidSpiffePattern) }
    }

    /// Whether the workload is one of these.
    pub fn matches(&self, id: &SpiffeId) -> bool {
        if self.below {
            id.as_str().strip_prefix(self.id.as_str()).is_some_and(|rest| rest.starts_with('/'))
        } else {
            id == &self.id
        }
    }

    /// The trust domain of all its workloads.
    pub fn trust_domain(&self) -> &str {
        self.id.trust_domain()
    }
}

impl fmt::Display for SpiffePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.id, if self.below { "/*" } else { "" })
    }
}

impl FromStr for SpiffePattern {
    type Err = InvalidSpiffePattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn identifiers_have_a_trust_domain_and_a_path() {
        let id = SpiffeId::parse("spiffe://example.org/ns/prod/sa/Billing_1.x").unwrap();
        assert_eq!((id.trust_domain(), id.path()), ("example.org", "/ns/prod/sa/Billing_1.x"));
        assert!(id.names_workload());
        assert_eq!(id.to_string(), "spiffe://example.org/ns/prod/sa/Billing_1.x");
        let domain = SpiffeId::parse("spiffe://example.org").unwrap();
        assert_eq!((domain.trust_domain(), domain.path()), ("example.org", ""));
        assert!(!domain.names_workload());
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for text in [
            "",
            "spiffe://",
            "spiffe:///a",
            "SPIFFE://example.org/a",
            "https://example.org/a",
            "spiffe://Example.org/a",
            "spiffe://example.org:443/a",
            "spiffe://user@example.org/a",
            "spiffe://[::1]/a",
            "spiffe://example.org/",
            "spiffe://example.org/a/",
            "spiffe://example.org//a",
            "spiffe://example.org/a//b",
            "spiffe://example.org/./a",
            "spiffe://example.org/a/..",
            "spiffe://example.org/a?b",
            "spiffe://example.org/a#b",
            "spiffe://example.org/a%62",
            "spiffe://example.org/a b",
            "spiffe://example.org/\u{e9}",
            "spiffe://ex\u{e4}mple.org/a",
            "spiffe://example.org/*",
        ] {
            assert_eq!(SpiffeId::parse(text), Err(InvalidSpiffeId), "{text}");
        }
        let longest = format!("spiffe://example.org/{}", "a".repeat(2048 - "spiffe://example.org/".len()));
        assert!(SpiffeId::parse(&longest).is_ok());
        assert!(SpiffeId::parse(&format!("{longest}a")).is_err());
        assert!(SpiffeId::parse(&format!("spiffe://{}/a", "d".repeat(255))).is_ok());
        assert!(SpiffeId::parse(&format!("spiffe://{}/a", "d".repeat(256))).is_err());
    }

    #[test]
    fn a_pattern_ends_between_segments() {
        let fits = |pattern: &str, id: &str| {
            SpiffePattern::parse(pattern).unwrap().matches(&SpiffeId::parse(id).unwrap())
        };
        assert!(fits("spiffe://example.org/a", "spiffe://example.org/a"));
        assert!(!fits("spiffe://example.org/a", "spiffe://example.org/a/b"));
        assert!(!fits("spiffe://example.org/a", "spiffe://example.org/A"));
        assert!(fits("spiffe://example.org/a/*", "spiffe://example.org/a/b"));
        assert!(fits("spiffe://example.org/a/*", "spiffe://example.org/a/b/c"));
        assert!(!fits("spiffe://example.org/a/*", "spiffe://example.org/a"));
        assert!(!fits("spiffe://example.org/a/*", "spiffe://example.org/ab"));
        assert!(fits("spiffe://example.org/*", "spiffe://example.org/a"));
        assert!(!fits("spiffe://example.org/*", "spiffe://example.org"));
        assert!(!fits("spiffe://example.org/*", "spiffe://example.org.evil/a"));
        assert!(!fits("spiffe://example.org/*", "spiffe://evil.org/a"));
        for text in [
            "spiffe://example.org",
            "spiffe://*",
            "spiffe://example.org/a*",
            "spiffe://example.org/*/a",
            "/*",
            "",
        ] {
            assert_eq!(SpiffePattern::parse(text), Err(InvalidSpiffePattern), "{text}");
        }
        assert_eq!(SpiffePattern::parse("spiffe://a/b/*").unwrap().to_string(), "spiffe://a/b/*");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(spiffe://)?[a-z/.%*:@\\PC]{0,40}") {
            if let Ok(id) = SpiffeId::parse(&text) {
                prop_assert_eq!(format!("spiffe://{}{}", id.trust_domain(), id.path()), text.clone());
            }
            let _ = SpiffePattern::parse(&text);
        }
    }
}
