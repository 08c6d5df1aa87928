//! What was asked, and what became of it.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::Metrics;
use crate::refusal::RefusalReason;

/// Seconds. The lower half resolves a token minted from memory, the upper half a store that stalls.
const DURATION_BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

pub(super) struct RequestMetrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<EndpointLabel, Histogram, fn() -> Histogram>,
    /// In the order of [`RefusalReason::ALL`].
    refused: [Counter; RefusalReason::ALL.len()],
    issued: Family<AlgLabel, Counter>,
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
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlgLabel {
    alg: &'static str,
}

impl RequestMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let requests = Family::default();
        registry.register(
            "mintage_requests",
            "Requests by outcome: ok, refused (the caller's fault), limited (the caller asks for too much), shed (too busy), failed \
             (our fault), cancelled (the caller left)",
            Family::clone(&requests),
        );
        let durations = Family::new_with_constructor(
            (|| Histogram::new(DURATION_BUCKETS)) as fn() -> Histogram, //
        );
        registry.register_with_unit(
            "mintage_request_duration",
            "Time from a request's head to its response's head",
            Unit::Seconds,
            durations.clone(),
        );
        let refused = Family::<ReasonLabel, Counter>::default();
        registry.register(
            "mintage_requests_refused",
            "Requests refused for there being too many, by reason",
            refused.clone(),
        );
        let refused = RefusalReason::ALL
            .map(|reason| refused.get_or_create_owned(&ReasonLabel { reason: reason.as_str() }));
        let issued = Family::default();
        registry.register("mintage_tokens_issued", "Access tokens issued", Family::clone(&issued));
        Self { requests, durations, refused, issued }
    }
}

impl Metrics {
    /// Counts a request and the time it took. `grant` is empty where there is none.
    pub fn request(
        &self,
        endpoint: &'static str,
        grant: &'static str,
        outcome: &'static str,
        duration: Duration,
    ) {
        let requests = &self.0.requests;
        requests.requests.get_or_create(&RequestLabels { endpoint, grant, outcome }).inc();
        requests.durations.get_or_create(&EndpointLabel { endpoint }).observe(duration.as_secs_f64());
    }

    /// Counts a request that was refused because there are too many.
    pub fn refused(&self, reason: RefusalReason) {
        self.0.requests.refused[reason as usize].inc();
    }

    /// Counts a request of which nothing was read, for there being too many.
    pub fn turned_away(&self, reason: RefusalReason) {
        let labels = RequestLabels { endpoint: "unread", grant: "", outcome: reason.outcome() };
        self.0.requests.requests.get_or_create(&labels).inc();
        self.refused(reason);
    }

    /// Counts an access token signed with `alg`.
    pub fn token_issued(&self, alg: &'static str) {
        self.0.requests.issued.get_or_create(&AlgLabel { alg }).inc();
    }
}
