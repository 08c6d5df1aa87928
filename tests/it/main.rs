//! Behaviour through real sockets: one file per feature.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod claims;
mod issue;
mod lifetime;
mod support;
mod target;
