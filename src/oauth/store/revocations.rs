//! What was revoked before it expired (RFC 7009).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Sequence, StoreError};
use crate::{clock::Timestamp, oauth::client::ClientId};

/// What a revocation is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoked {
    /// One token, by its `jti`.
    Token {
        /// `jti`
        token_id: String,
    },
    /// Every token of a client whose `iat` is at or before an instant, in whole seconds.
    Client {
        /// Whose.
        #[serde(with = "super::text")]
        client_id: ClientId,
        /// Issued until then.
        issued_until: Timestamp,
    },
    /// Every token that a key signed.
    Key {
        /// `kid`
        kid: String,
    },
}

/// A revocation that is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRevocation {
    /// What is revoked.
    pub revoked: Revoked,
    /// When, in whole seconds.
    pub revoked_at: Timestamp,
    /// From when on nothing is left that it could concern, in whole seconds: it may be forgotten then.
    pub expires_at: Timestamp,
}

/// A revocation that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Its position in the change feed.
    pub sequence: Sequence,
    /// What was revoked.
    pub revoked: Revoked,
    /// When.
    pub revoked_at: Timestamp,
    /// When it may be forgotten.
    pub expires_at: Timestamp,
}

/// Keeps revocations.
#[async_trait::async_trait]
pub trait RevocationStore: fmt::Debug + Send + Sync {
    /// Keeps a revocation. Revoking the same thing again is no error; the answer is the kept revocation, the earlier one
    /// unless the new one reaches further.
    async fn revoke(&self, revocation: &NewRevocation) -> Result<Revocation, StoreError>;

    /// Until when the tokens of a client are refused, by their `iat`; `None` when they are not.
    async fn client_refused_until(&self, client_id: &ClientId) -> Result<Option<Timestamp>, StoreError>;

    /// Forgets revocations that expired before `now`, and changes nobody needs any more. Returns how many revocations.
    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError>;
}
