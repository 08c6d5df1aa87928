//! The REST adapter (layer 3): the standard OAuth endpoints and well-known documents, on axum.
//!
//! A handler converts a request into a call of the core and the result into a response; it decides nothing.
//!
//! - `token`, `introspect`, `revoke`, `userinfo`, `well_known`, `health`: one endpoint each
//! - `register`: clients that register themselves
//! - `form`: the body of a POST
//! - `client_authentication`: credentials of a request
//! - `negotiation`: the Accept header
//! - `error`: oauth::Error -> HTTP
//! - `facts`: what the connection and the log contribute

mod client_authentication;
mod error;
mod facts;
mod form;
mod health;
mod introspect;
mod negotiation;
mod register;
mod revoke;
mod token;
mod userinfo;
mod well_known;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    http::Method,
    routing::{any, get, post},
};
use tower_http::cors::{Any, CorsLayer};

pub(crate) use self::error::retry_after;
use crate::{admin::ClientAdmin, oauth::AuthorizationServer, readiness::Readiness};

/// What the adapter is told beside the service itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The longest body that is read, in bytes.
    pub max_body_bytes: usize,
    /// How long a key set may be cached (`Cache-Control: max-age`).
    pub jwks_max_age: Duration,
}

/// What every handler sees.
#[derive(Clone, Debug)]
struct Rest {
    server: Arc<AuthorizationServer>,
    max_body_bytes: usize,
}

/// Every route of the public port. With an issuer that has a path, each answers below that path too, and the metadata
/// in both placements of RFC 8414 §3.1.
///
/// # Errors
/// When a document cannot be serialized.
pub fn routes(
    server: &Arc<AuthorizationServer>,
    readiness: &Readiness,
    settings: &Settings,
) -> Result<Router, serde_json::Error> {
    let documents = well_known::Documents::new(server, settings.jwks_max_age)?;
    let rest = Rest { server: Arc::clone(server), max_body_bytes: settings.max_body_bytes };

    // Only public documents may be read by any web page (CHK-131, V-41). The layer comes last: a preflight is an OPTIONS,
    // which would otherwise meet the fallback.
    let public = |document: &well_known::Document| {
        get(well_known::serve)
            .with_state(document.clone())
            .fallback(error::method_not_allowed)
            .layer(CorsLayer::new().allow_origin(Any).allow_methods([Method::GET]))
    };
    let endpoints = Router::new()
        .route("/token", post(token::token).fallback(error::method_not_allowed))
        .route("/introspect", post(introspect::introspect).fallback(error::method_not_allowed))
        .route("/revoke", post(revoke::revoke).fallback(error::method_not_allowed))
        .route(
            "/userinfo",
            get(userinfo::userinfo).post(userinfo::userinfo).fallback(error::method_not_allowed),
        )
        .route("/authorize", any(well_known::authorize))
        .with_state(rest)
        .route("/.well-known/openid-configuration", public(&documents.openid_configuration))
        .route("/.well-known/oauth-authorization-server", public(&documents.oauth_authorization_server))
        .route("/.well-known/smart-configuration", public(&documents.smart_configuration))
        .route("/.well-known/jwks.json", public(&documents.jwks))
        .merge(health(readiness));

    let path = server.issuer().path();
    if path.is_empty() {
        return Ok(endpoints);
    }
    Ok(endpoints
        .clone()
        .without_v07_checks()
        .nest(path, endpoints)
        .route(&format!("/.well-known/openid-configuration{path}"), public(&documents.openid_configuration))
        .route(
            &format!("/.well-known/oauth-authorization-server{path}"),
            public(&documents.oauth_authorization_server),
        ))
}

/// The routes by which clients register themselves, for the public port of a server that allows it. With an issuer that
/// has a path, they answer below that path too.
pub fn registration(
    server: &Arc<AuthorizationServer>,
    clients: &Arc<ClientAdmin>,
    settings: &Settings,
) -> Router {
    let (server, clients) = (Arc::clone(server), Arc::clone(clients));
    let path = server.issuer().path().to_owned();
    let manage = get(register::read).put(register::update).delete(register::delete);
    let routes = Router::new()
        .route("/register", post(register::register).fallback(error::method_not_allowed))
        .route("/register/{client_id}", manage.fallback(error::method_not_allowed))
        .with_state(register::Registration { server, clients, max_body_bytes: settings.max_body_bytes });
    if path.is_empty() { routes } else { routes.clone().without_v07_checks().nest(&path, routes) }
}

/// The routes of health alone, for both listeners.
pub fn health(readiness: &Readiness) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz).fallback(error::method_not_allowed))
        .route("/readyz", get(health::readyz).fallback(error::method_not_allowed))
        .with_state(readiness.clone())
}
