//! Every metric of the service: its name, help and labels (Prometheus, in the OpenMetrics 1.0 text form).
//!
//! Label values are `'static`: they come from the program, so no caller can create a time series.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

/// The media type of what [`Metrics::encode`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds. The lower half resolves a token minted from memory, the upper half a store that stalls.
const DURATION_BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The application protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1 (RFC 9112).
    Http1,
    /// HTTP/2 (RFC 9113).
    Http2,
}

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeOutcome {
    /// With signatures and a key agreement.
    Full,
    /// With a session from before.
    Resumed,
    /// With an error of the protocol.
    Failed,
    /// The peer left.
    Abandoned,
    /// Not in time.
    Late,
}

impl HandshakeOutcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
            Self::Late => "late",
        }
    }
}

/// A handle on the metrics of this process; clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<EndpointLabel, Histogram, fn() -> Histogram>,
    issued: Family<AlgLabel, Counter>,
    http1_connections: Gauge,
    http2_connections: Gauge,
    accepted: Counter,
    accept_errors: Counter,
    store: StoreMetrics,
    tls: TlsMetrics,
    files: FileMetrics,
    dropped: Family<ReasonLabel, Counter>,
}

/// What is known of TLS on the public port.
#[derive(Default)]
struct TlsMetrics {
    handshakes: Family<OutcomeLabel, Counter>,
    certificate_expiry: Gauge,
}

/// What became of files that are read again when they change.
#[derive(Default)]
struct FileMetrics {
    reloads: Family<ReloadLabels, Counter>,
    stale: Family<FileLabel, Gauge>,
}

/// What is known of the store, as gauges that are set from time to time.
#[derive(Default)]
struct StoreMetrics {
    age: Gauge,
    state: Gauge,
    revocations: Gauge,
    cached_clients: Gauge,
    statements: Counter,
    claims: Family<OutcomeLabel, Counter>,
    key_ages: Family<AlgLabel, Gauge>,
}

/// What is known of the store at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// How long ago everything of it was known.
    pub age: Duration,
    /// 0: followed, 1: unreachable, 2: revocations stale, 3: clients stale.
    pub state: u8,
    /// Revocations in memory.
    pub revocations: usize,
    /// Clients of the store in memory.
    pub cached_clients: usize,
    /// Statements sent to it so far.
    pub statements: u64,
    /// How claims of what may be used once ended so far.
    pub claims: Vec<(&'static str, u64)>,
    /// How long each algorithm's key has been signing.
    pub key_ages: Vec<(&'static str, Duration)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    endpoint: &'static str,
    grant: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabel {
    endpoint: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlgLabel {
    alg: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProtocolLabel {
    protocol: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabel {
    version: &'static str,
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl TlsMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("mintage_tls_handshakes", "TLS handshakes ended", self.handshakes.clone());
        registry.register_with_unit(
            "mintage_tls_certificate_expiry",
            "When the server's certificate expires, since the epoch; 0 without TLS",
            Unit::Seconds,
            self.certificate_expiry.clone(),
        );
    }
}

impl FileMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "mintage_file_reloads",
            "Files read again because they changed",
            self.reloads.clone(),
        );
        registry.register(
            "mintage_file_stale",
            "1 while a file is not usable and what was read before stays in use",
            self.stale.clone(),
        );
    }
}

impl StoreMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "mintage_store_age",
            "Time since everything in the store was known here",
            Unit::Seconds,
            self.age.clone(),
        );
        registry.register(
            "mintage_store_state",
            "0 followed, 1 unreachable, 2 revocations stale, 3 clients stale",
            self.state.clone(),
        );
        registry.register("mintage_revocations", "Revocations in memory", self.revocations.clone());
        registry.register(
            "mintage_clients_cached",
            "Clients of the store in memory",
            self.cached_clients.clone(),
        );
        registry.register(
            "mintage_store_statements",
            "Statements sent to the store",
            self.statements.clone(),
        );
        registry.register(
            "mintage_replay_claims",
            "Claims of identifiers that may be used once, by outcome: ok, ok_locally (the store was away), seen, unavailable",
            self.claims.clone(),
        );
        registry.register_with_unit(
            "mintage_signing_key_age",
            "Time since the key began to sign",
            Unit::Seconds,
            self.key_ages.clone(),
        );
    }
}

impl Metrics {
    /// Fresh metrics, all zero, of a process of this `version` that was started at `started`.
    pub fn new(version: &'static str, started: SystemTime) -> Self {
        let requests = Family::<RequestLabels, Counter>::default();
        let durations = Family::new_with_constructor(
            (|| Histogram::new(DURATION_BUCKETS)) as fn() -> Histogram, //
        );
        let issued = Family::<AlgLabel, Counter>::default();
        let connections = Family::<ProtocolLabel, Gauge>::default();
        let accepted = Counter::default();
        let accept_errors = Counter::default();
        let store = StoreMetrics::default();
        let (tls, files) = (TlsMetrics::default(), FileMetrics::default());
        let start_time: Gauge = Gauge::default();
        let since_epoch = started.duration_since(UNIX_EPOCH).unwrap_or_default();
        start_time.set(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX));

