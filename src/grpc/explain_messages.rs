//! The messages of `ExplainToken`, done by [`AuthorizationServer::explain`] for a client that [`ClientAdmin`] finds.

use std::sync::Arc;

use super::{client_authentication::non_empty, json::to_struct, pb::admin as pb, time};
use crate::{
    admin::{AdminError, ClientAdmin},
    oauth::{
        AuthorizationServer,
        explain::{Decision, Explanation},
        grant::GrantType,
        issue::Wish,
        scope::RequestedScope,
    },
};

/// The method as a function of its message.
#[derive(Clone, Debug)]
pub struct ExplainMessages {
    /// Finds clients, the disabled ones too.
    pub clients: Arc<ClientAdmin>,
    /// Decides.
    pub server: Arc<AuthorizationServer>,
}

impl ExplainMessages {
    /// As the contract says.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn explain(
        &self,
        message: pb::ExplainTokenRequest,
    ) -> Result<pb::ExplainTokenResponse, AdminError> {
        let client = self.clients.find(&message.client_id).await?;
        let scope = (!message.scopes.is_empty()).then_some(RequestedScope::Tokens(message.scopes));
        let grant_type = non_empty(message.grant_type);
        let wish = Wish {
            grant_type: grant_type.as_deref().unwrap_or(GrantType::ClientCredentials.as_str()),
            scope: scope.as_ref(),
            resources: &message.resources,
            audiences: &message.audiences,
            lifetime: message.lifetime.map(time::wish),
        };
        let explained = self.server.explain(&client, &wish);
        explained
            .map(to_pb)
            .map_err(|error| AdminError::Internal(error.log_detail().unwrap_or_default().into_owned()))
    }
}

fn to_pb(explanation: Explanation) -> pb::ExplainTokenResponse {
    let decisions = explanation.decisions.into_iter().map(to_pb_decision).collect();
    let Some(token) = explanation.token else {
        return pb::ExplainTokenResponse { decisions, ..Default::default() };
    };
    pb::ExplainTokenResponse {
        granted: true,
        decisions,
        scopes: token.scope.tokens().map(str::to_owned).collect(),
        audiences: token.audiences.iter().map(ToString::to_string).collect(),
        lifetime: Some(time::to_pb_duration(token.lifetime)),
        access_token_signing_alg: token.alg.as_str().to_owned(),
        claims: to_struct(&token.claims_json),
        claims_json: token.claims_json,
    }
}

fn to_pb_decision(decision: Decision) -> pb::Decision {
    pb::Decision {
        member: decision.member.to_owned(),
        refused: decision.refusal.is_some(),
        oauth_error: decision.refusal.map(|error| error.code().to_owned()).unwrap_or_default(),
        rule: decision.rule,
    }
}
