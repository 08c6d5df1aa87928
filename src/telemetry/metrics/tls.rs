//! TLS on the public port.

use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{Metrics, OutcomeLabel};

/// Seconds. A handshake is worth a millisecond of work; the rest is waiting for the peer, or for a turn.
const DURATION_BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];

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
    const ALL: [Self; 5] = [Self::Full, Self::Resumed, Self::Failed, Self::Abandoned, Self::Late];

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

pub(super) struct TlsMetrics {
    /// In the order of [`HandshakeOutcome::ALL`].
    handshakes: [Counter; HandshakeOutcome::ALL.len()],
    durations: Histogram,
    certificate_expiry: Gauge,
}

impl TlsMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let handshakes = Family::<OutcomeLabel, Counter>::default();
        registry.register("mintage_tls_handshakes", "TLS handshakes ended", handshakes.clone());
        let handshakes = HandshakeOutcome::ALL
            .map(|outcome| handshakes.get_or_create_owned(&OutcomeLabel { outcome: outcome.as_str() }));
        let durations = Histogram::new(DURATION_BUCKETS);
        registry.register_with_unit(
            "mintage_tls_handshake_duration",
            "Time from a client's first message to the end of its handshake, of those that succeed",
            Unit::Seconds,
            durations.clone(),
        );
        let certificate_expiry = Gauge::default();
        registry.register_with_unit(
            "mintage_tls_certificate_expiry",
            "When the server's certificate expires, since the epoch; 0 without TLS",
            Unit::Seconds,
            Gauge::clone(&certificate_expiry),
        );
        Self { handshakes, durations, certificate_expiry }
    }
}

impl Metrics {
    /// Counts a TLS handshake that ended.
    pub fn tls_handshake(&self, outcome: HandshakeOutcome) {
        self.0.tls.handshakes[outcome as usize].inc();
    }

    /// Says how long a TLS handshake took that succeeded.
    pub fn tls_handshake_duration(&self, duration: Duration) {
        self.0.tls.durations.observe(duration.as_secs_f64());
    }

    /// Says when the server's certificate expires, in seconds since the epoch.
    pub fn tls_certificate_expiry(&self, seconds: u64) {
        self.0.tls.certificate_expiry.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }
}
