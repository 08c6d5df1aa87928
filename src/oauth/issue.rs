//! Issuing access tokens: the token endpoint (RFC 6749 §3.2, §4.4, §5.1).
//!
//! Nothing is written anywhere when a token is issued: the signature is the record.

use std::time::Duration;

use super::{
    access_token::AccessTokenClaims,
    authorization_server::AuthorizationServer,
    client::{AuthenticatedClient, Client, ClientAuthentication},
    confirmation::Confirmation,
    error::{Description, Error},
    grant::{GrantType, client_credentials},
    resource::{self, Audience},
    scope::{RequestedScope, Scope},
    sender::Sender,
};
use crate::{
    clock::Timestamp,
    jose::{SigningAlgorithm, base64url, jws},
    random,
    secret::Secret,
};

/// The token types of RFC 8693 §3 that this server issues.
pub const ACCESS_TOKEN_TYPE_URI: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A request for an access token. `None` and empty lists mean that a parameter was not sent.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// Who claims to ask.
    pub authentication: ClientAuthentication,
    /// Who sent the request.
    pub sender: Sender,
    /// `grant_type`
    pub grant_type: Option<String>,
    /// `assertion`, the grant of RFC 7523 §2.1
    pub assertion: Option<Secret<String>>,
    /// `scope`
    pub scope: Option<RequestedScope>,
    /// `resource` (RFC 8707 §2)
    pub resources: Vec<String>,
    /// `audience`
    pub audiences: Vec<String>,
    /// A wish for the lifetime; at least a second, and capped by the client's own.
    pub lifetime: Option<Duration>,
}

/// A successful response (RFC 6749 §5.1).
#[derive(Clone, Debug)]
pub struct TokenResponse {
    /// `access_token`
    pub access_token: Secret<String>,
    /// `token_type` (RFC 6749 §7.1)
    pub token_type: &'static str,
    /// `expires_in`, in seconds
    pub expires_in: u64,
    /// `scope`: what was granted; left out when that is nothing
    pub scope: Scope,
    /// `jti` of the token
    pub token_id: String,
    /// `aud` of the token
    pub audiences: Vec<Audience>,
    /// `exp` of the token
    pub expires_at: Timestamp,
    /// When a caller that keeps tokens should ask for the next one.
    pub refresh_at: Timestamp,
    /// What the token is signed with.
    pub alg: SigningAlgorithm,
}

