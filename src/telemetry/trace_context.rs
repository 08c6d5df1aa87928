//! The `traceparent` header (W3C Trace Context §3.2), read strictly.
//!
//! Only the trace id is used: it joins our log lines to the caller's trace. A value that breaks any rule of the
//! grammar is as good as absent (§4.3), so what reaches the log is always 32 lowercase hexadecimal digits.

use std::str;

/// A trace id: 32 lowercase hexadecimal digits, not all zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 32]);

impl TraceId {
    /// The trace id of a `traceparent` value; `None` when the value is malformed (§3.2.2).
    ///
    /// A version above `00` may carry more fields after the flags, each set off by a dash; `ff` is never valid.
    pub fn from_traceparent(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(55)?;
        let [version @ .., b'-'] = &known[..3] else { return None };
        let [trace @ .., b'-'] = &known[3..36] else { return None };
        let [parent @ .., b'-'] = &known[36..53] else { return None };
        let flags = &known[53..];

        let ends_well = match version {
            b"ff" => false,
            b"00" => rest.is_empty(),
            _ => rest.is_empty() || rest[0] == b'-',
        };
        let lower_hex = [version, trace, parent, flags]
            .into_iter()
            .flatten()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let non_zero = |id: &[u8]| id.iter().any(|&digit| digit != b'0');

        (ends_well && lower_hex && non_zero(trace) && non_zero(parent))
            .then(|| trace.try_into().ok().map(Self))
            .flatten()
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Always ASCII by construction; the empty text stands in for the impossible case.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::TraceId;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parse(value: &str) -> Option<String> {
        TraceId::from_traceparent(value.as_bytes()).map(|id| id.as_str().to_owned())
    }

    #[test]
    fn a_valid_value_gives_its_trace_id() {
        assert_eq!(parse(VALID).as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        let future = VALID.replacen("00", "cc", 1) + "-what-comes";
        assert!(parse(&future).is_some());
    }

    #[test]
    fn a_malformed_value_gives_nothing() {
        for value in [
            "",
            "00",
            &VALID.to_uppercase(),
            &VALID.replacen("00", "ff", 1),
            &VALID.replace('-', "_"),
            &VALID[..54],
            &format!("{VALID}0"),
            &format!("{VALID}-00"),
            &format!(" {VALID}"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473\n-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parse(value), None, "{value:?}");
        }
    }
}
