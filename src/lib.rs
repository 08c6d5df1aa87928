//! Mintage: an OAuth 2.0 token service for machines. It issues, introspects and explains access tokens over gRPC and REST
//! on one port, from one implementation.
//!
//! # The map
//!
//! | module | what it is | layer |
//! |---|---|---|
//! | [`clock`] [`random`] [`secret`] | the time, unpredictable bytes, values that cannot be printed | 0 |
//! | [`form_encoding`] [`fingerprint`] [`peer`] [`readiness`] | strict form decoding, digests of several texts, who is connected, whether requests are welcome | 0 |
//! | [`refusal`] | why a request is refused when there are too many | 0 |
//! | [`sealing`] [`private_file`] | secrets at rest, under the master keys; files nobody else reads | 1 |
//! | [`rate`] [`quota`] [`pool`] | so many events per time and key, so many at once per address; threads for work that takes long, shared fairly | 1 |
//! | [`certificates`] | X.509: what a certificate says, and whether an authority stands behind it; no OAuth | 1 |
//! | [`jose`] | signed JSON: keys, JWS, strict parsing; no OAuth | 1 |
//! | [`oauth`] | the authorization server: every rule of OAuth, no transport | 2 |
//! | [`admin`] | what operators do: clients, keys, archives | 2 |
//! | [`rest`] | the standard OAuth endpoints and documents, on axum | 3 |
//! | [`grpc`] | the services of `proto/`, on tonic | 3 |
//! | [`store`] | the store traits of `oauth`, on SQLite and PostgreSQL | 3 |
//! | [`fetch`] | the key sets of others, over https: guards, cache, one fetch at a time | 3 |
//! | [`telemetry`] | one log line per request, every metric | beside 3 |
//! | [`serve`] | one listener: accept loop, TLS, deadlines, protocols, the only fallback, shutdown | 4 |
//! | [`config`] [`key_file`] | settings and clients as checked values; RS256 key files | 4 |
//! | [`app`] | the composition root: a configuration becomes a running server | 5 |
//! | [`cli`] | the command line; each command is one module | 6 |
//!
//! # The layer rule
//!
//! A module may use layers below its own, never above. `rest` and `grpc` do not know each other. `oauth` and `jose` name no
//! transport, no database, no ambient clock and no ambient randomness. `tests/it/architecture.rs` reads `src/` and fails
//! when a line breaks the rule.
//!
//! # How a request flows
//!
//! ```text
//! REST  form      -> rest::form, rest::client_authentication  -.
//! gRPC  message   -> grpc::token_service                      -+-> oauth::issue::TokenRequest
//!   -> AuthorizationServer::issue: 1 authenticate  2 authorise  3 lifetime  4 bind  5 sign  6 answer
//! Ok  -> 200 JSON | message          Err(oauth::Error) -> rest::error | grpc::error
//! ```
//!
//! # Reading order, ten minutes
//!
//! This page, `proto/mintage/token/v1/token_service.proto`, [`rest`] and [`grpc`] (the routes and services on one screen
//! each), [`oauth::issue`], [`oauth::client`], [`oauth::error`], [`serve`].

pub mod admin;
pub mod app;
pub mod certificates;
pub mod cli;
pub mod clock;
pub mod config;
pub mod fetch;
pub mod fingerprint;
pub mod form_encoding;
pub mod grpc;
pub mod jose;
pub mod key_file;
pub mod oauth;
pub mod peer;
pub mod pool;
pub mod private_file;
pub mod quota;
pub mod random;
pub mod rate;
pub mod readiness;
pub mod refusal;
pub mod rest;
pub mod sealing;
pub mod secret;
pub mod serve;
pub mod store;
pub mod telemetry;
