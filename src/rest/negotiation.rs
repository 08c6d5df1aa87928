//! `Accept` (RFC 9110 §12.5.1), as far as anything here depends on it: JSON, or the one other form of an answer.

use axum::http::{HeaderMap, header::ACCEPT};

/// How much a media type is wanted, in thousandths, and how exactly it was named.
type Preference = (u16, u8);

/// Whether a caller wants `media_type` rather than JSON. It must name it; whoever names both and wants both alike gets JSON,
/// and so does everybody who names neither.
pub(super) fn prefers(headers: &HeaderMap, media_type: &str) -> bool {
    let mut ranges = Vec::new();
    for value in headers.get_all(ACCEPT) {
        // What is no text names nothing.
        ranges.extend(value.to_str().unwrap_or_default().split(',').filter_map(range));
    }
    let preference = |name: &str| -> Preference {
        let kind = name.split_once('/').map_or("", |(kind, _)| kind);
        let fitting = ranges.iter().filter_map(|(range, quality)| {
            let exact = match range.as_str() {
                range if range == name => 2,
                "*/*" => 0,
                range if range.strip_suffix("/*") == Some(kind) => 1,
                _ => return None,
            };
            Some((exact, *quality))
        });
        // The most exact range decides.
        fitting.max().map_or((0, 0), |(exact, quality)| (quality, exact))
    };
    let (wanted, exact) = preference(media_type);
    wanted > 0 && exact == 2 && (wanted, exact) > preference("application/json")
}

/// A media range in lower case, and its weight in thousandths. What is malformed names nothing.
fn range(text: &str) -> Option<(String, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| range.contains('/'))?.to_ascii_lowercase();
    let weight = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.eq_ignore_ascii_case("q").then_some(value)
    });
    Some((range, weight.map_or(Some(1000), quality)?))
}

/// RFC 9110 §12.4.2: 0 to 1 with up to three decimals.
fn quality(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{decimals:0<3}").parse().ok()?;
    match (whole, thousandths) {
        ("0", _) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JWT: &str = "application/token-introspection+jwt";

    fn wants_jwt(accept: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, value.parse().unwrap());
        }
        prefers(&headers, JWT)
    }

    // CHK-47
    #[test]
    fn whoever_names_it_gets_it() {
        for accept in [
            &["application/token-introspection+jwt"][..],
            &["Application/Token-Introspection+JWT"],
            &["application/token-introspection+jwt;q=0.001"],
            &["application/json;q=0.5, application/token-introspection+jwt"],
            &["application/json;q=0.5", "application/token-introspection+jwt;q=0.6"],
            &["*/*, application/token-introspection+jwt"],
            &["application/*;q=1.0,application/token-introspection+jwt ; v=1 ; Q=1.000"],
            &["text/html, application/token-introspection+jwt;q=0.2"],
        ] {
            assert!(wants_jwt(accept), "{accept:?}");
        }
    }

    #[test]
    fn everybody_else_gets_json() {
        for accept in [
            &[][..],
            &[""],
            &["*/*"],
            &["application/*"],
            &["application/json"],
            &["text/html"],
            &["application/token-introspection+jwt;q=0"],
            &["application/json, application/token-introspection+jwt"],
            &["application/token-introspection+jwt;q=0.9, application/json"],
            &["application/token-introspection+jwt;q=0.5, */*;q=0.8"],
            &["application/token-introspection+jwt;q=2"],
            &["application/token-introspection+jwt;q=0.0001"],
            &["application/token-introspection+jwt;q="],
            &["application/token-introspection"],
            &["token-introspection+jwt"],
            &["application/jwt"],
        ] {
            assert!(!wants_jwt(accept), "{accept:?}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(accept in "[ -~]{0,80}") {
            let _ = wants_jwt(&[&accept]);
        }
    }
}
