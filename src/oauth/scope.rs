//! Scope (RFC 6749 §3.3): a set of case-sensitive, space-delimited tokens.

use std::fmt;

use serde::{Serialize, Serializer};

/// The longest scope parameter that is read, in bytes. More is refused before it is split.
pub const MAX_SCOPE_LENGTH: usize = 8 * 1024;

/// The most scope-tokens in one value.
pub const MAX_SCOPE_TOKENS: usize = 256;

/// A set of scope-tokens in the order they were first named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The wire form: the tokens, each once, separated by single spaces.
    text: Box<str>,
}

/// Why a text is not a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScope {
    /// A character outside `%x21 / %x23-5B / %x5D-7E`, or a blank where a token should be.
    #[error(
        "a scope is a list of scope-tokens separated by single spaces: visible ASCII characters, no quotation mark, no \
         backslash"
    )]
    Syntax,
    /// More than [`MAX_SCOPE_LENGTH`] bytes or [`MAX_SCOPE_TOKENS`] tokens.
    #[error("a scope may have at most {MAX_SCOPE_TOKENS} tokens and {MAX_SCOPE_LENGTH} bytes")]
    TooLong,
}

impl Scope {
    /// Reads the wire form. A token that appears twice counts once.
    ///
    /// # Errors
    /// [`InvalidScope::TooLong`] or [`InvalidScope::Syntax`]; the empty text is a syntax error, since an empty
    /// parameter counts as omitted (RFC 6749 §3.2) and must not reach this point.
    pub fn parse(text: &str) -> Result<Self, InvalidScope> {
        if text.len() > MAX_SCOPE_LENGTH {
            return Err(InvalidScope::TooLong);
        }
        let mut tokens: Vec<&str> = Vec::new();
        for token in text.split(' ') {
            if token.is_empty() || !token.bytes().all(is_scope_character) {
                return Err(InvalidScope::Syntax);
            }
            if !tokens.contains(&token) {
                if tokens.len() == MAX_SCOPE_TOKENS {
                    return Err(InvalidScope::TooLong);
                }
                tokens.push(token);
            }
        }
        Ok(Self { text: tokens.join(" ").into() })
    }

    /// The wire form; empty when there is no token.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The tokens, in order.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.text.split(' ').filter(|token| !token.is_empty())
    }

    /// Whether `token` is a member; case matters.
    pub fn contains(&self, token: &str) -> bool {
        self.tokens().any(|member| member == token)
    }

    /// The first token of `self` that `allowed` lacks.
    pub fn first_outside<'a>(&'a self, allowed: &Self) -> Option<&'a str> {
        self.tokens().find(|token| !allowed.contains(token))
    }
}

/// NQSCHAR without the space: `%x21 / %x23-5B / %x5D-7E`.
const fn is_scope_character(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E)
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// A scope as a request carries it. It is read only once the client is known, so that a stranger is told that it is one
/// and nothing else, whichever transport it uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestedScope {
    /// The wire form (RFC 6749 §3.3).
    Text(String),
    /// One scope-token per item, as gRPC carries them.
    Tokens(Vec<String>),
}

impl RequestedScope {
    /// Reads it.
    ///
    /// # Errors
    /// As [`Scope::parse`]; also [`InvalidScope::Syntax`] when an item is empty or holds a space, so that one item cannot
    /// smuggle in two tokens.
    pub fn read(&self) -> Result<Scope, InvalidScope> {
        match self {
            Self::Text(text) => Scope::parse(text),
            Self::Tokens(tokens) if tokens.iter().any(|token| token.is_empty() || token.contains(' ')) => {
                Err(InvalidScope::Syntax)
            }
            Self::Tokens(tokens) => Scope::parse(&tokens.join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keeps_order_and_drops_repetitions() {
        let scope = Scope::parse("write read write").unwrap();
        assert_eq!(scope.as_str(), "write read");
        assert_eq!(scope.tokens().collect::<Vec<_>>(), ["write", "read"]);
    }

    // CHK-14
    #[test]
    fn refuses_what_the_grammar_excludes() {
        for text in ["", " ", "read ", " read", "read  write", "a\"b", "a\\b", "a\tb", "a\nb", "é", "a\u{7f}"]
        {
            assert_eq!(Scope::parse(text), Err(InvalidScope::Syntax), "{text:?}");
        }
    }

    // CHK-16
    #[test]
    fn case_matters() {
        let allowed = Scope::parse("read write").unwrap();
        assert_eq!(Scope::parse("read Write").unwrap().first_outside(&allowed), Some("Write"));
        assert_eq!(Scope::parse("write").unwrap().first_outside(&allowed), None);
    }

    // V-38
    #[test]
    fn is_bounded() {
        let tokens = |count| (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert!(Scope::parse(&tokens(MAX_SCOPE_TOKENS)).is_ok());
        assert_eq!(Scope::parse(&tokens(MAX_SCOPE_TOKENS + 1)), Err(InvalidScope::TooLong));
        assert_eq!(Scope::parse(&"a".repeat(MAX_SCOPE_LENGTH + 1)), Err(InvalidScope::TooLong));
    }

    #[test]
    fn an_item_of_a_list_is_one_token() {
        let read = |items: &[&str]| {
            RequestedScope::Tokens(items.iter().map(|item| (*item).to_owned()).collect()).read()
        };
        assert_eq!(read(&["a", "b"]).unwrap().as_str(), "a b");
        for items in [&["a b"][..], &["a", ""], &["a\"b"]] {
            assert_eq!(read(items), Err(InvalidScope::Syntax), "{items:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            if let Ok(scope) = Scope::parse(&text) {
                prop_assert_eq!(&Scope::parse(scope.as_str()).unwrap(), &scope);
                prop_assert!(scope.tokens().all(|token| text.split(' ').any(|t| t == token)));
            }
        }
    }
}
