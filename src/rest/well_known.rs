//! The documents that tell clients how to use this server: metadata (RFC 8414, OpenID Connect Discovery 1.0, SMART App
//! Launch 2.2) and keys (RFC 7517). Each is rendered once, the keys again when they change, and served as bytes.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest;
use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    error::{self, Challenge, Refusal},
    facts::Facts,
};
use crate::{
    jose::{KeyRing, base64url},
    oauth::{AuthorizationServer, Error, Keys, smart_configuration::SmartConfiguration},
};

/// How long metadata may be cached.
const METADATA_MAX_AGE: Duration = Duration::from_secs(300);

/// Every document of the server.
pub(super) struct Documents {
    pub(super) openid_configuration: Document,
    pub(super) oauth_authorization_server: Document,
    pub(super) smart_configuration: Document,
    pub(super) jwks: Document,
}

/// One document.
#[derive(Clone, Debug)]
pub(super) enum Document {
    Fixed(Arc<Rendered>),
    KeySet(Arc<KeySet>),
}

/// The key set, rendered for the ring of keys that counts.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Arc<Keys>,
    max_age: Duration,
    rendered: ArcSwapOption<(Arc<KeyRing>, Arc<Rendered>)>,
}

/// A document as it is sent.
#[derive(Debug)]
pub(super) struct Rendered {
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
            openid_configuration: Document::fixed(serde_json::to_vec_pretty(metadata)?),
            oauth_authorization_server: Document::fixed(serde_json::to_vec(metadata)?),
            smart_configuration: Document::fixed(serde_json::to_vec(&SmartConfiguration::new(
                server.issuer(),
            ))?),
            jwks: Document::KeySet(Arc::new(KeySet {
                keys: Arc::clone(server.keys()),
                max_age: jwks_max_age,
                rendered: ArcSwapOption::empty(),
            })),
        })
    }
}

impl Document {
    fn fixed(body: Vec<u8>) -> Self {
        Self::Fixed(Arc::new(Rendered::new("metadata", body, METADATA_MAX_AGE)))
    }

    fn current(&self) -> Result<Arc<Rendered>, serde_json::Error> {
        match self {
            Self::Fixed(document) => Ok(Arc::clone(document)),
            Self::KeySet(keys) => keys.current(),
        }
    }
}

impl KeySet {
    fn current(&self) -> Result<Arc<Rendered>, serde_json::Error> {
        let ring = self.keys.current();
        if let Some(last) = self.rendered.load().as_deref().filter(|last| Arc::ptr_eq(&last.0, &ring)) {
            return Ok(Arc::clone(&last.1));
        }
        let document = Arc::new(Rendered::new("jwks", serde_json::to_vec(ring.published())?, self.max_age));
        self.rendered.store(Some(Arc::new((Arc::clone(&ring), Arc::clone(&document)))));
        Ok(document)
    }
}

impl Rendered {
    fn new(endpoint: &'static str, body: Vec<u8>, max_age: Duration) -> Self {
        let hash = base64url(&digest::digest(&digest::SHA256, &body).as_ref()[..16]);
        let text =
            |text: String| HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("no-cache"));
        Self {
            endpoint,
            body: body.into(),
            etag: text(format!("\"{hash}\"")),
            cache_control: text(format!("public, max-age={}", max_age.as_secs())),
        }
    }
}

/// Serves a document, or 304 to a client that has it (RFC 9110 §13.1.2).
pub(super) async fn serve(State(document): State<Document>, facts: Facts, headers: HeaderMap) -> Response {
    let document = match document.current() {
        Ok(document) => document,
        Err(error) => {
            let refusal = Refusal::from(Error::ServerError(error.to_string()));
            return refusal.respond(Challenge::Client, &facts.record);
        }
    };
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
