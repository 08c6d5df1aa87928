//! What a request presents to authenticate its client (RFC 6749 §2.3.1): headers and parameters, collected.

use axum::http::HeaderMap;

use super::{
    facts::{Facts, authorization},
    form::Form,
};
use crate::{
    oauth::{
        Error,
        client::{ClientAuthentication, PresentedCredentials},
        introspect::Caller,
    },
    secret::Secret,
};

/// Collects the credentials of a request and reads them; the claimed client goes into the log. `grant` is the assertion of
/// a grant that consists of one.
pub(super) fn read(
    headers: &HeaderMap,
    form: &mut Form,
    facts: &Facts,
    grant: Option<&Secret<String>>,
) -> Result<ClientAuthentication, Error> {
    let authentication = ClientAuthentication::read(presented(headers, form, facts, grant))?;
    facts.record.set_client_id(authentication.client_id().as_str());
    Ok(authentication)
}

/// Collects the credentials of a request.
pub(super) fn presented(
    headers: &HeaderMap,
    form: &mut Form,
    facts: &Facts,
    grant: Option<&Secret<String>>,
) -> PresentedCredentials {
    PresentedCredentials {
        authorization: authorization(headers),
        client_id: form.take("client_id"),
        client_secret: form.take_secret("client_secret"),
        client_assertion: form.take_secret("client_assertion"),
        client_assertion_type: form.take("client_assertion_type"),
        certificate: facts.has_certificate(),
        grant_assertion: grant.cloned(),
    }
}

/// The caller of an operation about tokens.
pub(super) fn caller(
    headers: &HeaderMap,
    form: &mut Form,
    facts: &Facts,
    path: &'static str,
) -> Result<Caller, Error> {
    Ok(Caller { authentication: read(headers, form, facts, None)?, sender: facts.sender(headers, path) })
}
