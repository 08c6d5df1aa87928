//! `mintage.token.v1.TokenService`: each method converts, calls the core and converts back.

use std::{mem::take, sync::Arc, time::Duration};

use tonic::{Request, Response, Status};

use super::{
    call::Call,
    client_authentication::{self, non_empty},
    error::add_dpop_nonce,
    json::to_struct,
    pb::token as pb,
    time::{to_pb_duration, to_pb_timestamp, wish},
};
use crate::{
    oauth::{
        AuthorizationServer, Error,
        grant::GrantType,
        introspect::{Introspection, Question},
        issue::{ACCESS_TOKEN_TYPE_URI, TokenRequest, TokenResponse},
        scope::{RequestedScope, Scope},
        userinfo::{UserInfo, presented_token},
    },
    secret::Secret,
};

/// The service, over the core.
#[derive(Debug)]
pub(super) struct TokenService {
    server: Arc<AuthorizationServer>,
}

impl TokenService {
    pub(super) fn new(server: Arc<AuthorizationServer>) -> Self {
        Self { server }
    }
}

#[tonic::async_trait]
impl pb::token_service_server::TokenService for TokenService {
    async fn issue(&self, request: Request<pb::IssueRequest>) -> Result<Response<pb::IssueResponse>, Status> {
        let (mut call, mut message) = Call::begin(pb::token_service_server::SERVICE_NAME, "Issue", request);
        // As a header field would be: with metadata beside it there are two (RFC 9449 §4.3).
        call.sender.dpop_proofs.extend(non_empty(take(&mut message.dpop_proof)).map(Secret::new));
        let result = match token_request(&call, message) {
            Ok(request) => self.server.issue(&request).await,
            Err(error) => Err(error),
        };
        let result = result.map(|response| {
            call.record.add_issued(response.alg.as_str());
            issue_response(&response)
        });
        self.finish(&call, result)
    }

    async fn introspect(
        &self,
        request: Request<pb::IntrospectRequest>,
    ) -> Result<Response<pb::IntrospectResponse>, Status> {
        let (call, message) = Call::begin(pb::token_service_server::SERVICE_NAME, "Introspect", request);
        let result = self.introspect_token(&call, message).await;
        self.finish(&call, result)
    }

    async fn batch_introspect(
        &self,
        request: Request<pb::BatchIntrospectRequest>,
    ) -> Result<Response<pb::BatchIntrospectResponse>, Status> {
        let (call, message) = Call::begin(pb::token_service_server::SERVICE_NAME, "BatchIntrospect", request);
        let result = self.introspect_tokens(&call, message).await;
        self.finish(&call, result)
    }

    async fn revoke(
        &self,
        request: Request<pb::RevokeRequest>,
    ) -> Result<Response<pb::RevokeResponse>, Status> {
        let (call, message) = Call::begin(pb::token_service_server::SERVICE_NAME, "Revoke", request);
        call.finish(self.revoke_token(&call, message).await)
    }

    async fn user_info(
        &self,
        request: Request<pb::UserInfoRequest>,
    ) -> Result<Response<pb::UserInfoResponse>, Status> {
        let (call, message) = Call::begin(pb::token_service_server::SERVICE_NAME, "UserInfo", request);
        let result = self.tell_claims(&call, message).await;
        self.finish(&call, result)
    }
}

impl TokenService {
    /// Answers a call that may have come with a DPoP proof.
    fn finish<T>(&self, call: &Call, result: Result<T, Error>) -> Result<Response<T>, Status> {
        let mut response = call.finish(result)?;
        add_dpop_nonce(response.metadata_mut(), self.server.next_dpop_nonce(&call.sender).as_ref());
        Ok(response)
    }

    async fn introspect_token(
        &self,
        call: &Call,
        message: pb::IntrospectRequest,
    ) -> Result<pb::IntrospectResponse, Error> {
        let (presented, client_id) = (message.client_authentication.clone(), message.client_id.clone());
        let (question, view) = question(message);
        let inquirer = client_authentication::inquirer(call, presented, &client_id)?;
        let answered = self.server.introspect(&inquirer, &question).await?;
        call.record.set_client_id(answered.client_id.as_str());
        Ok(introspect_response(answered.answer, view))
    }

    async fn introspect_tokens(
        &self,
        call: &Call,
        message: pb::BatchIntrospectRequest,
    ) -> Result<pb::BatchIntrospectResponse, Error> {
        let inquirer =
            client_authentication::inquirer(call, message.client_authentication, &message.client_id)?;
        let (mut questions, mut views) = (Vec::new(), Vec::new());
        for item in message.requests {
            if item.client_authentication.is_some() || !item.client_id.is_empty() {
                return Err(Error::invalid_request(
                    "client_authentication belongs to the batch, not to its items",
                ));
            }
            let (question, view) = question(item);
            questions.push(question);
            views.push(view);
        }
        let answered = self.server.introspect_batch(&inquirer, &questions).await?;
        call.record.set_client_id(answered.client_id.as_str());
        let responses = answered
            .answer
            .into_iter()
            .zip(views)
            .map(|(answer, view)| introspect_response(answer, view))
            .collect();
        Ok(pb::BatchIntrospectResponse { responses })
    }

