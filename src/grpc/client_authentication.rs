//! What a call presents to authenticate its client: a field of the message, `authorization` metadata, or the certificate of
//! the connection.

use super::{call::Call, pb::token as pb};
use crate::{
    oauth::{
        Error,
        client::{ClientAuthentication, PresentedCredentials, check_client_id},
        introspect::{Caller, Credentials, Inquirer},
    },
    secret::Secret,
};

/// The `client_authentication` of any message that has one.
pub(super) enum Presented {
    Secret(pb::ClientSecret),
    Assertion(pb::ClientAssertion),
}

macro_rules! presented_from {
    ($($message:ident),*) => {$(
        impl From<pb::$message::ClientAuthentication> for Presented {
            fn from(presented: pb::$message::ClientAuthentication) -> Self {
                match presented {
                    pb::$message::ClientAuthentication::ClientSecret(secret) => Self::Secret(secret),
                    pb::$message::ClientAuthentication::ClientAssertion(assertion) => Self::Assertion(assertion),
                }
            }
        }
    )*};
}

presented_from!(
    issue_request,
    introspect_request,
    batch_introspect_request,
    revoke_request,
    watch_revocations_request
);

/// Collects the credentials of a call and reads them; the claimed client goes into the log. `client_id` is that of the
/// message itself, beside the credentials, and `grant` the assertion of a grant that consists of one.
pub(super) fn read(
    call: &Call,
    presented: Option<impl Into<Presented>>,
    client_id: &str,
    grant: Option<&Secret<String>>,
) -> Result<ClientAuthentication, Error> {
    let authentication = ClientAuthentication::read(collect(call, presented, client_id, grant)?)?;
    call.record.set_client_id(authentication.client_id().as_str());
    Ok(authentication)
}

/// Collects the credentials of a call.
fn collect(
    call: &Call,
    presented: Option<impl Into<Presented>>,
    client_id: &str,
    grant: Option<&Secret<String>>,
) -> Result<PresentedCredentials, Error> {
    let mut credentials = PresentedCredentials {
        authorization: call.authorization.clone(),
        client_id: non_empty(client_id.to_owned()),
        certificate: call.sender.certificate.is_some(),
        grant_assertion: grant.cloned(),
        ..PresentedCredentials::default()
    };
    let id = match presented.map(Into::into) {
        None => String::new(),
        Some(Presented::Secret(message)) => {
            credentials.client_secret = non_empty(message.client_secret).map(Secret::new);
            message.client_id
        }
        Some(Presented::Assertion(message)) => {
            credentials.client_assertion = non_empty(message.client_assertion).map(Secret::new);
            credentials.client_assertion_type = non_empty(message.client_assertion_type);
            message.client_id
        }
    };
    if let Some(id) = non_empty(id) {
        check_client_id(credentials.client_id.as_deref(), &id)?;
        credentials.client_id = Some(id);
    }
    Ok(credentials)
}

/// The caller of an operation about tokens.
pub(super) fn caller(
    call: &Call,
    presented: Option<impl Into<Presented>>,
    client_id: &str,
) -> Result<Caller, Error> {
    Ok(Caller { authentication: read(call, presented, client_id, None)?, sender: call.sender.clone() })
}

/// Whoever asks about tokens: a client, or who has a token of one that gives the right.
pub(super) fn inquirer(
    call: &Call,
    presented: Option<impl Into<Presented>>,
    client_id: &str,
) -> Result<Inquirer, Error> {
    let credentials = Credentials::read(collect(call, presented, client_id, None)?)?;
    if let Credentials::Client(authentication) = &credentials {
        call.record.set_client_id(authentication.client_id().as_str());
    }
    Ok(Inquirer { credentials, sender: call.sender.clone() })
}

/// proto3 has no absent strings: an empty one counts as omitted, as an empty form parameter does (RFC 6749 §3.2).
pub(super) fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
