//! Memory: how many connections fit into what this process may have, so that nobody who merely holds on to them gets it killed.

use std::{fs, iter};

use rustix::process::{Resource, getrlimit};

/// Bytes that a connection takes beside the head that it reads. An idle one takes less than this and the shortest of heads, whatever
/// it speaks (docs/performance.md).
const PER_CONNECTION: u64 = 16 * 1024;

/// Bytes for everything else: clients, keys, requests.
const RESERVED: u64 = 64 * 1024 * 1024;

/// How many of the `wanted` connections there can be, each of which reads heads of so many bytes.
pub(super) fn connections(wanted: usize, max_header_bytes: usize) -> usize {
    let of_process = getrlimit(Resource::Data).current;
    let read = |file: &str| fs::read_to_string(file).ok();
    let of_groups = read("/proc/self/cgroup").and_then(|groups| limit_of_groups(&groups, read));
    // The limit of the process is one of addresses, and the one of a group of what lies there.
    let limits = of_process.map(|limit| (limit, 4)).into_iter().chain(of_groups.map(|limit| (limit, 2)));
    let least = limits.map(|(limit, heads)| (possible(limit, heads * max_header_bytes), limit)).min();
    let Some((possible, limit)) = least.filter(|(possible, _)| *possible < wanted) else { return wanted };
    tracing::info!(
        memory_mib = limit / (1024 * 1024),
        max_connections = possible,
        "limits.max_connections is lowered from {wanted} to what the memory of this process allows"
    );
    possible
}

/// How many connections so many bytes are enough for, each with a buffer for its heads, which grows by doubling. Of very few bytes
/// they get a quarter.
fn possible(limit: u64, buffer: usize) -> usize {
    let bytes = limit.saturating_sub(RESERVED).max(limit / 4);
    let each = u64::try_from(buffer).unwrap_or(u64::MAX).saturating_add(PER_CONNECTION);
    usize::try_from(bytes / each).unwrap_or(usize::MAX).max(1)
}

/// The least limit of the control groups that `/proc/PID/cgroup` lists, version 2 and 1, and of those above them (cgroups(7)).
/// In a container the group of the process may be mounted where the root would be.
fn limit_of_groups(groups: &str, read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let files = groups.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        match controllers {
            "" => Some(("/sys/fs/cgroup", "memory.max", path)),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                Some(("/sys/fs/cgroup/memory", "memory.limit_in_bytes", path))
            }
            _ => None,
        }
    });
    let read = &read;
    let limits = files.flat_map(|(root, file, path)| {
        iter::successors(Some(path.trim_end_matches('/')), |path| Some(path.rsplit_once('/')?.0))
            // Without a limit version 2 says `max`, and version 1 a number that nobody reaches.
            .filter_map(move |path| read(&format!("{root}{path}/{file}"))?.trim().parse().ok())
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    // F-25
    #[test]
    fn connections_leave_memory_for_the_rest() {
        let possible_in = |mib: u64| possible(mib * MIB, 32 * 1024);
        assert_eq!([1024, 256, 128, 64, 0].map(possible_in), [20_480, 4_096, 1_365, 341, 1]);
        assert_eq!(possible(256 * MIB, 64 * 1024), 2_457);
    }

    #[test]
    fn the_least_limit_of_all_groups_counts() {
        let files = [
            ("/sys/fs/cgroup/memory.max", "max\n"),
            ("/sys/fs/cgroup/system.slice/memory.max", "500\n"),
            ("/sys/fs/cgroup/system.slice/mintage.service/memory.max", "900\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "700\n"),
        ];
        let read =
            |name: &str| files.iter().find(|(file, _)| *file == name).map(|(_, text)| (*text).to_owned());
        let limit = |groups| limit_of_groups(groups, read);
        assert_eq!(limit("0::/system.slice/mintage.service\n"), Some(500));
        assert_eq!(limit("0::/\n"), None);
        assert_eq!(limit("7:cpu,cpuacct:/\n4:memory:/docker/1a2b\n0::/\n"), Some(700));
        assert_eq!(limit("5:cpu:/system.slice\nx\n"), None);
        assert_eq!(limit(""), None);
    }
}
