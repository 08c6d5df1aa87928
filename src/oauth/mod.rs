//! The authorization server itself (layer 2). It has never heard of HTTP, gRPC or SQL.
//!
//! - [`authorization_server`]: the service and its policy
//! - [`issue`], [`introspect`], [`revoke`], [`userinfo`], [`metadata`]: one operation each
//! - [`signing`]: who signs what takes long, and when
//! - [`signed_introspection`]: an answer of [`introspect`] as a JWT
//! - [`explain`]: what [`issue`] would decide
//! - [`bearer`]: an access token as the right to call this server
//! - [`client`]: who may ask, and the proof of it
//! - [`sender`], [`confirmation`]: who sends a request, and what its token is bound to
//! - [`federation`]: tokens of others as proof of who asks
//! - [`grant`]: why a token may be issued
//! - [`dpop`]: proofs of a key of the caller's own
//! - [`access_token`]: what a token says
//! - [`scope`], [`resource`], [`issuer`]: parsed types for the words of a request
//! - [`smart_scope`]: scopes for FHIR resources
//! - [`smart_configuration`]: the metadata of SMART App Launch
//! - [`keys`]: the keys that sign and verify now
//! - [`store`]: what must be kept, as traits
//! - [`replica`]: this process as one of several on a store; [`revocations`] and [`freshness`] are what it knows
//! - [`replay`]: what may be used once is used once
//! - [`throttle`]: failed attempts are limited
//! - [`error`]: every way a request can fail

pub mod access_token;
pub mod authorization_server;
pub mod bearer;
pub mod client;
pub mod confirmation;
pub mod dpop;
pub mod error;
pub mod explain;
pub mod federation;
pub mod freshness;
pub mod grant;
pub mod introspect;
pub mod issue;
pub mod issuer;
pub mod keys;
pub mod metadata;
pub mod replay;
pub mod replica;
pub mod resource;
pub mod revocations;
pub mod revoke;
pub mod scope;
pub mod sender;
pub mod signed_introspection;
pub mod signing;
pub mod smart_configuration;
pub mod smart_scope;
pub mod store;
pub mod throttle;
pub mod userinfo;
pub mod watch;

pub use authorization_server::{AuthorizationServer, Policy};
pub use error::Error;
pub use freshness::Freshness;
pub use issuer::Issuer;
pub use keys::Keys;
pub use replica::Replica;
pub use revocations::Revocations;
