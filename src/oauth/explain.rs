//! What a token for a client would say, and which rule decided each part of it: a dry run of [`super::issue`].
//!
//! It makes the decisions of a real request with the same functions and stops before anything is signed.

use std::time::Duration;

use super::{
    access_token::AccessTokenClaims,
    authorization_server::AuthorizationServer,
    client::{Client, Profile, TokenEndpointAuthMethod},
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
        let (longest, cap) = self.lifetime_cap(client);
        let decisions = vec![
            self.client_decision(client),
            Decision { member: "profile", rule: profile_rule(client.proof.profile), refusal: None },
            decision("grant_type", &made.grant, |_| {
                "the client is registered for the grant (RFC 6749 section 4.4)".to_owned()
            }),
            decision("scope", &made.scope, |_| scope_rule(wish)),
            decision("audience", &made.audiences, |_| audience_rule(client, wish)),
            decision("access_token_lifetime", &made.lifetime, |granted| {
                lifetime_rule(wish.lifetime, *granted, &format!("{cap}, {}s", longest.as_secs()))
            }),
            Decision { member: "cnf", rule: binding_rule(client), refusal: None },
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

    /// The longest lifetime that a client's tokens can have, and the rule that it follows from.
    fn lifetime_cap(&self, client: &Client) -> (Duration, String) {
        let (own, all) = (client.access_token_lifetime, self.policy.max_lifetime);
        let profile = client.proof.profile;
        if all < own {
            (all, "tokens.max_lifetime".to_owned())
        } else if profile.longest_token() == Some(own) {
            (own, format!("the longest of profile {:?}", profile.as_str()))
        } else {
            (own, "the client's own".to_owned())
        }
    }

    /// The first thing a request meets, before its parts are looked at (RFC 6749 §3.2.1).
    fn client_decision(&self, client: &Client) -> Decision {
        let checked = if client.enabled {
            self.means_of_proof(client)
        } else {
            Err("the client is disabled".to_owned())
        };
        let (rule, refusal) = match checked {
            Ok(means) => (format!("the client is enabled and can authenticate: {means}"), None),
            Err(obstacle) => (obstacle, Some(Error::InvalidClient(ClientRefusal::WrongCredentials))),
        };
        Decision { member: "client", rule, refusal }
    }

    /// How the client proves who it is, or why it cannot.
    fn means_of_proof(&self, client: &Client) -> Result<String, String> {
        use TokenEndpointAuthMethod as Method;

        let has_secret = client.usable_secrets(self.clock.now()).next().is_some();
        let method = match client.token_endpoint_auth_method {
            Some(Method::None) => {
                return Err(
                    "token_endpoint_auth_method \"none\" can prove nothing, so that the client gets nothing"
                        .to_owned(),
                );
            }
            Some(method) if !self.metadata().methods().contains(&method.as_str()) => {
                return Err(format!(
                    "this server does not offer token_endpoint_auth_method {:?}: its settings lack what the method needs",
                    method.as_str()
                ));
            }
            Some(method) if !method.uses_secret() => return Ok(method.as_str().to_owned()),
            Some(method) => method.as_str(),
            None => "client_secret_basic or client_secret_post",
        };
        match (has_secret, client.proof.federated.is_empty()) {
            (true, true) => Ok(method.to_owned()),
            (true, false) => Ok(format!("{method}, or a token of a trusted issuer")),
            (false, false) => Ok("a token of a trusted issuer".to_owned()),
            (false, true) => {
                Err(format!("{method} needs a secret, and the client has none that is valid now"))
            }
        }
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

fn profile_rule(profile: Profile) -> String {
    let rule = match profile {
        Profile::Strict => {
            "an assertion names the issuer alone as its audience, lives 300s at most and is used once"
        }
        Profile::Compat => {
            "an assertion names the issuer, the token endpoint or the URL that is called, lives 3600s at most and is used once"
        }
        Profile::Smart => {
            "an assertion names the token endpoint or the issuer, lives 300s at most and is used once (SMART App Launch 2.2)"
        }
        Profile::Fapi2 => {
            "an assertion names the issuer as one text, lives 300s at most and is used once (FAPI 2.0 Security Profile)"
        }
    };
    format!("profile {:?}: {rule}", profile.as_str())
}

/// What the `cnf` claim has to hold. It depends on the request, which a dry run does not have.
fn binding_rule(client: &Client) -> String {
    let proof = &client.proof;
    match (proof.certificate_bound_access_tokens, proof.dpop_bound_access_tokens) {
        (true, true) => "the token is bound to the client certificate and to the key of a DPoP proof, both of which the request \
                         must have (RFC 8705 section 3.4, RFC 9449 section 5.2): x5t#S256 and jkt",
        (true, false) => "the token is bound to the client certificate, which the request must have (RFC 8705 section 3.4): \
                          x5t#S256",
        (false, true) => "the token is bound to the key of a DPoP proof, which the request must have (RFC 9449 section 5.2): \
                          jkt",
        (false, false) if proof.profile.binds_tokens() => {
            "the profile binds every token, to the key of a DPoP proof or else to the client certificate: jkt or x5t#S256"
        }
        (false, false) => "no binding is demanded; a DPoP proof in the request would bind the token to its key (RFC 9449 \
                           section 5)",
    }
    .to_owned()
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

fn lifetime_rule(wish: Option<Duration>, granted: Duration, cap: &str) -> String {
    match wish {
        None => format!("no lifetime is asked for: {cap}"),
        Some(wish) if wish > granted => format!("the wish is capped by {cap}"),
        Some(_) => format!("the wish is within {cap}"),
    }
}
