//! Files that are read again when they change.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::Metrics;

pub(super) struct FileMetrics {
    reloads: Family<ReloadLabels, Counter>,
    stale: Family<FileLabel, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    file: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FileLabel {
    file: &'static str,
}

impl FileMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let (reloads, stale) = (Family::default(), Family::default());
        registry.register(
            "mintage_file_reloads",
            "Files read again because they changed",
            Family::clone(&reloads),
        );
        registry.register(
            "mintage_file_stale",
            "1 while a file is not usable and what was read before stays in use",
            Family::clone(&stale),
        );
        Self { reloads, stale }
    }
}

impl Metrics {
    /// Says that `file` is looked after from now on, and is in use.
    pub fn file_watched(&self, file: &'static str) {
        for outcome in ["ok", "failed"] {
            let _ = self.0.files.reloads.get_or_create(&ReloadLabels { file, outcome });
        }
        self.file_stale(file, false);
    }

    /// Counts a reading of `file` after it changed. From a failure until the next success it is stale.
    pub fn file_reloaded(&self, file: &'static str, succeeded: bool) {
        let outcome = if succeeded { "ok" } else { "failed" };
        self.0.files.reloads.get_or_create(&ReloadLabels { file, outcome }).inc();
        self.file_stale(file, !succeeded);
    }

    /// Says whether what is in use of `file` is older than what is in it.
    pub fn file_stale(&self, file: &'static str, stale: bool) {
        self.0.files.stale.get_or_create(&FileLabel { file }).set(stale.into());
    }
}
