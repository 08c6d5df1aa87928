//! What the tests share.

pub mod admin;
pub mod assertion;
pub mod auth;
pub mod cases;
pub mod cluster;
pub mod dpop;
pub mod forge;
pub mod http;
pub mod issuer;
pub mod jwt;
pub mod parallel;
pub mod patience;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod raw_grpc;
pub mod refused;
pub mod replica;
pub mod server;
pub mod tls;
pub mod wire;

pub use auth::{Auth, WRONG};
pub use server::TestServer;
pub use wire::{Issue, Outcome, Transport, Wire, error};
