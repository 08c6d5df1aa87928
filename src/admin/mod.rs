//! Administration (layer 2, beside `oauth`): what operators do, whichever way they ask for it.
//!
//! - [`archive`]: export and import
//! - [`error`]: every way an administrative call can fail
//! - [`signing_keys`]: the life of signing keys

pub mod archive;
pub mod error;
pub mod signing_keys;

pub use error::AdminError;
pub use signing_keys::SigningKeyAdmin;
