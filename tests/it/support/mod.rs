//! What the tests share.

pub mod auth;
pub mod cases;
pub mod jwt;
pub mod parallel;
pub mod process;
pub mod refused;
pub mod server;
pub mod wire;

pub use auth::{Auth, WRONG};
pub use refused::Refused;
pub use server::TestServer;
pub use wire::{Issue, Outcome, Transport, Wire, error};
