//! JSON laid out for people, without a change to any value: numbers keep their digits, texts their escapes.

use std::fmt::Write;

/// Indents a JSON text, which must be well-formed, by two spaces per level.
///
/// Characters that could steer a terminal and that JSON allows unescaped come out as `\u` escapes, which mean the same.
pub(super) fn pretty(json: &str) -> String {
    let mut pretty = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut in_text = false;
    let mut escaped = false;
    let mut characters = json.chars().filter(|c| !c.is_ascii_whitespace() || *c == ' ').peekable();
    while let Some(character) = characters.next() {
        if in_text {
            write_in_text(&mut pretty, character);
            in_text = escaped || character != '"';
            escaped = character == '\\' && !escaped;
            continue;
        }
        match character {
            ' ' => {}
            '{' | '[' => {
                pretty.push(character);
                while characters.next_if_eq(&' ').is_some() {}
                if let Some(close) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    pretty.push(close);
                } else {
                    depth += 1;
                    new_line(&mut pretty, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut pretty, depth);
                pretty.push(character);
            }
            ',' => {
                pretty.push(',');
                new_line(&mut pretty, depth);
            }
            ':' => pretty.push_str(": "),
            _ => {
                in_text = character == '"';
                pretty.push(character);
            }
        }
    }
    pretty
}

fn new_line(pretty: &mut String, depth: usize) {
    pretty.push('\n');
    pretty.extend(std::iter::repeat_n("  ", depth));
}

/// Unescaped controls below U+0020 are no JSON; those from U+007F on, line separators and the marks that turn the
/// direction of writing are.
fn write_in_text(pretty: &mut String, character: char) {
    match character {
        '\u{7f}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            // Writing to a String cannot fail.
            let _ = write!(pretty, "\\u{:04x}", u32::from(character));
        }
        _ => pretty.push(character),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_member_has_a_line() {
        let json = r#"{"a":1.10,"b":[ ],"c":{"d":["x , {y}", "\"\\"]} , "e":12345678901234567890123}"#;
        let expected = "{\n  \"a\": 1.10,\n  \"b\": [],\n  \"c\": {\n    \"d\": [\n      \"x , {y}\",\n      \"\\\"\\\\\"\n    ]\n  },\n  \"e\": 12345678901234567890123\n}";
        assert_eq!(pretty(json), expected);
    }

    // V-72
    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(pretty("[\"\u{9b}31m\u{202e}\"]"), "[\n  \"\\u009b31m\\u202e\"\n]");
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
            Just(serde_json::Value::Null)
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_value_stays_the_same(value in json()) {
            let pretty = pretty(&value.to_string());
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&pretty).unwrap(), value);
        }
    }
}
