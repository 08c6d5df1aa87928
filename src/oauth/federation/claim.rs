//! What is asked of a claim: where it is, and what it says.

use std::fmt;

use serde_json::value::RawValue;

use crate::jose::json::Members;

/// How deep a path may lead.
const MAX_DEPTH: usize = 8;

/// A text in which `*` stands for any characters, also for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern<'a>(&'a str);

impl<'a> Pattern<'a> {
    /// Every text is a pattern.
    pub fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Whether a whole text fits. The time it takes grows with the product of both lengths at most: what lies between two
    /// stars is found at its first place, and no other place need be tried.
    pub fn matches(self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == text };
        let Some(mut text) = text.strip_prefix(first) else { return false };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        for part in middle.split('*') {
            let Some(at) = text.find(part) else { return false };
            text = &text[at + part.len()..];
        }
        text.ends_with(last)
    }
}

/// A claim and what it must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    path: String,
    value: String,
}

impl Condition {
    /// A condition on the claim at `path`: member names from the outside in, joined by dots. Names may have dots
    /// themselves (`kubernetes.io.namespace` is the member `namespace` of `kubernetes.io`).
    pub fn new(path: impl Into<String>, value: impl Into<String>) -> Self {
        Self { path: path.into(), value: value.into() }
    }

    /// Whether the claims fulfil it: exactly one claim is at the path, and its text fits. A number or truth value fits by
    /// its JSON text, a list by one of its texts.
    pub fn holds(&self, claims: &Members<'_>) -> bool {
        let mut found = Vec::new();
        find(claims, &self.path, MAX_DEPTH, &mut found);
        // A path that can be read in two ways is not one place; somebody who may write claims could provide the other.
        let [value] = found[..] else { return false };
        fits(value, Pattern::new(&self.value))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:?}", self.path, self.value)
    }
}

/// Collects every value that the path can mean.
fn find<'a>(members: &Members<'a>, path: &str, depth: usize, found: &mut Vec<&'a RawValue>) {
    for (name, value) in members.iter() {
        match path.strip_prefix(name) {
            Some("") => found.push(value),
            Some(rest) if depth > 0 => {
                if let Some(rest) = rest.strip_prefix('.')
                    && let Ok(inner) = Members::parse(value.get().as_bytes())
                {
                    find(&inner, rest, depth - 1, found);
                }
            }
            _ => {}
        }
    }
}

fn fits(value: &RawValue, pattern: Pattern<'_>) -> bool {
    let value = value.get();
    if let Ok(text) = serde_json::from_str::<String>(value) {
        return pattern.matches(&text);
    }
    if let Ok(texts) = serde_json::from_str::<Vec<String>>(value) {
        return texts.iter().any(|text| pattern.matches(text));
    }
    let is_plain =
        value == "true" || value == "false" || serde_json::from_str::<serde_json::Number>(value).is_ok();
    is_plain && pattern.matches(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        let fits = |pattern: &str, text: &str| Pattern::new(pattern).matches(text);
        for (pattern, text) in [
            ("", ""),
            ("a", "a"),
            ("*", ""),
            ("*", "anything:/at all"),
            ("a*", "a"),
            ("a*", "abc"),
            ("*c", "abc"),
            ("a*c", "ac"),
            ("a*c", "abcbc"),
            ("a**c", "abc"),
            ("repo:o/r:*:refs/heads/*", "repo:o/r:ref:refs/heads/main"),
            ("system:serviceaccount:prod:*", "system:serviceaccount:prod:billing"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("a", "A"),
            ("a", "ab"),
            ("a", "ba"),
            ("ab*ba", "aba"),
            ("a*c", "ab"),
            ("*b*b", "b"),
            ("system:serviceaccount:prod:*", "system:serviceaccount:prod-evil:x"),
            ("a.c", "abc"),
            ("[a]", "a"),
            ("?", "a"),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_path_leads_through_names_with_dots() {
        let claims =
            br#"{"kubernetes.io":{"namespace":"prod","pod":{"name":"a-1"}},"sub":"s","groups":["x","ops"],
            "n":7,"yes":true,"nothing":null,"a.b":{"c":"1"},"a":{"b.c":"2"},"deep":{"x.y":{"z":"3"}}}"#;
        let claims = Members::parse(claims).unwrap();
        let holds = |path: &str, value: &str| Condition::new(path, value).holds(&claims);
        assert!(holds("kubernetes.io.namespace", "prod"));
        assert!(holds("kubernetes.io.pod.name", "a-*"));
        assert!(holds("sub", "*"));
        assert!(holds("groups", "ops"));
        assert!(holds("n", "7"));
        assert!(holds("yes", "true"));
        assert!(holds("deep.x.y.z", "3"));
        for (path, value) in [
            ("kubernetes.io.namespace", "dev"),
            ("kubernetes.io", "*"),
            ("kubernetes", "*"),
            ("namespace", "*"),
            ("kubernetes.io.namespace.x", "*"),
            ("groups", "o"),
            ("n", "8"),
            ("nothing", "*"),
            ("missing", "*"),
            ("", "*"),
            // It can be read in two ways.
            ("a.b.c", "1"),
            ("a.b.c", "2"),
        ] {
            assert!(!holds(path, value), "{path} {value}");
        }
    }

    proptest! {
        #[test]
        fn patterns_agree_with_a_plain_definition(pattern in "[ab*]{0,8}", text in "[ab]{0,8}") {
            fn plain(pattern: &[u8], text: &[u8]) -> bool {
                match (pattern.split_first(), text.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), _) => {
                        plain(rest, text) || text.split_first().is_some_and(|(_, tail)| plain(pattern, tail))
                    }
                    (Some((a, pattern)), Some((b, text))) => a == b && plain(pattern, text),
                    _ => false,
                }
            }
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), plain(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
