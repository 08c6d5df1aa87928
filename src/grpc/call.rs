//! What the connection and the telemetry layer contribute to a call.

use std::sync::Arc;

use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::error;
use crate::{
    oauth::{
        Error,
        sender::{Endpoint, Sender},
    },
    peer::Peer,
    secret::Secret,
    telemetry::RequestRecord,
};

/// Facts about a call that no client can choose, and its metadata.
pub(super) struct Call {
    /// Who calls what.
    pub(super) sender: Sender,
    pub(super) record: Arc<RequestRecord>,
    /// Every `authorization` metadata value.
    pub(super) authorization: Vec<Secret<String>>,
}

impl Call {
    /// Takes a request apart.
    pub(super) fn begin<T>(service: &'static str, method: &'static str, request: Request<T>) -> (Self, T) {
        let (metadata, extensions, message) = request.into_parts();
        let peer = extensions.get::<Peer>();
        let sender = Sender {
            source: Peer::source_of(peer),
            certificate: peer.and_then(|peer| peer.certificates.clone()),
            dpop_proofs: values(&metadata, "dpop"),
            http_method: "POST",
            endpoint: Endpoint::Rpc { service, method },
        };
        let record = extensions.get::<Arc<RequestRecord>>().cloned().unwrap_or_default();
        record.set_endpoint(method);
        (Self { sender, record, authorization: values(&metadata, "authorization") }, message)
    }

    /// Answers the call; an error is noted in the record.
    pub(super) fn finish<T>(&self, result: Result<T, Error>) -> Result<Response<T>, Status> {
        result.map(Response::new).map_err(|error| {
            self.record.refuse(error.code(), error.log_detail());
            if let Some(reason) = error.too_many() {
                self.record.set_too_many(reason);
            }
            error::status(&error)
        })
    }
}

fn values(metadata: &MetadataMap, key: &str) -> Vec<Secret<String>> {
    metadata.get_all(key).iter().map(|value| Secret::from(value.to_str().unwrap_or_default())).collect()
}
