//! Behaviour of the whole program, through its sockets and its command line: one file per feature.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod architecture;
mod attacks;
mod cli;
mod config;
mod golden;
mod grpc_wire;
mod issue;
mod logs;
mod process;
mod rest_wire;
mod support;
mod transport;
