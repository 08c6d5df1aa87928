//! POST /introspect (RFC 7662 §2), answered as JSON or as a JWT (RFC 9701 §4).

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};

use super::{
    Rest, client_authentication,
    error::{Refusal, add_dpop_nonce, no_store},
    facts::Facts,
    form::Form,
    negotiation,
};
use crate::oauth::{
    introspect::{Credentials, Inquirer, Question},
    signed_introspection::MEDIA_TYPE,
};

const PATH: &str = "/introspect";

pub(super) async fn introspect(State(rest): State<Rest>, facts: Facts, request: Request) -> Response {
    let (Parts { headers, uri, .. }, body) = request.into_parts();
    facts.record.set_endpoint("introspect");
    match answer(&rest, &facts, &headers, &uri, body).await {
        Ok((media_type, answer)) => {
            let media_type = HeaderValue::from_static(media_type);
            let mut response = no_store(([(header::CONTENT_TYPE, media_type)], answer).into_response());
            let nonce = rest.server.next_dpop_nonce(&facts.sender(&headers, PATH));
            add_dpop_nonce(&mut response, nonce.as_ref());
            response
        }
        Err(refusal) => refusal.respond(facts.challenge_about_tokens(), &facts.record),
    }
}

/// The answer in the form that is wanted. Refusals are JSON whatever is wanted.
async fn answer(
    rest: &Rest,
    facts: &Facts,
    headers: &HeaderMap,
    uri: &Uri,
    body: Body,
) -> Result<(&'static str, Vec<u8>), Refusal> {
    let mut form = Form::read(headers, uri, body, rest.max_body_bytes).await?;
    let credentials = Credentials::read(client_authentication::presented(headers, &mut form, facts, None))?;
    if let Credentials::Client(authentication) = &credentials {
        facts.record.set_client_id(authentication.client_id().as_str());
    }
    let inquirer = Inquirer { credentials, sender: facts.sender(headers, PATH) };
    let question = Question { token: form.take_secret("token"), ..Question::default() };
    let (client_id, media_type, body) = if negotiation::prefers(headers, MEDIA_TYPE) {
        // Boxed, so that plain answers do not take the memory of this.
        let answered = Box::pin(rest.server.introspect_signed(&inquirer, &question)).await?;
        (answered.client_id, MEDIA_TYPE, answered.answer.into_bytes())
    } else {
        let answered = rest.server.introspect(&inquirer, &question).await?;
        (answered.client_id, "application/json", answered.answer.to_json())
    };
    facts.record.set_client_id(client_id.as_str());
    Ok((media_type, body))
}
