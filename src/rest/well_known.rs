//! The documents that tell clients how to use this server: metadata (RFC 8414, OpenID Connect Discovery 1.0) and keys
//! (RFC 7517). Each is rendered once and then served as bytes.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest;
use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{error, facts::Facts};
use crate::{jose::base64url, oauth::AuthorizationServer};

/// How long metadata may be cached.
const METADATA_MAX_AGE: Duration = Duration::from_secs(300);

/// Every document of the server.
pub(super) struct Documents {
    pub(super) openid_configuration: Document,
    pub(super) oauth_authorization_server: Document,
    pub(super) jwks: Document,
}

/// One document, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Document(Arc<Rendered>);

#[derive(Debug)]
struct Rendered {
    endpoint: &'static str,
    body: Bytes,
    etag: HeaderValue,
    cache_control: HeaderValue,
}

impl Documents {
    pub(super) fn new(
        server: &AuthorizationServer,
        jwks_max_age: Duration,
    ) -> Result<Self, serde_json::Error> {
        let metadata = server.metadata();
        Ok(Self {
            openid_configuration: Document::new(
                "metadata",
                serde_json::to_vec_pretty(metadata)?,
                METADATA_MAX_AGE,
            ),
            oauth_authorization_server: Document::new("metadata", to_vec(metadata)?, METADATA_MAX_AGE),
            jwks: Document::new("jwks", to_vec(&server.jwks())?, jwks_max_age),
        })
    }
}

fn to_vec(document: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(document)
}

impl Document {
    fn new(endpoint: &'static str, body: Vec<u8>, max_age: Duration) -> Self {
        let hash = base64url(&digest::digest(&digest::SHA256, &body).as_ref()[..16]);
        let text =
            |text: String| HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("no-cache"));
        Self(Arc::new(Rendered {
            endpoint,
            body: body.into(),
            etag: text(format!("\"{hash}\"")),
            cache_control: text(format!("public, max-age={}", max_age.as_secs())),
        }))
    }
}

/// Serves a document, or 304 to a client that has it (RFC 9110 §13.1.2).
pub(super) async fn serve(
    State(Document(document)): State<Document>,
    facts: Facts,
    headers: HeaderMap,
) -> Response {
    facts.record.set_endpoint(document.endpoint);
    let caching =
        [(header::ETAG, document.etag.clone()), (header::CACHE_CONTROL, document.cache_control.clone())];
    if headers.get_all(header::IF_NONE_MATCH).iter().any(|value| names(value, &document.etag)) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(header::CONTENT_TYPE, "application/json")], document.body.clone()).into_response()
}

/// RFC 9110 §13.1.2: `*` or a list of entity tags, compared weakly.
fn names(if_none_match: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(list), Ok(etag)) = (if_none_match.to_str(), etag.to_str()) else { return false };
    list.split(',').map(str::trim).any(|item| item == "*" || item.strip_prefix("W/").unwrap_or(item) == etag)
}

/// `/authorize`: discovery clients want the endpoint to be named; machines have no use for it.
pub(super) async fn authorize(facts: Facts) -> Response {
    facts.record.set_endpoint("authorize");
    error::no_authorization_endpoint()
}
