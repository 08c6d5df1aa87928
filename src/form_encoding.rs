//! `application/x-www-form-urlencoded` text, decoded strictly (layer 0; RFC 6749 Appendix B, WHATWG URL §5.1).

use percent_encoding::percent_decode_str;

/// The text is not form-encoded UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not form-encoded UTF-8: '%' must be followed by two hexadecimal digits")]
pub struct InvalidEncoding;

/// Decodes one name or value: `+` is a space, `%XX` a byte.
///
/// Lenient decoders pass a stray `%` through and replace bad UTF-8; a credential must not be repaired, so this one
/// refuses both.
///
/// # Errors
/// [`InvalidEncoding`].
pub fn decode(text: &str) -> Result<String, InvalidEncoding> {
    let bytes = text.as_bytes();
    if memchr::memchr2(b'%', b'+', bytes).is_none() {
        return Ok(text.to_owned());
    }
    let is_hex = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_hexdigit);
    let stray = bytes.iter().enumerate().any(|(i, byte)| *byte == b'%' && !(is_hex(i + 1) && is_hex(i + 2)));
    if stray {
        return Err(InvalidEncoding);
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| InvalidEncoding)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // CHK-23
    #[test]
    fn plus_and_percent_twenty_are_spaces() {
        assert_eq!(decode("a+b%20c%2B%C3%A9").as_deref(), Ok("a b c+é"));
    }

    // V-24
    #[test]
    fn nothing_is_repaired() {
        for text in ["%", "%4", "100%", "%zz", "%ff", "%C3"] {
            assert_eq!(decode(text), Err(InvalidEncoding), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(text in ".{0,100}") {
            let encoded: String = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC).collect();
            prop_assert_eq!(decode(&encoded), Ok(text));
        }

        #[test]
        fn any_text_is_decoded_or_refused(text in ".{0,100}") {
            let _ = decode(&text);
        }
    }
}
