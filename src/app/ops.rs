//! What the ops listener serves: metrics and health. The public listener never has the former (V-64).

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{
    readiness::Readiness,
    rest,
    telemetry::{Metrics, metrics},
};

/// `/metrics`, `/healthz`, `/readyz`.
pub(super) fn routes(metrics: Metrics, readiness: &Readiness) -> Router {
    Router::new().route("/metrics", get(async move || render(&metrics))).merge(rest::health(readiness))
}

fn render(metrics: &Metrics) -> Response {
    match metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
