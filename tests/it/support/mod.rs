//! What the tests share.

pub mod forge;
pub mod http;
pub mod process;
pub mod raw_grpc;
pub mod server;
pub mod wire;

pub use server::TestServer;
pub use wire::{Auth, Issue, Outcome, Refused, Transport, Wire};
