//! Token introspection (RFC 7662): is this token active, and what does it say?

use std::time::Duration;

use super::{
    access_token::AccessToken,
    authorization_server::AuthorizationServer,
    bearer::{Authorised, Demand},
    client::{
        AuthenticatedClient, Client, ClientAuthentication, ClientId, IntrospectPermission,
        PresentedCredentials, check_client_id,
    },
    confirmation::{Confirmation, PresentedToken},
    error::{ClientRefusal, Error},
    sender::Sender,
    userinfo::presented_token,
};
use crate::{clock::Timestamp, secret::Secret};

/// The most questions one batch may hold.
pub const MAX_BATCH: usize = 100;

/// How long a resource server may reuse an answer: the time within which it learns that a client was disabled.
const CACHE_TTL: Duration = Duration::from_secs(30);

/// Who calls an operation about tokens as a client.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who claims to be it.
    pub authentication: ClientAuthentication,
    /// Who sent the request.
    pub sender: Sender,
}

/// Who asks about tokens.
#[derive(Clone, Debug)]
pub struct Inquirer {
    /// What gives it the right to ask.
    pub credentials: Credentials,
    /// Who sent the request.
    pub sender: Sender,
}

/// What gives the right to ask about tokens (RFC 7662 §2.1).
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Those of a client.
    Client(ClientAuthentication),
    /// A token of a client, with the scope [`INTROSPECT`].
    ///
    /// [`INTROSPECT`]: super::bearer::INTROSPECT
    Token {
        /// The token.
        token: PresentedToken,
        /// `client_id` beside it, which must be that client's.
        client_id: Option<String>,
    },
}

impl Credentials {
    /// Reads what a request presents.
    ///
    /// # Errors
    /// Those of [`ClientAuthentication::read`]: a token beside another method is one method too many.
    pub fn read(presented: PresentedCredentials) -> Result<Self, Error> {
        let alone = presented.client_secret.is_none()
            && presented.client_assertion.is_none()
            && presented.client_assertion_type.is_none();
        if let ([_], true) = (&presented.authorization[..], alone)
            && let Some(token) = presented_token(&presented.authorization, None)?
        {
            return Ok(Self::Token { token, client_id: presented.client_id });
        }
        ClientAuthentication::read(presented).map(Self::Client)
    }
}

/// A question about one token. `token_type_hint` has no place here: there is one kind of token, and a hint never
/// changes an answer (RFC 7662 §2.1).
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// `token`
    pub token: Option<Secret<String>>,
    /// When set, a token not meant for this audience counts as inactive.
    pub expected_audience: Option<String>,
    /// A token that lacks one of these counts as inactive.
    pub required_scopes: Vec<String>,
}

/// An answer, and for whom it is.
#[derive(Clone, Debug)]
pub struct Answered<T> {
    /// The client that asked, for the log.
    pub client_id: ClientId,
    /// What it is told.
    pub answer: T,
}

/// The answer (RFC 7662 §2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Introspection {
    /// Exactly `{"active":false}`, whatever the reason.
    Inactive,
    /// The token is active and the caller may know what it says.
    Active(Box<ActiveToken>),
}

/// What is said of an active token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveToken {
    /// The token.
    pub token: AccessToken,
    /// How it is presented to a resource (RFC 6749 §7.1).
    pub token_type: &'static str,
    /// How long this answer may be reused.
    pub cache_ttl: Duration,
}

impl Introspection {
    /// What is said of a token, or of none.
    fn of(token: Option<AccessToken>, now: Timestamp) -> Self {
        let Some(token) = token else { return Self::Inactive };
        let cache_ttl = CACHE_TTL.min(token.expires_at.since(now));
        let token_type = Confirmation::token_type(token.confirmation.as_ref());
        Self::Active(Box::new(ActiveToken { token, token_type, cache_ttl }))
    }

