//! What the connection and the telemetry layer contribute to a call.

use std::{net::IpAddr, sync::Arc};

use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::error;
use crate::{oauth::Error, peer::Peer, secret::Secret, telemetry::RequestRecord};

/// Facts about a call that no client can choose, and its metadata.
pub(super) struct Call {
    pub(super) source: IpAddr,
    pub(super) record: Arc<RequestRecord>,
    /// Every `authorization` metadata value.
    pub(super) authorization: Vec<Secret<String>>,
}

impl Call {
    /// Takes a request apart.
    pub(super) fn begin<T>(method: &'static str, request: Request<T>) -> (Self, T) {
        let (metadata, extensions, message) = request.into_parts();
        let source = extensions.get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), Peer::source);
        let record = extensions.get::<Arc<RequestRecord>>().cloned().unwrap_or_default();
        record.set_endpoint(method);
        (Self { source, record, authorization: authorization(&metadata) }, message)
    }

    /// Answers the call; an error is noted in the record.
    pub(super) fn finish<T>(&self, result: Result<T, Error>) -> Result<Response<T>, Status> {
        result.map(Response::new).map_err(|error| {
            self.record.refuse(error.code(), error.log_detail().as_deref());
            error::status(&error)
        })
    }
}

fn authorization(metadata: &MetadataMap) -> Vec<Secret<String>> {
    metadata
        .get_all("authorization")
        .iter()
        .map(|value| Secret::from(value.to_str().unwrap_or_default()))
        .collect()
}