        let mut registry = Registry::default();
        registry.register("mintage_requests", "Requests answered", requests.clone());
        registry.register_with_unit(
            "mintage_request_duration",
            "Time from a request's head to its response's head",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register("mintage_tokens_issued", "Access tokens issued", issued.clone());
        registry.register("mintage_connections", "Open connections", connections.clone());
        registry.register("mintage_connections_accepted", "Connections accepted", accepted.clone());
        registry.register("mintage_accept_errors", "Failures to accept a connection", accept_errors.clone());
        store.register(&mut registry);
        tls.register(&mut registry);
        files.register(&mut registry);
        let dropped = Family::<ReasonLabel, Counter>::default();
        registry.register(
            "mintage_connections_dropped",
            "Connections closed because there were too many, by reason: idle (it made room), source (its host has enough)",
            dropped.clone(),
        );
        registry.register("mintage_build", "The running version", Info::new(VersionLabel { version }));
        registry.register_with_unit(
            "process_start_time",
            "Start of the process since the epoch",
            Unit::Seconds,
            start_time,
        );

        let gauge = |protocol| connections.get_or_create_owned(&ProtocolLabel { protocol });
        Self(Arc::new(Inner {
            registry,
            requests,
            durations,
            issued,
            http1_connections: gauge("http1"),
            http2_connections: gauge("http2"),
            accepted,
            accept_errors,
            store,
            tls,
            files,
            dropped,
        }))
    }

    /// Counts a request and the time it took. `grant` is empty where there is none.
    pub fn request(
        &self,
        endpoint: &'static str,
        grant: &'static str,
        outcome: &'static str,
        duration: Duration,
    ) {
        self.0.requests.get_or_create(&RequestLabels { endpoint, grant, outcome }).inc();
        self.0.durations.get_or_create(&EndpointLabel { endpoint }).observe(duration.as_secs_f64());
    }

    /// Says how the store is.
    pub fn store(&self, figures: &StoreFigures) {
        let store = &self.0.store;
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let seconds = |age: Duration| i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        store.age.set(seconds(figures.age));
        store.state.set(figures.state.into());
        store.revocations.set(number(figures.revocations));
        store.cached_clients.set(number(figures.cached_clients));
        let catch_up = |counter: &Counter, to: u64| counter.inc_by(to.saturating_sub(counter.get()));
        catch_up(&store.statements, figures.statements);
        for (outcome, count) in &figures.claims {
            catch_up(&store.claims.get_or_create(&OutcomeLabel { outcome }), *count);
        }
        for (alg, age) in &figures.key_ages {
            store.key_ages.get_or_create(&AlgLabel { alg }).set(seconds(*age));
        }
    }

    /// Counts an access token signed with `alg`.
    pub fn token_issued(&self, alg: &'static str) {
        self.0.issued.get_or_create(&AlgLabel { alg }).inc();
    }

    /// Counts a TLS handshake that ended.
    pub fn tls_handshake(&self, outcome: HandshakeOutcome) {
        self.0.tls.handshakes.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }).inc();
    }

    /// Says when the server's certificate expires, in seconds since the epoch.
    pub fn tls_certificate_expiry(&self, seconds: u64) {
        self.0.tls.certificate_expiry.set(i64::try_from(seconds).unwrap_or(i64::MAX));
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

    /// Counts an accepted connection.
    pub fn connection_accepted(&self) {
        self.0.accepted.inc();
    }

    /// Counts a failure to accept a connection.
    pub fn accept_error(&self) {
        self.0.accept_errors.inc();
    }

    /// Counts a connection as open until the guard is dropped.
    pub fn connection_open(&self, protocol: Protocol) -> OpenConnection {
        let gauge = match protocol {
            Protocol::Http1 => &self.0.http1_connections,
            Protocol::Http2 => &self.0.http2_connections,
        };
        gauge.inc();
        OpenConnection(gauge.clone())
    }

    /// Counts a connection that was closed because there were too many: `idle` or `source`.
    pub fn connection_dropped(&self, reason: &'static str) {
        self.0.dropped.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// All metrics as text of [`CONTENT_TYPE`].
    ///
    /// # Errors
    ///
    /// Only when a metric cannot be formatted, which is a defect of this module.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// One open connection, as long as it lives.
#[derive(Debug)]
pub struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, HandshakeOutcome, Metrics, Protocol, UNIX_EPOCH};

    #[test]
    fn every_metric_has_its_published_name() {
        let metrics = Metrics::new("1.2.3", UNIX_EPOCH + Duration::from_secs(7));
        metrics.request("token", "client_credentials", "ok", Duration::from_micros(150));
        metrics.token_issued("RS256");
        metrics.connection_accepted();
        metrics.accept_error();
        metrics.connection_dropped("idle");
        let open = metrics.connection_open(Protocol::Http2);
        metrics.tls_handshake(HandshakeOutcome::Resumed);
        metrics.tls_certificate_expiry(9);
        metrics.file_reloaded("tls", true);
        metrics.file_reloaded("tls", false);
        let text = metrics.encode().unwrap();
        for line in [
            r#"mintage_tls_handshakes_total{outcome="resumed"} 1"#,
            "mintage_tls_certificate_expiry_seconds 9",
            r#"mintage_file_reloads_total{file="tls",outcome="ok"} 1"#,
            r#"mintage_file_reloads_total{file="tls",outcome="failed"} 1"#,
            r#"mintage_file_stale{file="tls"} 1"#,
            r#"mintage_requests_total{endpoint="token",grant="client_credentials",outcome="ok"} 1"#,
            r#"mintage_request_duration_seconds_bucket{le="0.0001",endpoint="token"} 0"#,
            r#"mintage_request_duration_seconds_bucket{le="0.00025",endpoint="token"} 1"#,
            r#"mintage_tokens_issued_total{alg="RS256"} 1"#,
            r#"mintage_connections{protocol="http1"} 0"#,
            r#"mintage_connections{protocol="http2"} 1"#,
            "mintage_connections_accepted_total 1",
            "mintage_accept_errors_total 1",
            r#"mintage_connections_dropped_total{reason="idle"} 1"#,
            r#"mintage_build_info{version="1.2.3"} 1"#,
            "process_start_time_seconds 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
        }
        drop(open);
        assert!(metrics.encode().unwrap().contains(r#"mintage_connections{protocol="http2"} 0"#));
    }
}
