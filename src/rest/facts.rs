//! What the connection and the telemetry layer contribute to a request.

use std::{convert::Infallible, net::IpAddr, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
};

use crate::{peer::Peer, secret::Secret, telemetry::RequestRecord};

/// Facts about a request that no client can choose.
pub(super) struct Facts {
    /// The address the request came from. A request that no listener vouches for has none.
    pub(super) source: IpAddr,
    /// What the log line and the metrics will say.
    pub(super) record: Arc<RequestRecord>,
}

impl<S: Send + Sync> FromRequestParts<S> for Facts {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let source = parts.extensions.get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), Peer::source);
        let record = parts.extensions.get::<Arc<RequestRecord>>().cloned().unwrap_or_default();
        Ok(Self { source, record })
    }
}

/// Every `Authorization` header. Bytes outside ASCII cannot be credentials and become a text that is none.
pub(super) fn authorization(headers: &HeaderMap) -> Vec<Secret<String>> {
    headers
        .get_all(AUTHORIZATION)
        .iter()
        .map(|value| Secret::from(value.to_str().unwrap_or_default()))
        .collect()
}
