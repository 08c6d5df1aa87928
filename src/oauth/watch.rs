//! What resource servers follow: the keys and the revocations (RFC 7517 §5, RFC 7009).
//!
//! Keys are public. Revocations name tokens and clients: they are told to those who may introspect every token (RFC 7662
//! §2.1), and only while that lasts.

use std::{sync::Arc, time::Duration};

use super::{
    AuthorizationServer, Keys,
    client::{AuthenticatedClient, IntrospectPermission},
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

    /// Lets a caller follow the revocations.
    ///
    /// # Errors
    /// Those of client authentication; [`Error::UnauthorizedClient`] for a client that may not introspect every token.
    pub async fn admit_to_revocations(&self, caller: &Caller) -> Result<AuthenticatedClient, Error> {
        let now = self.clock.now();
        may_follow(self.authenticate(&caller.authentication, &caller.sender, now).await?)
    }

    /// Tells whether somebody who was admitted still may follow them. Nothing is presented again: an assertion is used once.
    ///
    /// # Errors
    /// [`Error::InvalidClient`] once the client could not authenticate as it did, [`Error::UnauthorizedClient`] as above;
    /// [`Error::TemporarilyUnavailable`] when nobody can say.
    pub async fn still_admits_to_revocations(
        &self,
        admitted: &AuthenticatedClient,
    ) -> Result<AuthenticatedClient, Error> {
        may_follow(self.authenticator.look_again(admitted, self.clock.now()).await?)
    }

    /// How old the knowledge of revocations may be; `None` when that is not known.
    pub fn staleness(&self) -> Option<Duration> {
        self.freshness.age(self.clock.now())
    }
}

fn may_follow(client: AuthenticatedClient) -> Result<AuthenticatedClient, Error> {
    if client.introspect == IntrospectPermission::Any {
        return Ok(client);
    }
    Err(Error::UnauthorizedClient(Description::new(
        "the client may not introspect every token; it must be registered with introspect = \"any\"",
    )))
}
