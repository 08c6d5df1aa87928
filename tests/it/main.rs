//! Behaviour through real sockets: one file per feature.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod attacks;
mod golden;
mod grpc_wire;
mod issue;
mod rest_wire;
mod support;
