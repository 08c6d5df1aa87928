//! Distinguished names: read from a certificate or from their RFC 4514 text, and compared part by part.
//!
//! Names are never compared as text. Every attribute keeps its type and its value apart, so that nothing inside a value
//! can pass for another attribute (V-20).

use std::{fmt, fmt::Write};

use x509_parser::{
    asn1_rs::{Any, FromDer, Tag},
    x509::X509Name,
};

/// The longest text that is read, in bytes.
const MAX_BYTES: usize = 4096;

/// Attribute types that have a name: the table of RFC 4514 §3, and what certificates carry beside (RFC 4519, RFC 2985).
/// The first name of a type is the one that is written.
const NAMES: [(&str, &str); 24] = [
    ("CN", "2.5.4.3"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("C", "2.5.4.6"),
    ("STREET", "2.5.4.9"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("SN", "2.5.4.4"),
    ("surname", "2.5.4.4"),
    ("serialNumber", "2.5.4.5"),
    ("title", "2.5.4.12"),
    ("description", "2.5.4.13"),
    ("businessCategory", "2.5.4.15"),
    ("postalCode", "2.5.4.17"),
    ("GN", "2.5.4.42"),
    ("givenName", "2.5.4.42"),
    ("initials", "2.5.4.43"),
    ("dnQualifier", "2.5.4.46"),
    ("pseudonym", "2.5.4.65"),
    ("organizationIdentifier", "2.5.4.97"),
    ("emailAddress", "1.2.840.113549.1.9.1"),
    ("E", "1.2.840.113549.1.9.1"),
];

/// A distinguished name that is not empty.
///
/// Two are equal when they have the same parts in the same order, each with the same types and values. Values are compared
/// as Unicode text, whichever of the string types of X.520 carries them, and in the case they are written in: an authority
/// may give `CN=Billing` and `CN=billing` to different parties (RFC 8705 §2.1 asks for a predictable rule and leaves it open).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinguishedName {
    /// In the order of the certificate, which is the reverse of the text's. The attributes of one part are sorted.
    parts: Vec<Vec<Attribute>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Attribute {
    /// An object identifier in dotted form.
    kind: String,
    value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Text(String),
    /// The DER of anything else. It equals nothing but itself.
    Other(Vec<u8>),
}

/// The text is not a distinguished name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDistinguishedName {
    /// It does not follow the grammar of RFC 4514 §3.
    #[error(
        "it must be a distinguished name of RFC 4514, such as CN=billing,O=Example,C=DE; quote a , + \" \\ < > ; of a value with a backslash"
    )]
    Malformed,
    /// An attribute type has no name that is known here.
    #[error("an attribute type is unknown: write it as a dotted object identifier")]
    UnknownType,
}

impl DistinguishedName {
    /// Reads the text form (RFC 4514 §3). Blanks after a separating comma are allowed, as many tools write them.
    ///
    /// # Errors
    /// [`InvalidDistinguishedName`].
    pub fn parse(text: &str) -> Result<Self, InvalidDistinguishedName> {
        if text.len() > MAX_BYTES {
            return Err(InvalidDistinguishedName::Malformed);
        }
        let mut parts = vec![Vec::new()];
        let mut rest = text;
        loop {
            let (attribute, separator, after) = read_attribute(rest.trim_start_matches(' '))?;
            if let Some(part) = parts.last_mut() {
                part.push(attribute);
            }
            match separator {
                Some(',') => parts.push(Vec::new()),
                Some(_) => {}
                None => break,
            }
            rest = after;
        }
        parts.reverse();
        Ok(Self::sorted(parts))
    }

    /// The name in a certificate; `None` when it is empty.
    pub(super) fn of(name: &X509Name<'_>) -> Option<Self> {
        let parts: Vec<Vec<Attribute>> = name
            .iter_rdn()
            .map(|part| {
                part.iter()
                    .map(|attribute| Attribute {
                        kind: attribute.attr_type().to_id_string(),
                        value: Value::of(attribute.attr_value()),
                    })
                    .collect()
            })
            .collect();
        if parts.is_empty() { None } else { Some(Self::sorted(parts)) }
    }

    /// A part is a set (X.501 §9.3), so the order of its attributes says nothing.
    fn sorted(mut parts: Vec<Vec<Attribute>>) -> Self {
        parts.iter_mut().for_each(|part| part.sort());
        Self { parts }
    }
}

/// Reads `type=value` and the separator after it.
fn read_attribute(text: &str) -> Result<(Attribute, Option<char>, &str), InvalidDistinguishedName> {
    let (name, rest) = text.split_once('=').ok_or(InvalidDistinguishedName::Malformed)?;
    let kind = read_type(name)?;
    let (value, rest) = match rest.strip_prefix('#') {
        Some(rest) => {
            let end = rest.find([',', '+']).unwrap_or(rest.len());
            (read_hex(&rest[..end]).ok_or(InvalidDistinguishedName::Malformed)?, &rest[end..])
        }
        None => read_string(rest).ok_or(InvalidDistinguishedName::Malformed)?,
    };
    let separator = rest.chars().next();
    let after = rest.get(1..).unwrap_or_default();
    Ok((Attribute { kind, value }, separator, after))
}

