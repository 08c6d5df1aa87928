//! POST /token (RFC 6749 §3.2).

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};

use super::{
    Rest, client_authentication,
    error::{Challenge, Refusal, add_dpop_nonce, no_store},
    facts::Facts,
    form::Form,
};
use crate::oauth::{
    grant::GrantType,
    issue::{TokenRequest, TokenResponse},
    scope::RequestedScope,
};

const PATH: &str = "/token";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) async fn token(State(rest): State<Rest>, facts: Facts, request: Request) -> Response {
    let (Parts { headers, uri, .. }, body) = request.into_parts();
    facts.record.set_endpoint("token");
    match issue(&rest, &facts, &headers, &uri, body).await {
        Ok(response) => {
            facts.record.add_issued(response.alg.as_str());
            let mut response = no_store(([(header::CONTENT_TYPE, JSON)], response.to_json()).into_response());
            let nonce = rest.server.next_dpop_nonce(&facts.sender(&headers, PATH));
            add_dpop_nonce(&mut response, nonce.as_ref());
            response
        }
        Err(refusal) => refusal.respond(Challenge::token_endpoint(&headers), &facts.record),
    }
}

async fn issue(
    rest: &Rest,
    facts: &Facts,
    headers: &HeaderMap,
    uri: &Uri,
    body: Body,
) -> Result<TokenResponse, Refusal> {
    let mut form = Form::read(headers, uri, body, rest.max_body_bytes).await?;
    let grant_type = form.take("grant_type");
    let grant = grant_type.as_deref().and_then(GrantType::parse);
    if let Some(grant) = grant {
        facts.record.set_grant(grant.as_str());
    }
    let assertion = form.take_secret("assertion").filter(|_| grant == Some(GrantType::JwtBearer));
    let request = TokenRequest {
        authentication: client_authentication::read(headers, &mut form, facts, assertion.as_ref())?,
        sender: facts.sender(headers, PATH),
        grant_type,
        assertion,
        scope: form.take("scope").map(RequestedScope::Text),
        resources: form.take_all("resource"),
        audiences: form.take_all("audience"),
        lifetime: None,
    };
    Ok(rest.server.issue(&request).await?)
}
