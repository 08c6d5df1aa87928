//! TOML values as JSON text (RFC 8259), numbers exactly as they were written: 1.10 stays 1.10, and an integer of any
//! length keeps every digit. What JSON cannot say is refused instead of rounded or renamed.

use std::ops::Range;

use serde_json::value::RawValue;
use toml::de::{DeFloat, DeInteger, DeValue};

/// A value that has no JSON form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoJson {
    /// Where in the TOML text it stands, in bytes.
    pub(super) span: Range<usize>,
    /// What to write instead.
    pub(super) remedy: &'static str,
}

/// Converts one value with everything below it. The members of a table keep their order.
///
/// # Errors
/// The first [`NoJson`] found: a date or time, `inf`, `nan`, or an integer above 128 bits that is not decimal.
pub(super) fn from_toml(value: &toml::Spanned<DeValue<'_>>) -> Result<Box<RawValue>, NoJson> {
    let mut text = String::new();
    write(&mut text, value)?;
    // The writer below produces JSON only; should it ever not, the value is refused rather than signed.
    RawValue::from_string(text).map_err(|_| refused(value, "has no JSON form; write it as text in quotes"))
}

/// Recursion is bounded by the TOML parser, which refuses deeply nested values.
fn write(json: &mut String, value: &toml::Spanned<DeValue<'_>>) -> Result<(), NoJson> {
    match value.get_ref() {
        DeValue::String(text) => write_string(json, text),
        DeValue::Boolean(true) => json.push_str("true"),
        DeValue::Boolean(false) => json.push_str("false"),
        DeValue::Integer(integer) => {
            let digits = decimal(integer).ok_or_else(|| {
                refused(value, "is too long for a hexadecimal, octal or binary number; write it in decimal")
            })?;
            json.push_str(&digits);
        }
        DeValue::Float(float) => {
            let digits = finite(float).ok_or_else(|| {
                refused(value, "is not a number in JSON; use a finite number or text in quotes")
            })?;
            json.push_str(&digits);
        }
        DeValue::Datetime(_) => {
            return Err(refused(value, "is a date or time, which JSON does not have; put it in quotes"));
        }
        DeValue::Array(items) => {
            json.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                write(json, item)?;
            }
            json.push(']');
        }
        DeValue::Table(table) => {
            json.push('{');
            for (index, (key, member)) in super::document::in_order(table).into_iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                write_string(json, key.get_ref());
                json.push(':');
                write(json, member)?;
            }
            json.push('}');
        }
    }
    Ok(())
}

fn refused(value: &toml::Spanned<DeValue<'_>>, remedy: &'static str) -> NoJson {
    NoJson { span: value.span(), remedy }
}

fn write_string(json: &mut String, text: &str) {
    json.push_str(&serde_json::Value::from(text).to_string());
}

/// JSON numbers are decimal and have no plus sign.
fn decimal(integer: &DeInteger<'_>) -> Option<String> {
    match integer.radix() {
        10 => Some(plain(integer.as_str())),
        radix => u128::from_str_radix(integer.as_str(), radix).ok().map(|number| number.to_string()),
    }
}

fn finite(float: &DeFloat<'_>) -> Option<String> {
    let digits = plain(float.as_str());
    digits
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E'))
        .then_some(digits)
}

/// The TOML reader has dropped the underscores between digits already.
fn plain(number: &str) -> String {
    number.strip_prefix('+').unwrap_or(number).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use toml::de::DeTable;

    use super::*;

    fn json(value: &str) -> Result<String, &'static str> {
        let text = format!("value = {value}");
        let table = DeTable::parse(&text).unwrap();
        from_toml(&table.get_ref()["value"]).map(|raw| raw.get().to_owned()).map_err(|error| error.remedy)
    }

    #[test]
    fn numbers_stay_as_written() {
        for (toml, expected) in [
            ("1.10", "1.10"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("1_000", "1000"),
            ("+7", "7"),
            ("-0", "-0"),
            ("+1.5", "1.5"),
            ("1e5", "1e5"),
            ("6.02E+23", "6.02E+23"),
            ("1_0.2_5", "10.25"),
            ("0xFF", "255"),
            ("0xdead_beef", "3735928559"),
            ("0o17", "15"),
            ("0b101", "5"),
        ] {
            assert_eq!(json(toml).as_deref(), Ok(expected), "{toml}");
        }
    }

    #[test]
    fn structure_and_text_are_kept() {
        let toml = r#"{ z = [1.0, "é\n\"", true], a = { b = [] } }"#;
        assert_eq!(json(toml).as_deref(), Ok(r#"{"z":[1.0,"é\n\"",true],"a":{"b":[]}}"#));
    }

    #[test]
    fn what_json_lacks_is_refused() {
        for toml in ["inf", "-inf", "nan", "+nan", "2020-01-01", "12:00:00", "[{ a = inf }]"] {
            assert!(json(toml).is_err(), "{toml}");
        }
        assert!(json(&format!("0x1{}", "0".repeat(32))).unwrap_err().contains("decimal"));
    }

    proptest! {
        #[test]
        fn whatever_toml_reads_is_json_or_refused(value in "[-+0-9._eExobinfa]{1,12}|\".{0,8}\"|'.{0,8}'") {
            let text = format!("value = {value}");
            if let Ok(table) = DeTable::parse(&text)
                && let Ok(raw) = from_toml(&table.get_ref()["value"])
            {
                prop_assert!(serde_json::from_str::<serde_json::Value>(raw.get()).is_ok(), "{}", raw.get());
            }
        }
    }
}
