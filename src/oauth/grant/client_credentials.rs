//! The client credentials grant (RFC 6749 §4.4): the client asks in its own name, within its own registration.

use crate::oauth::{
    client::Client,
    error::{Description, Error},
    scope::{RequestedScope, Scope},
};

/// The scope to grant: what was asked for, all of which the client must be registered for; or, when nothing was asked
/// for, everything it is registered for (RFC 6749 §3.3, the documented default).
///
/// # Errors
/// [`Error::InvalidScope`].
pub fn grant_scope(client: &Client, requested: Option<&RequestedScope>) -> Result<Scope, Error> {
    let Some(requested) = requested else { return Ok(client.scope.clone()) };
    let requested =
        requested.read().map_err(|error| Error::InvalidScope(Description::new(error.to_string())))?;
    match requested.first_outside(&client.scope) {
        None => Ok(requested),
        Some(token) => Err(Error::InvalidScope(Description::new(format!(
            "the client is not registered for the scope {}",
            shorten(token)
        )))),
    }
}

/// A caller learns which of its words was refused, but a long one is not sent back whole.
fn shorten(token: &str) -> &str {
    token.get(..64).unwrap_or(token)
}
