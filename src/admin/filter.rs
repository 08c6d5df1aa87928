//! Which clients a list shows and in which order: the part of AIP-160 and AIP-132 that a store can answer by index.
//!
//! A filter is comparisons joined by `AND`: `enabled = true`, `client_id = "billing"`, `client_id = "bill*"`. Within the
//! quotes `\` makes the next character stand for itself, so that an identifier that ends in `*` can be named.

use super::error::AdminError;
use crate::oauth::store::ClientOrder;

/// The longest filter that is read.
const MAX_LENGTH: usize = 1024;

/// A filter that was read. Its words only ever become values of a statement, never a part of its text (V-43).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) enabled: Option<bool>,
    pub(super) client_id: Option<Pattern>,
}

/// Which identifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Exactly(String),
    Prefix(String),
}

/// What a list is ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OrderBy {
    pub(super) order: ClientOrder,
    pub(super) descending: bool,
}

impl Filter {
    pub(super) fn parse(text: &str) -> Result<Self, AdminError> {
        let refuse = || {
            AdminError::invalid(
                "filter",
                "it must be comparisons joined by AND, such as: enabled = true AND client_id = \"bill*\"",
            )
        };
        let mut filter = Self::default();
        let mut rest = text.trim();
        if rest.is_empty() {
            return Ok(filter);
        }
        if rest.len() > MAX_LENGTH {
            return Err(refuse());
        }
        loop {
            let (name, value) = rest.split_once('=').ok_or_else(refuse)?;
            let (value, after) = Value::read(value.trim_start()).ok_or_else(refuse)?;
            match (name.trim_end(), value) {
                ("enabled", Value::Word("true")) if filter.enabled.is_none() => filter.enabled = Some(true),
                ("enabled", Value::Word("false")) if filter.enabled.is_none() => filter.enabled = Some(false),
                ("client_id", Value::Text(pattern)) if filter.client_id.is_none() => {
                    filter.client_id = Some(pattern);
                }
                _ => return Err(refuse()),
            }
            let after = after.trim_start();
            if after.is_empty() {
                return Ok(filter);
            }
            rest = after
                .strip_prefix("AND")
                .filter(|rest| rest.starts_with(' '))
                .map(str::trim_start)
                .ok_or_else(refuse)?;
        }
    }
}

enum Value<'a> {
    Word(&'a str),
    Text(Pattern),
}

impl<'a> Value<'a> {
    /// Reads a value and returns what follows it.
    fn read(text: &'a str) -> Option<(Self, &'a str)> {
        let Some(quoted) = text.strip_prefix('"') else {
            let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
            let (word, rest) = text.split_at(end);
            return Some((Self::Word(word), rest));
        };
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        loop {
            match characters.next()? {
                (_, '\\') => value.push(characters.next()?.1),
                (at, '"') => return Some((Self::Text(Pattern::Exactly(value)), &quoted[at + 1..])),
                (at, '*') => {
                    // Only a prefix can be answered by an index, so the asterisk comes last.
                    let rest = quoted[at + 1..].strip_prefix('"')?;
                    return Some((Self::Text(Pattern::Prefix(value)), rest));
                }
                (_, character) => value.push(character),
            }
        }
    }
}

impl OrderBy {
    pub(super) fn parse(text: &str) -> Result<Self, AdminError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (order, direction) = match words.as_slice() {
            [] => return Ok(Self::default()),
            ["client_id", direction @ ..] => (ClientOrder::ClientId, direction),
            ["create_time", direction @ ..] => (ClientOrder::CreatedAt, direction),
            _ => return Err(Self::refuse()),
        };
        match direction {
            [] | ["asc"] => Ok(Self { order, descending: false }),
            ["desc"] => Ok(Self { order, descending: true }),
            _ => Err(Self::refuse()),
        }
    }

    fn refuse() -> AdminError {
        AdminError::invalid(
            "order_by",
            "it must be client_id or create_time, followed by \" desc\" or nothing",
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn comparisons_are_joined_by_and() {
        let read = |text| Filter::parse(text).unwrap();
        assert_eq!(read("  "), Filter::default());
        assert_eq!(read("enabled=false"), Filter { enabled: Some(false), client_id: None });
        assert_eq!(
            read("enabled = true AND client_id = \"bill*\""),
            Filter { enabled: Some(true), client_id: Some(Pattern::Prefix("bill".to_owned())) }
        );
        assert_eq!(
            read(r#"client_id="a \"b\" AND \* = \\" AND enabled = true"#),
            Filter {
                enabled: Some(true),
                client_id: Some(Pattern::Exactly("a \"b\" AND * = \\".to_owned()))
            }
        );
    }

    // V-43
    #[test]
    fn everything_else_is_refused() {
        for text in [
            "enabled",
            "enabled = maybe",
            "enabled = \"true\"",
            "client_id = bill",
            "client_id = \"bill",
            "client_id = \"a*b\"",
            "client_id = \"a\" OR enabled = true",
            "client_id = \"a\" AND",
            "client_id = \"a\" ANDenabled = true",
            "client_id = \"a\" AND client_id = \"b\"",
            "client_id != \"a\"",
            "client_secret = \"a\"",
            "client_id = \"\\",
            "' OR 1 = 1 --",
            "enabled = true; DROP TABLE clients",
            &format!("client_id = \"{}\"", "a".repeat(2000)),
        ] {
            assert!(matches!(Filter::parse(text), Err(AdminError::InvalidArgument(_))), "{text}");
        }
    }

    #[test]
    fn an_order_is_a_member_and_a_direction() {
        let read = |text| OrderBy::parse(text).ok();
        let order = |order, descending| Some(OrderBy { order, descending });
        assert_eq!(read(""), order(ClientOrder::ClientId, false));
        assert_eq!(read(" create_time  desc "), order(ClientOrder::CreatedAt, true));
        assert_eq!(read("client_id asc"), order(ClientOrder::ClientId, false));
        for text in ["desc", "client_id desc, create_time", "client_id; --", "enabled", "client_id down"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}", words in prop::collection::vec("AND|=|\"|\\*|enabled|true| |client_id", 0..12)) {
            let _ = (Filter::parse(&text), Filter::parse(&words.concat()), OrderBy::parse(&text));
        }
    }
}
