//! Times on the command line: RFC 3339 in UTC, or a duration from or before now.

use prost_types::Timestamp;

use crate::{
    cli::output::Failure,
    clock::{Clock, SystemClock},
    config::duration,
};

const DAY: i64 = 86_400;

/// Reads `90d` or `2030-01-31T12:00:00Z`.
pub(in crate::cli) fn parse(text: &str) -> Result<Timestamp, Failure> {
    if let Ok(from_now) = duration::parse(text) {
        let at = SystemClock.now() + from_now;
        return Ok(seconds(i64::try_from(at.seconds()).unwrap_or(i64::MAX)));
    }
    parse_rfc3339(text).map(seconds).ok_or_else(|| {
        Failure::misused(format!(
            "{text:?} is no time; write a duration from now such as 90d, or an instant such as 2030-01-31T12:00:00Z"
        ))
    })
}

/// The same for what lies behind: `1h` is an hour ago.
pub(in crate::cli) fn parse_past(text: &str) -> Result<Timestamp, Failure> {
    if let Ok(ago) = duration::parse(text) {
        let at = SystemClock.now().seconds().saturating_sub(ago.as_secs());
        return Ok(seconds(i64::try_from(at).unwrap_or(i64::MAX)));
    }
    parse_rfc3339(text).map(seconds).ok_or_else(|| {
        Failure::misused(format!(
            "{text:?} is no time; write how long ago it was, such as 1h, or an instant such as 2030-01-31T12:00:00Z"
        ))
    })
}

/// Writes an instant as RFC 3339 in UTC.
pub(in crate::cli) fn format(time: &Timestamp) -> String {
    let (days, rest) = (time.seconds.div_euclid(DAY), time.seconds.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

const fn seconds(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

fn parse_rfc3339(text: &str) -> Option<i64> {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    if shape != "0000-00-00T00:00:00Z" {
        return None;
    }
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let days = days_from_civil(year, month, day);
    // A date that does not exist comes back as another one.
    let exists = (1..=12).contains(&month) && civil(days) == (year, month, day);
    (exists && hour < 24 && minute < 60 && second < 60)
        .then_some(days * DAY + hour * 3600 + minute * 60 + second)
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar, counted in years that begin in March.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse.
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + if month <= 2 { 1 } else { 0 }, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_instants() {
        for (text, at) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2027-01-15T08:00:00Z", 1_800_000_000),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(parse_rfc3339(text), Some(at), "{text}");
            assert_eq!(format(&seconds(at)), text);
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            "soon",
            "2027-01-15",
            "2027-02-29T00:00:00Z",
            "2027-13-01T00:00:00Z",
            "2027-00-01T00:00:00Z",
            "2027-01-01T24:00:00Z",
            "2027-01-01T00:00:60Z",
            "2027-01-01T00:00:00+01:00",
            "2027-01-01t00:00:00z",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_lies_ahead_or_behind() {
        let now = i64::try_from(SystemClock.now().seconds()).unwrap();
        assert!((now + 3600..now + 3660).contains(&parse("1h").unwrap().seconds));
        assert!((now - 3600..now - 3540).contains(&parse_past("1h").unwrap().seconds));
        assert_eq!(parse_past("2027-01-15T08:00:00Z").unwrap().seconds, 1_800_000_000);
        assert!(parse_past("yesterday").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(at in 0_i64..253_402_300_799) {
            prop_assert_eq!(parse_rfc3339(&format(&seconds(at))), Some(at));
        }
    }
}
