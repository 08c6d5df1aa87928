//! The gRPC adapter (layer 3): the services of proto/, on tonic.
//!
//! A handler converts a message into a call of the core and the result into a message; it decides nothing.
//!
//! - [`pb`]: the generated code
//! - `token_service`: mintage.token.v1.TokenService
//! - `key_service`: mintage.token.v1.KeyService; `watch`: its streams
//! - `client_service`: mintage.admin.v1.ClientService
//! - `signing_key_service`: mintage.admin.v1.SigningKeyService
//! - [`ClientMessages`], [`ExplainMessages`]: the methods of ClientService without asking who calls
//! - `admin_auth`: who may call the admin services
//! - `client_authentication`: credentials of a call
//! - `call`: what the connection and the log contribute
//! - `codec`: messages and their buffers
//! - `error`: oauth::Error -> tonic::Status
//! - `health`: how many may watch it
//! - `json`: JSON -> google.protobuf.Struct
//! - `time`: instants and durations -> google.protobuf
//! - `redact`: Debug without secrets
//! - `unary`: one message per call

mod admin_auth;
mod call;
mod client_authentication;
mod client_messages;
mod client_service;
mod codec;
mod error;
mod explain_messages;
mod health;
mod json;
mod key_service;
mod redact;
mod signing_key_service;
mod time;
mod token_service;
mod unary;
mod watch;

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use axum::Router;
use http::Request;
use tonic::{
    codec::CompressionEncoding,
    service::{Routes, RoutesBuilder},
};
use tonic_health::{
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};
use tower::ServiceExt;

use self::watch::Streams;

pub use client_messages::{ClientMessages, to_registration};
pub(crate) use error::{explain, explained};
pub use explain_messages::ExplainMessages;

use crate::{
    admin::{ClientAdmin, SigningKeyAdmin},
    oauth::AuthorizationServer,
};

/// The generated messages, clients and servers.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
pub mod pb {
    /// `mintage.token.v1`
    pub mod token {
        tonic::include_proto!("mintage.token.v1");
    }
    /// `mintage.admin.v1`
    pub mod admin {
        tonic::include_proto!("mintage.admin.v1");
    }
}

/// What reflection serves on the ops listener.
const ADMIN_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/admin_descriptors.bin"));

/// The methods that are found by their whole path rather than by their service, which spares its parameters.
const BY_PATH: [&str; 5] = ["Issue", "Introspect", "BatchIntrospect", "Revoke", "UserInfo"];

/// How many may watch the health of one listener.
const MAX_WATCHES: usize = 1024;

/// The longest message of health and reflection, which hold one name.
const MAX_SMALL_MESSAGE: usize = 4 * 1024;

/// What reflection serves on the public port.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// What the adapter is told beside the service itself.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The longest message that is read, in bytes, after inflation.
    pub max_message_bytes: usize,
    /// Whether reflection tells strangers the schema.
    pub reflection: bool,
    /// How long a key set may be cached.
    pub jwks_max_age: Duration,
}

/// Every gRPC service of the public port, and the handle that says whether it is serving.
///
/// # Errors
/// When the descriptor set cannot be read.
pub fn routes(
    server: &Arc<AuthorizationServer>,
    settings: Settings,
) -> Result<(Router, Health), tonic_reflection::server::Error> {
    let service = token_service::TokenService::new(Arc::clone(server));
    let service = pb::token::token_service_server::TokenServiceServer::new(service)
        .max_decoding_message_size(settings.max_message_bytes)
        .accept_compressed(CompressionEncoding::Gzip);
    let ending = tokio::sync::watch::Sender::new(false);
    let keys = key_service::KeyService::new(Arc::clone(server), settings.jwks_max_age, ending.subscribe());
    let keys = pb::token::key_service_server::KeyServiceServer::new(keys)
        .max_decoding_message_size(settings.max_message_bytes)
        .accept_compressed(CompressionEncoding::Gzip);
    let (reporter, health) = tonic_health::server::health_reporter();
    let reporter = Health { reporter, ending };
    reporter.start_as_not_serving();
    let longest = settings.max_message_bytes;
    let service = unary::Unary { service, longest };
    let health = bounded(health, &reporter);
    let mut routes = Routes::builder();
    routes
        .add_service(service.clone())
        .add_service(unary::Unary { service: keys, longest })
        .add_service(health);
    if settings.reflection {
        reflect(&mut routes, &[DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET])?;
    }
    let service =
        service.map_request(|request: Request<axum::body::Body>| request.map(tonic::body::Body::new));
    let router = BY_PATH.iter().fold(routes.routes().into_axum_router(), |router, method| {
        let path = format!("/{}/{method}", pb::token::token_service_server::SERVICE_NAME);
        router.route_service(&path, service.clone())
    });
    Ok((router, reporter))
}

