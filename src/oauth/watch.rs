//! What resource servers follow: the keys and the revocations (RFC 7517 §5, RFC 7009).
//!
//! Keys are public. Revocations name tokens and clients: they are told to those who may introspect every token (RFC 7662
//! §2.1), and only while that lasts.

use std::{sync::Arc, time::Duration};

use super::{
    AuthorizationServer, Keys,
    client::IntrospectPermission,
    error::{Description, Error},
    introspect::Caller,
    revocations::Revocations,
};

impl AuthorizationServer {
    /// The keys.
    pub fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// The revocations, for a caller that was admitted.
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// Lets a caller follow the revocations. Asked again now and then, it tells whether the caller still may.
    ///
    /// # Errors
    /// Those of client authentication; [`Error::UnauthorizedClient`] for a client that may not introspect every token.
    pub async fn admit_to_revocations(&self, caller: &Caller) -> Result<(), Error> {
        let now = self.clock.now();
        let client = self.authenticate(&caller.authentication, &caller.sender, now).await?;
        if client.introspect == IntrospectPermission::Any {
            Ok(())
        } else {
            Err(Error::UnauthorizedClient(Description::new(
                "the client may not introspect every token; it must be registered with introspect = \"any\"",
            )))
        }
    }

    /// How old the knowledge of revocations may be; `None` when that is not known.
    pub fn staleness(&self) -> Option<Duration> {
        self.freshness.age(self.clock.now())
    }
}
