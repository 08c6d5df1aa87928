//! Behaviour of the whole program, through its sockets and its command line: one file per feature.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod abuse;
mod admin;
mod architecture;
mod assertions;
mod attacks;
mod batch;
mod claims;
mod cli;
mod client_authentication;
mod config;
mod deploy;
mod dpop;
mod durability;
mod faults;
mod federation;
mod golden;
mod grpc_wire;
mod introspect;
mod introspect_by_token;
mod issue;
mod key_service;
mod keys;
mod lifetime;
mod logs;
mod mtls;
mod overload;
mod parity;
mod process;
mod reload;
mod rest_wire;
mod revoke;
mod rotation;
mod signed_introspection;
mod smart;
mod store;
mod support;
mod target;
mod throttling;
mod tls;
mod token_get;
mod transport;
mod userinfo;
