//! What the ops listener serves: metrics, health and the administration. The public listener has the second alone (V-64).

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::{Core, StartError};
use crate::{
    config::Config,
    grpc,
    readiness::Readiness,
    rest,
    serve::{self, router::Routes},
    telemetry::{Metrics, metrics},
};

impl Core {
    /// `/metrics`, `/healthz`, `/readyz` and the admin services.
    ///
    /// # Errors
    /// [`StartError::Reflection`].
    pub fn ops_routes(
        &self,
        config: &Config,
        metrics: Metrics,
        readiness: &Readiness,
        health: &grpc::Health,
    ) -> Result<Routes, StartError> {
        let rest = Router::new()
            .route("/metrics", get(async move || render(&metrics)))
            .merge(rest::health(readiness));
        Ok(serve::router(rest, self.admin_routes(config, health)?))
    }
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
