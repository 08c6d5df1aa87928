//! Durations as text with a unit: `500ms`, `30s`, `5m`, `1h`, `90d`.

use std::time::Duration;

/// The text is not a duration, or a longer one than can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a duration is a whole number and one of the units ms, s, m, h, d, such as \"30s\"")]
pub struct InvalidDuration;

/// The units, the largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration: decimal digits and exactly one unit, without blanks.
///
/// # Errors
/// [`InvalidDuration`] for every other text, and when the milliseconds do not fit 64 bits.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, milliseconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(InvalidDuration)?;
    let number: u64 = number.parse().map_err(|_| InvalidDuration)?;
    number.checked_mul(*milliseconds).map(Duration::from_millis).ok_or(InvalidDuration)
}

/// The shortest text that [`parse`] reads as `duration`, in the largest unit that divides it. What lies below one
/// millisecond is dropped.
pub fn format(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    UNITS
        .iter()
        .find(|(_, size)| milliseconds != 0 && milliseconds.is_multiple_of(u128::from(*size)))
        .map_or_else(|| "0s".to_owned(), |(unit, size)| format!("{}{unit}", milliseconds / u128::from(*size)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_unit() {
        for (text, seconds) in
            [("30s", 30.0), ("5m", 300.0), ("1h", 3600.0), ("90d", 7_776_000.0), ("250ms", 0.25)]
        {
            assert_eq!(parse(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn refuses_everything_else() {
        for text in
            ["", "1", "s", "1 s", " 1s", "1s ", "-1s", "+1s", "1.5s", "1S", "1h30m", "１s", "1us", "1w"]
        {
            assert_eq!(parse(text), Err(InvalidDuration), "{text:?}");
        }
        assert_eq!(parse("18446744073709551616ms"), Err(InvalidDuration));
        assert_eq!(parse("18446744073709551615s"), Err(InvalidDuration));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            if let Ok(duration) = parse(&text) {
                prop_assert_eq!(parse(&format(duration)), Ok(duration));
            }
        }

        #[test]
        fn what_is_written_is_read_back(milliseconds: u64) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }
    }
}
