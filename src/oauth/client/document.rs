//! What the store keeps of a client, as JSON: its registration and the hashes of its secrets.

use serde::{Deserialize, Serialize};

use super::registration::ClientRegistration;

/// A client as it is kept. It holds hashes, never a secret.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientDocument {
    /// The members as they were registered.
    pub registration: ClientRegistration,
    /// Its secrets, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretRecord>,
    /// The hash of the token that manages the registration (RFC 7592 §1.2); only dynamically registered clients have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_access_token_hash: Option<String>,
}

/// A secret of a client. Instants are whole seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRecord {
    /// Names the secret among those of the client.
    pub secret_id: String,
    /// The hash, in the form of [`super::SecretHash::to_text`].
    pub hash: String,
    /// When it was made.
    pub created_at: u64,
    /// From when it is accepted; `None`: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<u64>,
    /// From when it no longer is; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}
