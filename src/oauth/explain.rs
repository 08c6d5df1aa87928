//! What a token for a client would say, and which rule decided each part of it: a dry run of [`super::issue`].
//!
//! It makes the decisions of a real request with the same functions and stops before anything is signed.

use std::time::Duration;

use super::{
    access_token::AccessTokenClaims,
    authorization_server::AuthorizationServer,
    client::Client,
    error::{ClientRefusal, Error},
    issue::Wish,
    resource::Audience,
    scope::Scope,
};
use crate::{clock::Timestamp, jose::SigningAlgorithm};

/// A dry run.
#[derive(Debug)]
pub struct Explanation {
    /// Every decision in the order of a request; the first refusal is what the caller would be told.
    pub decisions: Vec<Decision>,
    /// What would be issued, unless something was refused.
    pub token: Option<ExplainedToken>,
}

/// Why one part was decided as it was.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision {
    /// What was decided, by the name of the member or parameter.
    pub member: &'static str,
    /// The rule, as a sentence.
    pub rule: String,
    /// What a request would be refused with.
    pub refusal: Option<Error>,
}

/// What a token would say.
#[derive(Debug)]
pub struct ExplainedToken {
    /// `scope`
    pub scope: Scope,
    /// `aud`
    pub audiences: Vec<Audience>,
    /// How long it would be valid.
    pub lifetime: Duration,
    /// What it would be signed with.
    pub alg: SigningAlgorithm,
    /// The claims as they would be signed, without `jti`.
    pub claims_json: Vec<u8>,
}

impl AuthorizationServer {
    /// Explains what a request would lead to.
    ///
    /// # Errors
    /// [`Error::ServerError`] when the claims cannot be written.
    pub fn explain(&self, client: &Client, wish: &Wish<'_>) -> Result<Explanation, Error> {
        let made = self.decide(client, wish);
        let longest = client.access_token_lifetime.min(self.policy.max_lifetime);
        let decisions = vec![
            client_decision(client),
            decision("grant_type", &made.grant, |_| {
                "the client is registered for the grant (RFC 6749 section 4.4)".to_owned()
            }),
            decision("scope", &made.scope, |_| scope_rule(wish)),
            decision("audience", &made.audiences, |_| audience_rule(client, wish)),
            decision("access_token_lifetime", &made.lifetime, |granted| {
                lifetime_rule(wish.lifetime, *granted, longest)
            }),
            self.signing_decision(made.alg),
        ];
        if decisions.iter().any(|decision| decision.refusal.is_some()) {
            return Ok(Explanation { decisions, token: None });
        }
        let terms = made.terms()?;
        let issued_at = Timestamp::from_seconds(self.clock.now().seconds());
        let claims = AccessTokenClaims {
            issuer: self.issuer(),
            client,
            audiences: &terms.audiences,
            scope: &terms.scope,
            issued_at,
            expires_at: issued_at + terms.lifetime,
            token_id: None,
            confirmation: None,
        };
        let claims_json =
            serde_json::to_vec(&claims).map_err(|error| Error::ServerError(error.to_string()))?;
        let token = ExplainedToken {
            scope: terms.scope,
            audiences: terms.audiences,
            lifetime: terms.lifetime,
            alg: terms.alg,
            claims_json,
        };
        Ok(Explanation { decisions, token: Some(token) })
    }

    fn signing_decision(&self, alg: SigningAlgorithm) -> Decision {
        let (rule, refusal) = if self.can_sign(alg) {
            (format!("the client's tokens are signed with {alg}, for which there is a key"), None)
        } else {
            let text = format!("there is no signing key for {alg}");
            (text.clone(), Some(Error::ServerError(text)))
        };
        Decision { member: "access_token_signing_alg", rule, refusal }
    }
}

/// The first thing a request meets, before its parts are looked at (RFC 6749 §3.2.1).
fn client_decision(client: &Client) -> Decision {
    let (rule, refusal) = if !client.enabled {
        ("the client is disabled", true)
    } else if client.token_endpoint_auth_method == Some(super::client::TokenEndpointAuthMethod::None) {
        ("token_endpoint_auth_method \"none\" can prove nothing, so that the client gets nothing", true)
    } else {
        ("the client is enabled and can authenticate", false)
    };
    let refusal = refusal.then_some(Error::InvalidClient(ClientRefusal::WrongCredentials));
    Decision { member: "client", rule: rule.to_owned(), refusal }
}

fn decision<T>(member: &'static str, made: &Result<T, Error>, rule: impl FnOnce(&T) -> String) -> Decision {
    match made {
        Ok(granted) => Decision { member, rule: rule(granted), refusal: None },
        Err(error) => Decision { member, rule: error.description().to_owned(), refusal: Some(error.clone()) },
    }
}

fn scope_rule(wish: &Wish<'_>) -> String {
    match wish.scope {
        None => "no scope is asked for: everything the client is registered for (RFC 6749 section 3.3)",
        Some(_) => "everything asked for is in the client's scope (RFC 6749 section 3.3)",
    }
    .to_owned()
}

fn audience_rule(client: &Client, wish: &Wish<'_>) -> String {
    match (wish.resources.is_empty() && wish.audiences.is_empty(), client.audiences.is_empty()) {
        (false, _) => "everything asked for is among the client's audiences (RFC 8707 section 2)",
        (true, false) => "no audience is asked for: the first of the client's audiences",
        (true, true) => "no audience is asked for and the client has none: the issuer",
    }
    .to_owned()
}

fn lifetime_rule(wish: Option<Duration>, granted: Duration, longest: Duration) -> String {
    match wish {
        None => format!("no lifetime is asked for: the client's own, {}s", longest.as_secs()),
        Some(wish) if wish > granted => {
            format!("the wish is capped by the client's own, {}s", longest.as_secs())
        }
        Some(_) => format!("the wish is within the client's own, {}s", longest.as_secs()),
    }
}