/// What the admin services call.
#[derive(Clone, Debug)]
pub struct AdminServices {
    /// Checks the tokens of callers.
    pub server: Arc<AuthorizationServer>,
    /// Manages clients.
    pub clients: Arc<ClientAdmin>,
    /// Manages signing keys.
    pub keys: Arc<SigningKeyAdmin>,
}

/// Every gRPC service of the ops listener: health, as on the public port, and those that it never has (V-64).
///
/// # Errors
/// When the descriptor set cannot be read.
pub fn admin_routes(
    services: &AdminServices,
    settings: Settings,
    health: &Health,
) -> Result<Router, tonic_reflection::server::Error> {
    let AdminServices { server, clients, keys } = services;
    let clients = client_service::ClientService::new(Arc::clone(server), Arc::clone(clients));
    let clients = pb::admin::client_service_server::ClientServiceServer::new(clients)
        .max_decoding_message_size(settings.max_message_bytes)
        .accept_compressed(CompressionEncoding::Gzip);
    let keys = signing_key_service::SigningKeyService::new(Arc::clone(server), Arc::clone(keys));
    let keys = pb::admin::signing_key_service_server::SigningKeyServiceServer::new(keys)
        .max_decoding_message_size(settings.max_message_bytes)
        .accept_compressed(CompressionEncoding::Gzip);
    let mut routes = Routes::builder();
    let service = HealthServer::new(HealthService::from_health_reporter(health.reporter.clone()));
    let longest = settings.max_message_bytes;
    routes
        .add_service(unary::Unary { service: clients, longest })
        .add_service(unary::Unary { service: keys, longest })
        .add_service(bounded(service, health));
    if settings.reflection {
        reflect(&mut routes, &[ADMIN_DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET])?;
    }
    Ok(routes.routes().into_axum_router())
}

/// The health service with bounds.
fn bounded<H: tonic_health::pb::health_server::Health>(
    service: HealthServer<H>,
    health: &Health,
) -> health::Health<unary::Unary<HealthServer<H>>> {
    let service = service.max_decoding_message_size(MAX_SMALL_MESSAGE);
    let service = unary::Unary { service, longest: MAX_SMALL_MESSAGE };
    health::Health { service, streams: Streams::new(MAX_WATCHES, health.ending.subscribe()) }
}

/// Adds both versions of reflection, for the services of these descriptor sets.
fn reflect(
    routes: &mut RoutesBuilder,
    descriptors: &[&'static [u8]],
) -> Result<(), tonic_reflection::server::Error> {
    let builder = || {
        descriptors.iter().fold(tonic_reflection::server::Builder::configure(), |builder, set| {
            builder.register_encoded_file_descriptor_set(set)
        })
    };
    let v1 = builder().build_v1()?.max_decoding_message_size(MAX_SMALL_MESSAGE);
    let v1alpha = builder().build_v1alpha()?.max_decoding_message_size(MAX_SMALL_MESSAGE);
    routes.add_service(v1).add_service(v1alpha);
    Ok(())
}

/// Tells health clients (grpc.health.v1) whether the token service is serving. It starts as "not serving".
#[derive(Clone, Debug)]
pub struct Health {
    reporter: HealthReporter,
    ending: tokio::sync::watch::Sender<bool>,
}

impl Health {
    /// tonic-health lets the whole server start as serving. The table of statuses is not shared yet, so that the lock
    /// around it is free and one poll is enough.
    fn start_as_not_serving(&self) {
        let set = pin!(self.set_serving(false));
        let _ = set.poll(&mut Context::from_waker(Waker::noop()));
    }

    /// Ends every stream of the key service: they would hold up the end of the server.
    pub fn end_streams(&self) {
        self.ending.send_replace(true);
    }

    /// Sets the status of the whole server and of its services.
    pub async fn set_serving(&self, serving: bool) {
        let status = if serving {
            tonic_health::ServingStatus::Serving
        } else {
            tonic_health::ServingStatus::NotServing
        };
        let services =
            ["", pb::token::token_service_server::SERVICE_NAME, pb::token::key_service_server::SERVICE_NAME];
        for service in services {
            self.reporter.set_service_status(service, status).await;
        }
    }
}
