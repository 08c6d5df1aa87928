//! Instants and durations -> google.protobuf.Timestamp and Duration in whole seconds, and durations back.

use std::time::Duration;

use crate::clock::Timestamp;

pub(super) fn to_pb_timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: i64::try_from(time.seconds()).unwrap_or(i64::MAX), nanos: 0 }
}

pub(super) fn to_pb_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration { seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), nanos: 0 }
}

/// `None` for a negative duration, and for one that is none.
pub(super) fn from_pb_duration(duration: prost_types::Duration) -> Option<Duration> {
    // The conversion negates what it refuses, and the least of all numbers has no opposite.
    if duration.seconds < 0 { None } else { duration.try_into().ok() }
}

/// A lifetime that is wished for: a negative one is as impossible as none at all, which the core refuses.
pub(super) fn wish(lifetime: prost_types::Duration) -> Duration {
    from_pb_duration(lifetime).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_not_negative() {
        let read = |seconds, nanos| from_pb_duration(prost_types::Duration { seconds, nanos });
        assert_eq!(read(90, 500_000_000), Some(Duration::from_millis(90_500)));
        assert_eq!(read(0, 0), Some(Duration::ZERO));
        for (seconds, nanos) in [(-1, 0), (0, -1), (i64::MIN, 0), (i64::MIN, i32::MIN)] {
            assert_eq!(read(seconds, nanos), None, "{seconds} {nanos}");
        }
    }
}