    /// The JSON response (RFC 7662 §2.2): `active`, `token_type` and every claim byte for byte as it was signed.
    pub fn to_json(&self) -> Vec<u8> {
        let Self::Active(active) = self else { return br#"{"active":false}"#.to_vec() };
        // The claims are one JSON object with at least the required claims, none of which is called like the first two.
        let members = active.token.claims_json.strip_prefix(b"{").unwrap_or(b"}");
        [br#"{"active":true,"token_type":""#, active.token_type.as_bytes(), br#"","#, members].concat()
    }
}

impl AuthorizationServer {
    /// Answers a question about one token.
    ///
    /// # Errors
    /// Those of client authentication, or of [`AuthorizationServer::authorise`]; [`Error::InvalidRequest`] when no token was
    /// sent; [`Error::TemporarilyUnavailable`] when a token looks good and this replica's knowledge of revocations is too
    /// old to say so.
    pub async fn introspect(
        &self,
        inquirer: &Inquirer,
        question: &Question,
    ) -> Result<Answered<Introspection>, Error> {
        let now = self.clock.now();
        let admitted = self.admit(inquirer, std::slice::from_ref(question), now).await?;
        let token = self.read_token(question, now)?;
        let client = admitted.client();
        let is_told = self.tells(client, question, token.as_ref(), now).await?;
        let answer = Introspection::of(token.filter(|_| is_told), now);
        Ok(Answered { client_id: client.client_id.clone(), answer })
    }

    /// The same as a JWT for the caller alone (RFC 9701 §5).
    ///
    /// # Errors
    /// The same, and [`Error::ServerError`] when it cannot be signed.
    pub async fn introspect_signed(
        &self,
        inquirer: &Inquirer,
        question: &Question,
    ) -> Result<Answered<String>, Error> {
        let Answered { client_id, answer } = self.introspect(inquirer, question).await?;
        let answer = self.sign_introspection(&answer, &client_id, self.clock.now()).await?;
        Ok(Answered { client_id, answer })
    }

    /// Answers several questions of one caller, in their order.
    ///
    /// # Errors
    /// Those of [`AuthorizationServer::introspect`]; [`Error::InvalidRequest`] for no questions, more than [`MAX_BATCH`], or one
    /// without a token.
    pub async fn introspect_batch(
        &self,
        inquirer: &Inquirer,
        questions: &[Question],
    ) -> Result<Answered<Vec<Introspection>>, Error> {
        let now = self.clock.now();
        let admitted = self.admit(inquirer, questions, now).await?;
        if questions.is_empty() || questions.len() > MAX_BATCH {
            return Err(Error::invalid_request(format!("a batch holds 1 to {MAX_BATCH} requests")));
        }
        let tokens = questions.iter().map(|question| self.read_token(question, now));
        let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
        // All clients are looked up at once, so that a batch waits for the store as long as a single question.
        self.clients.expect(tokens.iter().flatten().map(|token| token.client_id.as_str()));
        let (client, mut answer) = (admitted.client(), Vec::with_capacity(questions.len()));
        for (question, token) in questions.iter().zip(tokens) {
            let is_told = self.tells(client, question, token.as_ref(), now).await?;
            answer.push(Introspection::of(token.filter(|_| is_told), now));
        }
        Ok(Answered { client_id: client.client_id.clone(), answer })
    }

    /// Checks the right of whoever asks.
    async fn admit(
        &self,
        inquirer: &Inquirer,
        questions: &[Question],
        now: Timestamp,
    ) -> Result<Admitted, Error> {
        match &inquirer.credentials {
            Credentials::Client(authentication) => {
                self.authenticate(authentication, &inquirer.sender, now).await.map(Admitted::Client)
            }
            Credentials::Token { token, client_id } => {
                // Boxed, so that questions with a client's credentials do not take the memory of this.
                match Box::pin(self.authorise(Some(token), &inquirer.sender, Demand::Introspect)).await {
                    Ok(authorised) => {
                        check_client_id(client_id.as_deref(), authorised.client().client_id.as_str())?;
                        Ok(Admitted::Token(authorised))
                    }
                    // A token is no credential about itself: whoever found one could try out what it is (V-28).
                    Err(Error::InsufficientScope(_))
                        if questions.iter().any(|asked| asked.token.as_ref() == Some(&token.token)) =>
                    {
                        Err(Error::InvalidClient(ClientRefusal::NoCredentials))
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// The token of a question, as far as it says itself that it is acceptable.
    fn read_token(&self, question: &Question, now: Timestamp) -> Result<Option<AccessToken>, Error> {
        let token = question.token.as_ref().ok_or_else(|| Error::invalid_request("token is missing"))?;
        Ok(self.read_access_token(token.expose(), now).ok())
    }

    /// Whether the caller is told about a token.
    async fn tells(
        &self,
        caller: &Client,
        question: &Question,
        token: Option<&AccessToken>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let Some(token) = token else { return Ok(false) };
        match self.confirm(token, now).await {
            Ok(_) => {}
            Err(Error::InvalidToken(_)) => return Ok(false),
            Err(error) => return Err(error),
        }
        let asked_for =
            question.expected_audience.as_deref().is_none_or(|audience| token.is_meant_for(audience))
                && question.required_scopes.iter().all(|scope| token.scope.contains(scope));
        Ok(asked_for && may_know(caller, token))
    }
}

/// Who may ask.
enum Admitted {
    Client(AuthenticatedClient),
    Token(Authorised),
}

impl Admitted {
    fn client(&self) -> &Client {
        match self {
            Self::Client(client) => client,
            Self::Token(authorised) => authorised.client(),
        }
    }
}

/// A client may ask about its own tokens, about those meant for it, and about all if it is registered for that. For
/// everybody else the token does not exist (V-27, CHK-43).
fn may_know(caller: &Client, token: &AccessToken) -> bool {
    caller.introspect == IntrospectPermission::Any
        || caller.client_id == token.client_id
        || token.is_meant_for(caller.client_id.as_str())
}
