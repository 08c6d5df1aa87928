//! Every metric of the service (Prometheus, in the OpenMetrics 1.0 text form): one file for each subject holds names, help and
//! labels.
//!
//! - [`requests`]: what was asked and what became of it
//! - [`connections`], [`tls`]: who is connected, and how
//! - [`store`]: what is known of the store, of keys and of revocations
//! - [`load`]: pools of threads, and what the guard of the public port sees
//! - [`files`]: files that are read again when they change
//! - [`process`]: what the operating system says of this process
//! - `read`: figures that are kept elsewhere and read when they are asked for
//!
//! Label values are `'static`: they come from the program, so no caller can create a time series.

pub mod connections;
pub mod files;
pub mod load;
pub mod process;
mod read;
pub mod requests;
pub mod store;
pub mod tls;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::info::Info,
    registry::{Registry, Unit},
};

use self::{
    connections::ConnectionMetrics,
    files::FileMetrics,
    read::{Answer, Reading},
    requests::RequestMetrics,
    tls::TlsMetrics,
};
use super::log_queue::LogQueue;

/// The media type of what [`Metrics::encode`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A handle on the metrics of this process; clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    /// Locked to be read out and to be added to, never to count.
    registry: Mutex<Registry>,
    requests: RequestMetrics,
    connections: ConnectionMetrics,
    tls: TlsMetrics,
    files: FileMetrics,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabel {
    version: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl Metrics {
    /// Fresh metrics, all zero, of a process of this `version` that was started at `started`.
    pub fn new(version: &'static str, started: SystemTime) -> Self {
        let mut registry = Registry::default();
        registry.register("mintage_build", "The running version", Info::new(VersionLabel { version }));
        let requests = RequestMetrics::register(&mut registry);
        let connections = ConnectionMetrics::register(&mut registry);
        let tls = TlsMetrics::register(&mut registry);
        let files = FileMetrics::register(&mut registry);
        let since_epoch = started.duration_since(UNIX_EPOCH).unwrap_or_default();
        registry.register_collector(Reading::boxed(move |answer| process::answer(answer, since_epoch)));
        Self(Arc::new(Inner { registry: Mutex::new(registry), requests, connections, tls, files }))
    }

    /// Tells of the queue of the log from now on.
    pub fn read_log(&self, queue: LogQueue) {
        self.read(move |answer| {
            let help = "Lines of the log that were lost: its reader is too slow, or it cannot be written";
            answer.counter("mintage_log_lines_dropped", help, None, queue.dropped())
        });
    }

    /// From now on asks `source` whenever the metrics are read, so that no figure is older than the answer it is in.
    fn read(&self, source: impl Fn(&mut Answer<'_>) -> fmt::Result + Send + Sync + 'static) {
        let mut registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register_collector(Reading::boxed(source));
    }

    /// All metrics as text of [`CONTENT_TYPE`].
    ///
    /// # Errors
    ///
    /// Only when a metric cannot be formatted, which is a defect of this module.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        let registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// The unit of times, which gives a name its `_seconds`.
const SECONDS: Option<&Unit> = Some(&Unit::Seconds);

#[cfg(test)]
mod tests;
