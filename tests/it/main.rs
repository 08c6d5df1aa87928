//! Behaviour through real sockets: one file per feature.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod batch;
mod claims;
mod client_authentication;
mod introspect;
mod issue;
mod keys;
mod lifetime;
mod parity;
mod reload;
mod support;
mod target;
mod throttling;
mod userinfo;
