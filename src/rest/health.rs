//! GET /healthz and /readyz: is the process alive, and does it want requests?

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{error::no_store, facts::Facts};
use crate::readiness::Readiness;

#[derive(Serialize)]
struct Status {
    status: &'static str,
}

/// 200 as long as the process can answer at all.
pub(super) async fn healthz(facts: Facts) -> Response {
    facts.record.set_endpoint("healthz");
    no_store(Json(Status { status: "ok" }).into_response())
}

/// 200 while new requests are welcome; 503 before the keys are loaded and while the server drains.
pub(super) async fn readyz(State(readiness): State<Readiness>, facts: Facts) -> Response {
    facts.record.set_endpoint("readyz");
    let (code, status) = if readiness.is_ready() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    no_store((code, Json(Status { status })).into_response())
}
