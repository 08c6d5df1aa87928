//! File descriptors: one per connection, and enough beside them for the store, key files and the ops listener.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections of the ops listener.
pub(super) const OPS_CONNECTIONS: usize = 32;

/// Descriptors that are no connection of the public listener: the ops listener's, the store's, files, the runtime's.
const RESERVED: u64 = OPS_CONNECTIONS as u64 + 64;

/// Raises the soft limit of open files as far as `wanted` connections need it and the hard limit allows, and tells how many
/// connections there can be.
pub(super) fn connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let needed = u64::try_from(wanted).unwrap_or(u64::MAX).saturating_add(RESERVED);
    let raised = raised(limit.current, limit.maximum, needed);
    let soft = match raised {
        Some(soft) if setrlimit(Resource::Nofile, Rlimit { current: raised, ..limit }).is_ok() => Some(soft),
        _ => limit.current,
    };
    let Some(soft) = soft else { return wanted };
    let possible = possible(soft).min(wanted);
    if possible < wanted {
        tracing::warn!(
            open_files = soft,
            max_connections = possible,
            "limits.max_connections is lowered from {wanted}, because this process may not open as many files; \
             raise its limit (ulimit -n, LimitNOFILE) to {needed}"
        );
    }
    possible
}

/// The soft limit to set, `None` when it is high enough or cannot be raised.
fn raised(soft: Option<u64>, hard: Option<u64>, needed: u64) -> Option<u64> {
    let soft = soft?;
    let best = hard.map_or(needed, |hard| hard.min(needed));
    (best > soft).then_some(best)
}

/// How many connections so many descriptors are enough for. Of very few a quarter, which may still fail one by one.
fn possible(soft: u64) -> usize {
    usize::try_from(soft.saturating_sub(RESERVED).max(soft / 4).max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    // F-26
    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        assert_eq!(raised(Some(1024), Some(524_288), 10_096), Some(10_096));
        assert_eq!(raised(Some(1024), Some(4096), 10_096), Some(4096));
        assert_eq!(raised(Some(1024), None, 10_096), Some(10_096));
        assert_eq!(raised(Some(20_000), Some(20_000), 10_096), None);
        assert_eq!(raised(None, None, 10_096), None);
        assert_eq!([10_096, 256, 64, 3].map(possible), [10_000, 160, 16, 1]);
    }
}