/// A name, whatever its case, or a dotted object identifier.
fn read_type(text: &str) -> Result<String, InvalidDistinguishedName> {
    if let Some((_, kind)) = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        return Ok((*kind).to_owned());
    }
    let is_number = |arc: &str| {
        !arc.is_empty()
            && arc.bytes().all(|byte| byte.is_ascii_digit())
            && (arc.len() == 1 || !arc.starts_with('0'))
    };
    if text.contains('.') && text.split('.').all(is_number) {
        return Ok(text.to_owned());
    }
    let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    Err(if is_name { InvalidDistinguishedName::UnknownType } else { InvalidDistinguishedName::Malformed })
}

/// The DER of a value in hexadecimal digits (RFC 4514 §2.4), all of it.
fn read_hex(digits: &str) -> Option<Value> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => hex_byte(*high, *low),
        _ => None,
    });
    let bytes = pairs.collect::<Option<Vec<u8>>>()?;
    let (rest, value) = Any::from_der(&bytes).ok()?;
    rest.is_empty().then(|| Value::of(&value))
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// A string with its escapes (RFC 4514 §2.4), up to a separator or the end.
fn read_string(text: &str) -> Option<(Value, &str)> {
    let bytes = text.as_bytes();
    let mut value = Vec::new();
    let mut at = 0;
    // Where the last blank that is no part of an escape stands: the value must not end there.
    let mut loose_blank = None;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b',' | b'+' => break,
            b'"' | b';' | b'<' | b'>' | 0 => return None,
            b'\\' => {
                let escaped = *bytes.get(at + 1)?;
                if b" \"#+,;<=>\\".contains(&escaped) {
                    value.push(escaped);
                    at += 2;
                } else {
                    value.push(hex_byte(escaped, *bytes.get(at + 2)?)?);
                    at += 3;
                }
                continue;
            }
            b' ' if value.is_empty() => return None,
            b' ' => loose_blank = Some(value.len()),
            _ => {}
        }
        value.push(*byte);
        at += 1;
    }
    if value.is_empty() || loose_blank == Some(value.len() - 1) {
        return None;
    }
    Some((Value::Text(String::from_utf8(value).ok()?), &text[at..]))
}

impl Value {
    /// The text of the string types of X.520, as far as their meaning is certain. A TeletexString is not: implementations
    /// disagree on its character set.
    fn of(value: &Any<'_>) -> Self {
        let text = match value.tag() {
            Tag::Utf8String => String::from_utf8(value.data.to_vec()).ok(),
            Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
                String::from_utf8(value.data.to_vec()).ok().filter(|text| text.is_ascii())
            }
            Tag::BmpString => {
                let units = value.data.chunks(2).map(|unit| unit.try_into().ok().map(u16::from_be_bytes));
                // UCS-2: a surrogate is not a character of it.
                units.map(|unit| unit.and_then(|unit| char::from_u32(unit.into()))).collect()
            }
            Tag::UniversalString => {
                let units = value.data.chunks(4).map(|unit| unit.try_into().ok().map(u32::from_be_bytes));
                units.map(|unit| unit.and_then(char::from_u32)).collect()
            }
            _ => None,
        };
        match text {
            Some(text) if !text.is_empty() && value.header.is_universal() => Self::Text(text),
            _ => Self::Other(der(value)),
        }
    }
}

/// The encoding of a value whose tag has one byte; it only ever has to be told apart from others.
fn der(value: &Any<'_>) -> Vec<u8> {
    let class = (value.class() as u8) << 6;
    let constructed = if value.header.is_constructed() { 0x20 } else { 0 };
    let tag = u8::try_from(value.tag().0).unwrap_or(0x1F).min(0x1F);
    let length = value.data.len();
    let mut der = vec![class | constructed | tag];
    if length < 0x80 {
        der.push(u8::try_from(length).unwrap_or_default());
    } else {
        let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        der.push(0x80 | u8::try_from(bytes.len()).unwrap_or_default());
        der.extend(bytes);
    }
    der.extend(value.data);
    der
}

