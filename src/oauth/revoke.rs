//! Token revocation (RFC 7009): a client gives a token back before it expires.
//!
//! The answer says that the token is revoked, so it is given when the store has kept that and not before. On this replica
//! the token is refused from then on; the others learn of it by the change feed.

use std::time::Duration;

use super::{
    access_token::AccessToken,
    authorization_server::AuthorizationServer,
    error::{Description, Error, TokenRefusal},
    introspect::Caller,
    store::{NewRevocation, RevocationStore, Revoked},
};
use crate::{clock::Timestamp, secret::Secret};

/// How long the store may take to keep a revocation.
const LONGEST_WRITE: Duration = Duration::from_secs(2);

/// The same while it is not to be reached: the next attempt is made all the same, since it may be back.
const LONGEST_WRITE_FAILING: Duration = Duration::from_millis(250);

/// When to repeat a revocation that could not be kept. It may have been kept; repeating it does no harm.
const RETRY: Duration = Duration::from_secs(1);

/// A replica whose clock is late by less than this refuses the token until it has expired there too.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// What became of a token that was to be revoked. The caller is not told (RFC 7009 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// It is revoked, and that will last.
    Kept,
    /// It is expired, or none of this server: nobody accepts it, and nothing was kept.
    Needless,
}

impl AuthorizationServer {
    /// Revokes a token of the caller. `token_type_hint` has no place here: there is one kind of token (RFC 7009 §2.1).
    ///
    /// # Errors
    /// Those of client authentication; [`Error::InvalidRequest`] when no token was sent; [`Error::UnauthorizedClient`]
    /// for a token of another client, which stays what it was, whatever else the caller may do with it (RFC 7009 §2.1);
    /// [`Error::TemporarilyUnavailable`] when nobody can say that the token is revoked.
    pub async fn revoke(&self, caller: &Caller, token: Option<&Secret<String>>) -> Result<Revocation, Error> {
        let now = self.clock.now();

        // 1. Authenticate (RFC 7009 §2.1).
        let client = self.authenticate(&caller.authentication, &caller.sender, now).await?;

        // 2. Read the token. Whether it was revoked already does not matter, nor does `nbf`: it must not become valid.
        let token = token.ok_or_else(|| Error::invalid_request("token is missing"))?;
        let token = match self.read_own(token.expose()) {
            Ok(token) => token,
            // Another replica may have a new key that this one has not heard of yet.
            Err(TokenRefusal::Signature) if !self.knows_the_news(now) => return Err(unavailable()),
            Err(_) => return Ok(Revocation::Needless),
        };
        if token.client_id != client.client_id {
            return Err(Error::UnauthorizedClient(Description::new(
                "the token was issued to another client",
            )));
        }
        if now >= token.expires_at + CLOCK_SKEW {
            return Ok(Revocation::Needless);
        }

        // 3. Keep it, then act on it, then say so.
        let revocation = NewRevocation {
            revoked: Revoked::Token { token_id: token.token_id },
            revoked_at: Timestamp::from_seconds(now.seconds()),
            expires_at: token.expires_at + CLOCK_SKEW,
        };
        let store = self.revocation_store.as_ref().ok_or_else(unavailable)?;
        let kept = self.keep(&**store, &revocation).await?;
        self.revocations.revoked_here(&kept);
        Ok(Revocation::Kept)
    }

    /// A token of this server, whenever it is or was valid.
    fn read_own(&self, text: &str) -> Result<AccessToken, TokenRefusal> {
        AccessToken::read_signed(text, &self.keys.current(), self.issuer())
    }

    async fn keep(
        &self,
        store: &dyn RevocationStore,
        revocation: &NewRevocation,
    ) -> Result<super::store::Revocation, Error> {
        let limit = if self.is_store_failing() { LONGEST_WRITE_FAILING } else { LONGEST_WRITE };
        match tokio::time::timeout(limit, store.revoke(revocation)).await {
            Ok(Ok(kept)) => Ok(kept),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a revocation could not be kept; the client was told to repeat it");
                Err(unavailable())
            }
            Err(_) => {
                tracing::warn!(
                    "the store took too long to keep a revocation; the client was told to repeat it"
                );
                Err(unavailable())
            }
        }
    }
}

fn unavailable() -> Error {
    Error::TemporarilyUnavailable { retry_after: RETRY }
}
