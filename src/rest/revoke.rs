//! POST /revoke (RFC 7009 §2).

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};

use super::{
    Rest, client_authentication,
    error::{Challenge, Refusal, no_store},
    facts::Facts,
    form::Form,
};
use crate::oauth::revoke::Revocation;

pub(super) async fn revoke(
    State(rest): State<Rest>,
    facts: Facts,
    headers: HeaderMap,
    uri: Uri,
    body: Body,
) -> Response {
    facts.record.set_endpoint("revoke");
    match answer(&rest, &facts, &headers, &uri, body).await {
        // RFC 7009 §2.2: the status says it all, and the same for either.
        Ok(Revocation::Kept | Revocation::Needless) => no_store(StatusCode::OK.into_response()),
        Err(refusal) => refusal.respond(Challenge::Client, &facts.record),
    }
}

async fn answer(
    rest: &Rest,
    facts: &Facts,
    headers: &HeaderMap,
    uri: &Uri,
    body: Body,
) -> Result<Revocation, Refusal> {
    let mut form = Form::read(headers, uri, body, rest.max_body_bytes).await?;
    let caller = client_authentication::caller(headers, &mut form, facts, "/revoke")?;
    Ok(rest.server.revoke(&caller, form.take_secret("token").as_ref()).await?)
}
