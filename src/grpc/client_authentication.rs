//! What a call presents to authenticate its client: a field of the message or `authorization` metadata.

use super::{call::Call, pb::token as pb};
use crate::{
    oauth::{
        Error,
        client::{ClientAuthentication, PresentedCredentials},
        introspect::Caller,
    },
    secret::Secret,
};

/// Collects the credentials of a call and reads them; the claimed client goes into the log.
pub(super) fn read(
    call: &Call,
    client_secret: Option<pb::ClientSecret>,
    client_assertion: bool,
    client_id: &str,
) -> Result<ClientAuthentication, Error> {
    let (mut secret, mut id) = (None, client_id.to_owned());
    if let Some(message) = client_secret {
        if !client_id.is_empty() && client_id != message.client_id {
            return Err(Error::invalid_request("client_id is not the one that authenticates"));
        }
        id = message.client_id;
        secret = Some(message.client_secret);
    }
    let authentication = ClientAuthentication::read(PresentedCredentials {
        authorization: call.authorization.clone(),
        client_id: non_empty(id),
        client_secret: secret.and_then(non_empty).map(Secret::new),
        client_assertion,
    })?;
    call.record.set_client_id(authentication.client_id().as_str());
    Ok(authentication)
}

/// The caller of an operation about tokens.
pub(super) fn caller(call: &Call, client_secret: Option<pb::ClientSecret>) -> Result<Caller, Error> {
    Ok(Caller { authentication: read(call, client_secret, false, "")?, source: call.source })
}

/// proto3 has no absent strings: an empty one counts as omitted, as an empty form parameter does (RFC 6749 §3.2).
pub(super) fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
