//! The client credentials grant (RFC 6749 §4.4): the client asks in its own name, within its own registration.

use crate::oauth::{
    client::{Client, Profile},
    error::{Description, Error},
    scope::{RequestedScope, Scope},
    smart_scope,
};

/// The scope to grant: what was asked for, all of which the client must be registered for; or, when nothing was asked
/// for, everything it is registered for (RFC 6749 §3.3, the documented default). To a client of profile "smart" scopes for
/// FHIR resources are rights of which it may ask for a part.
///
/// # Errors
/// [`Error::InvalidScope`].
pub fn grant_scope(client: &Client, requested: Option<&RequestedScope>) -> Result<Scope, Error> {
    let Some(requested) = requested else { return Ok(client.scope.clone()) };
    let requested =
        requested.read().map_err(|error| Error::InvalidScope(Description::new(error.to_string())))?;
    let outside = match client.proof.profile {
        Profile::Smart => smart_scope::first_outside(&requested, &client.scope),
        Profile::Strict | Profile::Compat | Profile::Fapi2 => requested.first_outside(&client.scope),
    };
    match outside {
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
