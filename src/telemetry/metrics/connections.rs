//! Connections: who is connected, and who could not be.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::Metrics;

/// The application protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1 (RFC 9112).
    Http1,
    /// HTTP/2 (RFC 9113).
    Http2,
}

pub(super) struct ConnectionMetrics {
    /// By protocol, then without and with TLS.
    open: [[Gauge; 2]; 2],
    accepted: Counter,
    accept_errors: Counter,
    dropped: Family<ReasonLabel, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    protocol: &'static str,
    tls: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl ConnectionMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let open = Family::<ConnectionLabels, Gauge>::default();
        registry.register("mintage_connections", "Open connections", open.clone());
        let open = ["http1", "http2"].map(|protocol| {
            ["false", "true"].map(|tls| open.get_or_create_owned(&ConnectionLabels { protocol, tls }))
        });
        let (accepted, accept_errors) = (Counter::default(), Counter::default());
        registry.register("mintage_connections_accepted", "Connections accepted", Counter::clone(&accepted));
        registry.register(
            "mintage_accept_errors",
            "Failures to accept a connection",
            Counter::clone(&accept_errors),
        );
        let dropped = Family::default();
        registry.register(
            "mintage_connections_dropped",
            "Connections closed because there were too many, by reason: idle (it made room), source (its host has enough)",
            Family::clone(&dropped),
        );
        for reason in ["idle", "source"] {
            let _ = dropped.get_or_create(&ReasonLabel { reason });
        }
        Self { open, accepted, accept_errors, dropped }
    }
}

impl Metrics {
    /// Counts an accepted connection.
    pub fn connection_accepted(&self) {
        self.0.connections.accepted.inc();
    }

    /// Counts a failure to accept a connection.
    pub fn accept_error(&self) {
        self.0.connections.accept_errors.inc();
    }

    /// Counts a connection that was closed because there were too many: `idle` or `source`.
    pub fn connection_dropped(&self, reason: &'static str) {
        self.0.connections.dropped.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts a connection, over TLS if it is `secure`, as open until the guard is dropped.
    pub fn connection_open(&self, protocol: Protocol, secure: bool) -> OpenConnection {
        let gauge = &self.0.connections.open[protocol as usize][usize::from(secure)];
        gauge.inc();
        OpenConnection(gauge.clone())
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
