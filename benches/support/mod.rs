//! What the benches share.
//!
//! - [`options`]: the command line
//! - [`server`]: the release binary as a process of its own, and what it takes of the machine
//! - [`config`]: the clients it knows
//! - [`http`], [`grpc`]: callers that make one request again and again
//! - [`signer`]: what clients sign
//! - [`unknown`]: tokens that the server does not recognise
//! - [`load`]: closed and open loops of callers, and what they measure
//! - [`slices`]: latencies by slices of time, which pauses of the machine do not decide
//! - [`machine`]: how evenly the machine works by itself
//! - [`tls`]: certificates and handshakes
//! - [`bare`]: what the cryptography alone costs
//! - [`report`], [`chart`]: tables as Markdown and JSON, curves as SVG
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each bench uses a part of it")]

pub mod bare;
pub mod chart;
pub mod config;
pub mod grpc;
pub mod http;
pub mod load;
pub mod machine;
pub mod options;
pub mod report;
pub mod server;
pub mod signer;
pub mod slices;
pub mod tls;
pub mod unknown;

use std::error::Error;

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Runs a bench on one thread, which is enough to drive a server that signs and leaves the other cores to it.
pub fn run<T>(bench: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, bench)
}