    async fn revoke_token(
        &self,
        call: &Call,
        message: pb::RevokeRequest,
    ) -> Result<pb::RevokeResponse, Error> {
        let caller = client_authentication::caller(call, message.client_authentication, &message.client_id)?;
        self.server.revoke(&caller, non_empty(message.token).map(Secret::new).as_ref()).await?;
        Ok(pb::RevokeResponse {})
    }

    async fn tell_claims(
        &self,
        call: &Call,
        message: pb::UserInfoRequest,
    ) -> Result<pb::UserInfoResponse, Error> {
        let token = presented_token(&call.authorization, non_empty(message.access_token).map(Secret::new))?;
        let info = self.server.userinfo(token.as_ref(), &call.sender).await?;
        call.record.set_client_id(info.client_id.as_str());
        user_info_response(info)
    }
}

/// What a message asks for.
fn token_request(call: &Call, message: pb::IssueRequest) -> Result<TokenRequest, Error> {
    use pb::issue_request::Grant;

    // A grant this version lacks is named to the core, which refuses it: it must never turn into another one (V-36).
    let (grant_type, assertion) = match message.grant {
        None | Some(Grant::ClientCredentials(_)) => (GrantType::ClientCredentials.as_str(), None),
        Some(Grant::TokenExchange(_)) => ("urn:ietf:params:oauth:grant-type:token-exchange", None),
        Some(Grant::JwtBearer(grant)) => {
            (GrantType::JwtBearer.as_str(), non_empty(grant.assertion).map(Secret::new))
        }
    };
    if let Some(grant) = GrantType::parse(grant_type) {
        call.record.set_grant(grant.as_str());
    }
    Ok(TokenRequest {
        authentication: client_authentication::read(
            call,
            message.client_authentication,
            &message.client_id,
            assertion.as_ref(),
        )?,
        sender: call.sender.clone(),
        grant_type: Some(grant_type.to_owned()),
        assertion,
        scope: (!message.scopes.is_empty()).then_some(RequestedScope::Tokens(message.scopes)),
        resources: message.resources.into_iter().filter_map(non_empty).collect(),
        audiences: message.audiences.into_iter().filter_map(non_empty).collect(),
        lifetime: message.lifetime.map(wish),
    })
}

fn issue_response(response: &TokenResponse) -> pb::IssueResponse {
    pb::IssueResponse {
        access_token: response.access_token.expose().clone(),
        token_type: response.token_type.to_owned(),
        issued_token_type: ACCESS_TOKEN_TYPE_URI.to_owned(),
        expires_in: Some(to_pb_duration(Duration::from_secs(response.expires_in))),
        expire_time: Some(to_pb_timestamp(response.expires_at)),
        refresh_time: Some(to_pb_timestamp(response.refresh_at)),
        scopes: to_list(&response.scope),
        token_id: response.token_id.clone(),
        audiences: response.audiences.iter().map(ToString::to_string).collect(),
    }
}

fn question(message: pb::IntrospectRequest) -> (Question, pb::IntrospectView) {
    let view = message.view();
    let question = Question {
        token: non_empty(message.token).map(Secret::new),
        expected_audience: non_empty(message.expected_audience),
        required_scopes: message.required_scopes,
    };
    (question, view)
}

fn introspect_response(introspection: Introspection, view: pb::IntrospectView) -> pb::IntrospectResponse {
    let Introspection::Active(active) = introspection else { return pb::IntrospectResponse::default() };
    let active_only = pb::IntrospectResponse {
        active: true,
        cache_ttl: Some(to_pb_duration(active.cache_ttl)),
        ..Default::default()
    };
    if view == pb::IntrospectView::ActiveOnly {
        return active_only;
    }
    let token = active.token;
    let full = matches!(view, pb::IntrospectView::Full | pb::IntrospectView::Unspecified);
    pb::IntrospectResponse {
        subject: token.subject,
        client_id: token.client_id.to_string(),
        authorized_party: token.authorized_party,
        issuer: token.issuer,
        audiences: token.audiences,
        scopes: to_list(&token.scope),
        token_type: active.token_type.to_owned(),
        token_id: token.token_id,
        expire_time: Some(to_pb_timestamp(token.expires_at)),
        issue_time: Some(to_pb_timestamp(token.issued_at)),
        not_before_time: Some(to_pb_timestamp(token.not_before)),
        confirmation: token.confirmation.map(|confirmation| pb::Confirmation {
            x5t_s256: confirmation.x5t_s256.unwrap_or_default(),
            jkt: confirmation.jkt.unwrap_or_default(),
        }),
        actor: None,
        claims: if full { to_struct(&token.claims_json) } else { None },
        claims_json: if full { token.claims_json } else { Vec::new() },
        ..active_only
    }
}

fn user_info_response(info: UserInfo) -> Result<pb::UserInfoResponse, Error> {
    let claims_json = serde_json::to_vec(&info).map_err(|error| Error::ServerError(error.to_string()))?;
    Ok(pb::UserInfoResponse {
        name: info.string("name").unwrap_or_default(),
        email: info.string("email").unwrap_or_default(),
        fhir_user: info.string("fhirUser").unwrap_or_default(),
        subject: info.subject,
        claims: to_struct(&claims_json),
        claims_json,
    })
}

fn to_list(scope: &Scope) -> Vec<String> {
    scope.tokens().map(str::to_owned).collect()
}
