//! What the operating system says of this process, under the names that Prometheus clients give it. Memory and open
//! descriptors come from `/proc` and are absent where there is none.

use std::{fmt, fs, time::Duration};

use prometheus_client::registry::Unit;
use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

use super::{SECONDS, read::Answer};

pub(super) fn answer(answer: &mut Answer<'_>, started: Duration) -> fmt::Result {
    answer.gauge(
        "process_start_time",
        "Start of the process since the epoch",
        SECONDS,
        i64::try_from(started.as_secs()).unwrap_or(i64::MAX),
    )?;
    if let Ok(used) = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)) {
        answer.counter("process_cpu", "Time on a processor", SECONDS, used.as_secs_f64())?;
    }
    if let Some(bytes) = resident_memory() {
        answer.gauge("process_resident_memory", "Memory that is resident", Some(&Unit::Bytes), bytes)?;
    }
    if let Some(count) = open_descriptors() {
        answer.gauge("process_open_fds", "Open file descriptors", None, count)?;
    }
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        answer.gauge("process_max_fds", "How many may be open", None, limit)?;
    }
    Ok(())
}

/// Bytes.
fn resident_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn open_descriptors() -> Option<usize> {
    // The one that reads the directory is in it.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}
