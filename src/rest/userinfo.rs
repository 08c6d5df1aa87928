//! GET and POST /userinfo (OpenID Connect Core 1.0 §5.3.1, RFC 6750 §2).

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, Method, Uri},
    response::{IntoResponse, Response},
};

use super::{
    Rest,
    error::{Refusal, add_dpop_nonce, no_store},
    facts::{Facts, authorization},
    form::{Form, is_form, refuse_query},
};
use crate::oauth::userinfo::{UserInfo, presented_token};

const PATH: &str = "/userinfo";

pub(super) async fn userinfo(
    State(rest): State<Rest>,
    facts: Facts,
    method: Method,
    headers: HeaderMap,
    uri: Uri,
    body: Body,
) -> Response {
    facts.record.set_endpoint("userinfo");
    match answer(&rest, &facts, &method, &headers, &uri, body).await {
        Ok(info) => {
            facts.record.set_client_id(info.client_id.as_str());
            let mut response = no_store(Json(info).into_response());
            let nonce = rest.server.next_dpop_nonce(&facts.sender(&headers, PATH));
            add_dpop_nonce(&mut response, nonce.as_ref());
            response
        }
        Err(refusal) => refusal.respond(facts.challenge(), &facts.record),
    }
}

async fn answer(
    rest: &Rest,
    facts: &Facts,
    method: &Method,
    headers: &HeaderMap,
    uri: &Uri,
    body: Body,
) -> Result<UserInfo, Refusal> {
    refuse_query(uri)?;
    // RFC 6750 §2.2: the parameter exists only in a form, and only with a method that has a body.
    let parameter = if *method == Method::POST && is_form(headers) {
        Form::read(headers, uri, body, rest.max_body_bytes).await?.take_secret("access_token")
    } else {
        None
    };
    let token = presented_token(&authorization(headers), parameter)?;
    Ok(rest.server.userinfo(token.as_ref(), &facts.sender(headers, PATH)).await?)
}
