//! POST /introspect (RFC 7662 §2).

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};

use super::{
    Rest, client_authentication,
    error::{Challenge, Refusal, no_store},
    facts::Facts,
    form::Form,
};
use crate::oauth::introspect::{Introspection, Question};

pub(super) async fn introspect(
    State(rest): State<Rest>,
    facts: Facts,
    headers: HeaderMap,
    uri: Uri,
    body: Body,
) -> Response {
    facts.record.set_endpoint("introspect");
    match answer(&rest, &facts, &headers, &uri, body).await {
        Ok(introspection) => {
            no_store(([(header::CONTENT_TYPE, "application/json")], introspection.to_json()).into_response())
        }
        Err(refusal) => refusal.respond(Challenge::Client, &facts.record),
    }
}

async fn answer(
    rest: &Rest,
    facts: &Facts,
    headers: &HeaderMap,
    uri: &Uri,
    body: Body,
) -> Result<Introspection, Refusal> {
    let mut form = Form::read(headers, uri, body, rest.max_body_bytes).await?;
    let caller = client_authentication::caller(headers, &mut form, facts, "/introspect")?;
    let question = Question { token: form.take_secret("token"), ..Question::default() };
    Ok(rest.server.introspect(&caller, &question).await?)
}
