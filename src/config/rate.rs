//! Rates as text: `40/10s` allows 40 events in 10 seconds, `off` does not limit.

use std::time::Duration;

use super::duration;
use crate::rate::Rate;

/// The text is not a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate is a number from 1 on and a duration of 1s to 1h, such as \"40/10s\", or \"off\"")]
pub struct InvalidRate;

/// Reads a rate; `None` is the text `off`.
///
/// # Errors
/// [`InvalidRate`] when the text has another form, the count is 0 or above 2^32-1, or the period lies outside one second to
/// one hour.
pub fn parse(text: &str) -> Result<Option<Rate>, InvalidRate> {
    if text == "off" {
        return Ok(None);
    }
    let (count, period) = text.split_once('/').ok_or(InvalidRate)?;
    if !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidRate);
    }
    let count = count.parse().map_err(|_| InvalidRate)?;
    let period = duration::parse(period).map_err(|_| InvalidRate)?;
    if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&period) {
        return Err(InvalidRate);
    }
    Ok(Some(Rate { count, period }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_count_and_a_period() {
        let rate = parse("40/10s").unwrap().unwrap();
        assert_eq!((rate.count.get(), rate.period), (40, Duration::from_secs(10)));
        assert_eq!(parse("off"), Ok(None));
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "40",
            "40/",
            "/10s",
            "0/10s",
            "-1/10s",
            "+1/10s",
            "40/0s",
            "40/2h",
            "40/10",
            "Off",
            "4294967296/1s",
        ] {
            assert_eq!(parse(text), Err(InvalidRate), "{text:?}");
        }
    }
}
