//! Administration (layer 2, beside oauth): what an operator does to clients and keys. It knows stores as traits and has never
//! heard of a transport; the command line, gRPC and dynamic registration all call it.
//!
//! - [`clients`]: register, read, change and delete clients
//! - [`secrets`]: several secrets per client, which overlap while one replaces another
//! - [`tokens`]: revoke and explain tokens of a client
//! - [`registration`]: clients that register themselves (RFC 7591, RFC 7592)
//! - [`mask`]: which members an update names
//! - [`list`], with [`page`] and `filter`: lists of clients
//! - [`archive`]: export and import
//! - [`signing_keys`]: the life of signing keys
//! - [`error`]: every way a call can fail

pub mod archive;
pub mod clients;
pub mod error;
mod filter;
pub mod list;
pub mod mask;
pub mod page;
pub mod registration;
pub mod secrets;
pub mod signing_keys;
pub mod tokens;

pub use clients::ClientAdmin;
pub use error::{AdminError, Violation};
pub use signing_keys::SigningKeyAdmin;
