//! Waiting on a machine of which nobody knows how slow it is: for a condition, never for a time.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

/// More than anything takes that is to happen at all. What is quick is reported; this only ends a test that hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until something is so, which must be before [`PATIENCE`] ends; how long that took.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}

/// Does something again and again while it is put off, as by a 503 of a server whose disk is busy; what it came to then.
macro_rules! patiently {
    ($work:expr, $is_put_off:expr) => {{
        let begun = std::time::Instant::now();
        loop {
            let result = $work;
            if !$is_put_off(&result) || begun.elapsed() > $crate::support::patience::PATIENCE {
                break result;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }};
}

pub(crate) use patiently;

/// An address that nobody listens at, for a process that is yet to be started.
///
/// Its port is below those that the kernel gives to outgoing connections and to listeners on port 0: nobody gets it by
/// chance until the process has it, nor while a process is away that will have it again.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let (first, last) = (10_000_u16, ephemeral().saturating_sub(1).max(20_000));
    // Processes of tests that run at once begin at different places.
    let begin = std::process::id().wrapping_mul(61) % u32::from(last - first);
    loop {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u32::from(first) + (begin + step) % u32::from(last - first);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.try_into().unwrap()));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// The first port that the kernel gives to whoever wants any.
fn ephemeral() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768)
}