impl TokenResponse {
    /// The JSON response: exactly the members of RFC 6749 §5.1. The token is exposed here, in the response it was made for.
    pub fn to_json(&self) -> String {
        let Self { access_token, token_type, expires_in, scope, .. } = self;
        let (token, scope) = (access_token.expose(), scope.as_str());
        let mut json = String::with_capacity(token.len() + scope.len() + 96);
        // None of the texts has a character that JSON escapes: base64url, a word of ours, scope-tokens (RFC 6749 §3.3).
        json.extend([r#"{"access_token":""#, token, r#"","token_type":""#, token_type, r#"","expires_in":"#]);
        json.push_str(&expires_in.to_string());
        if !scope.is_empty() {
            json.extend([r#","scope":""#, scope, "\""]);
        }
        json.push('}');
        json
    }
}

impl AuthorizationServer {
    /// Issues an access token.
    ///
    /// # Errors
    /// Those of client authentication, then [`Error::InvalidGrant`], [`Error::UnsupportedGrantType`], [`Error::UnauthorizedClient`],
    /// [`Error::InvalidScope`], [`Error::InvalidTarget`], [`Error::InvalidRequest`]; [`Error::Busy`] and [`Error::RateLimited`] when
    /// more is to be signed than can be.
    pub async fn issue(&self, request: &TokenRequest) -> Result<TokenResponse, Error> {
        let grant_type =
            request.grant_type.as_deref().ok_or_else(|| Error::invalid_request("grant_type is missing"))?;

        // 1. Authenticate (RFC 6749 §3.2.1).
        let now = self.clock.now();
        let client = self.authenticate(&request.authentication, &request.sender, now).await?;

        // 2. Authorise: the grant, the scope, the audience. 3. Decide the lifetime.
        let wish = Wish {
            grant_type,
            scope: request.scope.as_ref(),
            resources: &request.resources,
            audiences: &request.audiences,
            lifetime: request.lifetime,
        };
        let Terms { grant, scope, audiences, lifetime, alg } = self.decide(&client, &wish).terms()?;
        self.check_grant(grant, &client, request.assertion.as_ref(), now).await?;

        // 4. Bind (RFC 8705 §3, RFC 9449 §5).
        let confirmation = self.bind(&client, &request.sender, now).await?;
        let token_id = base64url(random::bytes::<16>(&*self.random)?);
        let issued_at = Timestamp::from_seconds(now.seconds());
        let expires_at = issued_at + lifetime;

        // 5. Sign (RFC 9068 §2).
        let claims = AccessTokenClaims {
            issuer: self.issuer(),
            client: &client,
            audiences: &audiences,
            scope: &scope,
            issued_at,
            expires_at,
            token_id: Some(&token_id),
            confirmation: confirmation.as_ref(),
        };
        let access_token = self.sign(alg, &claims).await?;

        // 6. Answer (RFC 6749 §5.1).
        Ok(TokenResponse {
            access_token: Secret::new(access_token),
            token_type: Confirmation::token_type(confirmation.as_ref()),
            expires_in: lifetime.as_secs(),
            scope,
            token_id,
            audiences,
            expires_at,
            refresh_at: issued_at + Duration::from_secs(lifetime.as_secs() * 4 / 5),
            alg,
        })
    }

    /// Verifies what a grant consists of beside the client that presents it. The subject of an assertion must be one that may
    /// act as the client; the token is then the client's own, as with client_credentials.
    async fn check_grant(
        &self,
        grant: GrantType,
        client: &AuthenticatedClient,
        assertion: Option<&Secret<String>>,
        now: Timestamp,
    ) -> Result<(), Error> {
        match grant {
            GrantType::ClientCredentials => Ok(()),
            GrantType::JwtBearer if client.proved_by_grant() => Ok(()),
            GrantType::JwtBearer => {
                let assertion = assertion.ok_or_else(|| Error::invalid_request("assertion is missing"))?;
                // Boxed, so that requests with another grant do not take the memory of this.
                Box::pin(self.authenticator.accept_grant(client, assertion, now)).await
            }
        }
    }

    /// Decides every part of a token request. The parts do not depend on each other, so that all can be explained.
    pub(super) fn decide(&self, client: &Client, wish: &Wish<'_>) -> Decisions {
        Decisions {
            grant: self.authorise_grant(client, wish.grant_type),
            // Every grant gives a client what it is registered for.
            scope: client_credentials::grant_scope(client, wish.scope),
            audiences: resource::choose(client, self.issuer(), wish.resources, wish.audiences),
            lifetime: self.lifetime(client, wish.lifetime),
            alg: client.access_token_signing_alg,
        }
    }

    /// A wish is granted up to the lifetime the client is registered for.
    fn lifetime(&self, client: &Client, wish: Option<Duration>) -> Result<Duration, Error> {
        let longest = client.access_token_lifetime.min(self.policy.max_lifetime);
        match wish {
            None => Ok(longest),
            Some(wish) if wish.as_secs() == 0 => {
                Err(Error::invalid_request("lifetime must be at least one second"))
            }
            Some(wish) => Ok(Duration::from_secs(wish.as_secs()).min(longest)),
        }
    }

    /// RFC 6749 §5.2: a grant nobody can use is unsupported, one this client may not use is unauthorized.
    fn authorise_grant(&self, client: &Client, grant_type: &str) -> Result<GrantType, Error> {
        let offered = GrantType::parse(grant_type).filter(|grant| self.grants.contains(grant));
        let grant = offered.ok_or_else(|| {
            let names: Vec<_> = self.grants.iter().map(|grant| grant.as_str()).collect();
            let text = format!("this server supports grant_type={} only", names.join(" and "));
            Error::UnsupportedGrantType(Description::new(text))
        })?;
        if !client.grant_types.contains(&grant) {
            return Err(Error::UnauthorizedClient(Description::new(
                "the client is not registered for this grant_type",
            )));
        }
        Ok(grant)
    }

    async fn sign(&self, alg: SigningAlgorithm, claims: &AccessTokenClaims<'_>) -> Result<String, Error> {
        let key = self.keys.current().signing_key(alg).cloned();
        let key = key.ok_or_else(|| Error::ServerError(format!("there is no signing key for {alg}")))?;
        let mut payload = Vec::with_capacity(1024);
        serde_json::to_writer(&mut payload, claims).map_err(|error| Error::ServerError(error.to_string()))?;
        let client_id = &claims.client.client_id;
        let token = self.sign_in_turn(key, client_id, move |key| key.sign_access_token(&payload)).await?;
        // A token this server would not read back could be neither introspected nor revoked.
        if token.len() > jws::MAX_LENGTH {
            return Err(Error::invalid_request(
                "the token would be too long; ask for fewer scopes or audiences",
            ));
        }
        Ok(token)
    }
}

/// What a client asks for, as far as its registration decides.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// `grant_type`
    pub grant_type: &'a str,
    /// `scope`
    pub scope: Option<&'a RequestedScope>,
    /// `resource` (RFC 8707 §2)
    pub resources: &'a [String],
    /// `audience`
    pub audiences: &'a [String],
    /// A wish for the lifetime.
    pub lifetime: Option<Duration>,
}

/// What is decided about each part of a wish.
#[derive(Debug)]
pub(super) struct Decisions {
    pub(super) grant: Result<GrantType, Error>,
    pub(super) scope: Result<Scope, Error>,
    pub(super) audiences: Result<Vec<Audience>, Error>,
    pub(super) lifetime: Result<Duration, Error>,
    pub(super) alg: SigningAlgorithm,
}

/// What a token is issued on.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) grant: GrantType,
    pub(super) scope: Scope,
    pub(super) audiences: Vec<Audience>,
    pub(super) lifetime: Duration,
    pub(super) alg: SigningAlgorithm,
}

impl Decisions {
    /// The terms, or the first refusal.
    pub(super) fn terms(self) -> Result<Terms, Error> {
        Ok(Terms {
            grant: self.grant?,
            scope: self.scope?,
            audiences: self.audiences?,
            lifetime: self.lifetime?,
            alg: self.alg,
        })
    }
}
