//! Tokens of a client: revoke them all, or explain what one would say.

use std::time::Duration;

use super::{clients::ClientAdmin, error::AdminError};
use crate::{
    clock::Timestamp,
    oauth::{
        client::{ClientId, registration::LIFETIME_RANGE},
        store::{NewRevocation, Revoked},
    },
};

/// Replicas do not agree on the time to the second: a revocation outlives the last token it concerns by this.
pub(super) const SKEW: Duration = Duration::from_secs(10);

impl ClientAdmin {
    /// Revokes every token of a client that was issued until an instant, at the latest now, and returns that instant. The
    /// revocation is durable.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], [`AdminError::InvalidArgument`] for an instant that lies ahead.
    pub async fn revoke_tokens(
        &self,
        client_id: &str,
        issued_until: Option<Timestamp>,
    ) -> Result<Timestamp, AdminError> {
        let client = self.find(client_id).await?;
        let now = self.now();
        let issued_until = Timestamp::from_seconds(issued_until.unwrap_or(now).seconds());
        if issued_until > now {
            return Err(AdminError::invalid(
                "issued_until_time",
                "it lies ahead, and would revoke tokens that are not issued yet; disable the client instead",
            ));
        }
        self.revoke_until(&client.client_id, issued_until).await?;
        Ok(issued_until)
    }

    pub(super) async fn revoke_until(
        &self,
        client_id: &ClientId,
        issued_until: Timestamp,
    ) -> Result<(), AdminError> {
        let revocation = NewRevocation {
            revoked: Revoked::Client { client_id: client_id.clone(), issued_until },
            revoked_at: self.now(),
            // Whatever the lifetime was when they were issued, no token ever lives longer than this.
            expires_at: issued_until + *LIFETIME_RANGE.end() + SKEW,
        };
        let kept = self.0.revocations.revoke(&revocation).await?;
        // This replica need not wait for the feed.
        self.0.revoked.revoked_here(&kept);
        Ok(())
    }
}
