//! GET /healthz and /readyz: is the process alive, and does it want requests?

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{error::no_store, facts::Facts};
use crate::readiness::{Readiness, StoreState};

#[derive(Serialize)]
struct Status {
    status: &'static str,
    /// What is wrong with the store; left out while nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<&'static str>,
}

/// 200 as long as the process can answer at all.
pub(super) async fn healthz(facts: Facts) -> Response {
    facts.record.set_endpoint("healthz");
    no_store(Json(Status { status: "ok", store: None }).into_response())
}

/// 200 while new requests are welcome; 503 before the keys are loaded, while the server drains, and when the store has
/// been away for so long that nothing of it may be relied on. A store that is away for less is told apart but is no reason
/// to send requests elsewhere: the other replicas have the same store.
pub(super) async fn readyz(State(readiness): State<Readiness>, facts: Facts) -> Response {
    facts.record.set_endpoint("readyz");
    let (code, status) = if readiness.is_ready() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let store = match readiness.store() {
        StoreState::Followed => None,
        StoreState::Unreachable => {
            Some("unreachable; tokens are issued and introspected from memory, nothing can be revoked")
        }
        StoreState::RevocationsStale => {
            Some("unreachable; tokens are issued from memory, introspection is refused")
        }
        StoreState::ClientsStale => Some("unreachable for longer than store.max_staleness; start it again"),
    };
    no_store((code, Json(Status { status, store })).into_response())
}