/// The text form (RFC 4514 §2); reading it gives the same name.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, part) in self.parts.iter().rev().enumerate() {
            for (place, attribute) in part.iter().enumerate() {
                f.write_str(match (number, place) {
                    (0, 0) => "",
                    (_, 0) => ",",
                    _ => "+",
                })?;
                attribute.fmt(f)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, kind)| *kind == self.kind).map_or(&*self.kind, |(name, _)| name);
        write!(f, "{name}=")?;
        let text = match &self.value {
            Value::Text(text) => text,
            Value::Other(der) => {
                f.write_char('#')?;
                return der.iter().try_for_each(|byte| write!(f, "{byte:02x}"));
            }
        };
        let last = text.chars().count() - 1;
        for (at, c) in text.chars().enumerate() {
            match c {
                '\0'..='\x1F' | '\x7F' => write!(f, "\\{:02x}", u32::from(c))?,
                '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write!(f, "\\{c}")?,
                '#' | ' ' if at == 0 => write!(f, "\\{c}")?,
                ' ' if at == last => f.write_str("\\ ")?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> DistinguishedName {
        DistinguishedName::parse(text).unwrap()
    }

    // The examples of RFC 4514 §4, but for the attribute types
    #[test]
    fn the_examples_of_the_rfc_are_read() {
        for (text, written) in [
            ("UID=jsmith,DC=example,DC=net", "UID=jsmith,DC=example,DC=net"),
            ("OU=Sales+CN=J.  Smith,DC=example,DC=net", "OU=Sales+CN=J.  Smith,DC=example,DC=net"),
            (r#"CN=James \"Jim\" Smith\, III,DC=example"#, r#"CN=James \"Jim\" Smith\, III,DC=example"#),
            (r"CN=Before\0dAfter,DC=example,DC=net", r"CN=Before\0dAfter,DC=example,DC=net"),
            (r"CN=Lu\C4\8Di\C4\87", "CN=Lu\u{10d}i\u{107}"),
            ("1.3.6.1.4.1.1466.0=#04024869", "1.3.6.1.4.1.1466.0=#04024869"),
        ] {
            assert_eq!(name(text), name(written), "{text}");
        }
        assert_eq!(name(r"CN=Before\0dAfter,DC=example").to_string(), r"CN=Before\0dAfter,DC=example");
        assert_eq!(name("1.3.6.1.4.1.1466.0=#04024869").to_string(), "1.3.6.1.4.1.1466.0=#04024869");
    }

    // V-20
    #[test]
    fn a_value_is_never_another_attribute() {
        let b = name("CN=B");
        for other in [
            r"O=CN\=B",
            r"O=x\,CN=B",
            "CN=A,CN=B",
            "CN=B,CN=A",
            "CN=B,CN=B",
            "CN=A+CN=B",
            "CN=B,O=x",
            "O=B",
            "CN=b",
            r"CN=B\00",
            r"CN=\ B",
            r"CN=B\ ",
            "CN=#040142",
        ] {
            assert_ne!(b, name(other), "{other}");
        }
        assert_ne!(name("CN=B,O=x"), name("O=x,CN=B"));
    }

    #[test]
    fn the_same_name_may_be_written_in_several_ways() {
        let b = name("CN=B, O=x");
        for other in
            ["cn=B,o=x", "2.5.4.3=B,2.5.4.10=x", "CN=#0c0142,O=#130178", r"CN=\42,O=\78", "CN=#1e020042,O=x"]
        {
            assert_eq!(b, name(other), "{other}");
        }
        assert_eq!(name("OU=a+CN=b,O=x"), name("CN=b+OU=a,O=x"));
        assert_eq!(name("emailAddress=a@b.example"), name("E=a@b.example"));
    }

    #[test]
    fn what_does_not_follow_the_grammar_is_refused() {
        for text in [
            "",
            "B",
            "CN",
            "CN=",
            "=B",
            "CN=B,",
            ",CN=B",
            "CN=B,,O=x",
            "CN=B+",
            "CN= B",
            "CN=B ",
            "CN=B ,O=x",
            "CN =B",
            "CN=\"B\"",
            "CN=a;b",
            "CN=a<b",
            r"CN=a\",
            r"CN=a\g",
            r"CN=a\4",
            r"CN=\ff",
            "CN=#",
            "CN=#0",
            "CN=#0c",
            "CN=#0c014200",
            "CN=#zz",
            "2..5=B",
            "2.05.4=B",
            "CN=a\0b",
        ] {
            assert_eq!(DistinguishedName::parse(text), Err(InvalidDistinguishedName::Malformed), "{text}");
        }
        assert_eq!(DistinguishedName::parse("X=B"), Err(InvalidDistinguishedName::UnknownType));
        assert!(DistinguishedName::parse(&format!("CN={}", "a".repeat(5000))).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "((CN|O|2\\.5\\.4\\.3|x)=)?[#\\\\,+=a-f0-9 \\PC]{0,40}") {
            if let Ok(read) = DistinguishedName::parse(&text) {
                prop_assert_eq!(&DistinguishedName::parse(&read.to_string()), &Ok(read));
            }
        }

        #[test]
        fn any_value_survives_being_written(value in "[\\PC\0-\x1f]{1,20}", other in "[ #,+\\\\\"=a]{1,6}") {
            let attribute = |kind: &str, text: &str| {
                vec![Attribute { kind: kind.to_owned(), value: Value::Text(text.to_owned()) }]
            };
            let name = DistinguishedName { parts: vec![attribute("2.5.4.10", &other), attribute("2.5.4.3", &value)] };
            prop_assert_eq!(DistinguishedName::parse(&name.to_string()), Ok(name));
        }
    }
}
