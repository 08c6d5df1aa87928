//! Every way a start can fail.

use std::{io, net::SocketAddr};

use crate::{
    admin::AdminError,
    config::{ConfigErrors, Problem},
    jose::{key_ring::DuplicateKey, verification_key::InvalidKey},
    oauth::store::StoreError,
    random::RandomError,
    store::OpenError,
    telemetry::logging::LoggingError,
};

/// Why the server did not start. Each is one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Logging could not be set up.
    #[error("{0}")]
    Logging(#[from] LoggingError),
    /// A secret of the configuration could not be hashed.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// A signing key cannot be used or generated.
    #[error("a signing key could not be prepared: {0}")]
    Key(#[from] InvalidKey),
    /// Two signing keys are one.
    #[error("{0}; configure another key file")]
    DuplicateKey(#[from] DuplicateKey),
    /// The store cannot be opened.
    #[error("{0}")]
    Store(#[from] OpenError),
    /// The store failed while the server started.
    #[error("{0}; start the database, or set store.snapshot_file so that a replica can start without it")]
    StoreFailed(#[from] StoreError),
    /// What is sealed in the store cannot be opened.
    #[error("master key: {0}")]
    MasterKey(String),
    /// The signing keys could not be brought up to date.
    #[error("the signing keys could not be prepared: {0}")]
    SigningKeys(#[from] AdminError),
    /// The snapshot cannot stand in for the store.
    #[error("{0}")]
    Snapshot(String),
    /// The system's random generator failed.
    #[error("{0}; no key can be made on this system")]
    Random(#[from] RandomError),
    /// A document of the server cannot be rendered.
    #[error("a document could not be rendered: {0}")]
    Document(#[from] serde_json::Error),
    /// The descriptor set of reflection cannot be read.
    #[error("reflection could not be set up: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A file that the configuration names cannot be used.
    #[error("{0}")]
    File(#[from] Problem),
    /// TLS of the public port cannot be set up.
    #[error("{0}")]
    Tls(String),
    /// An address is taken or not ours.
    #[error("{setting} {address} cannot be listened on ({source}); free it or choose another address")]
    Listen {
        /// Which setting names the address.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The runtime or its signal handlers could not be set up.
    #[error("the process could not be set up: {0}")]
    Process(#[from] io::Error),
}
