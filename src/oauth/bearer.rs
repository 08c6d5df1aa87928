//! An access token as the right to call this server itself (RFC 6750): the admin services, client registration, and
//! introspection.
//!
//! The token must name this server as its audience, so that a token for another resource server opens nothing here, and
//! carry one of the scopes that the operation demands. Scopes that begin with `mintage:` are for that alone.

use std::sync::Arc;

use super::{
    access_token::AccessToken,
    authorization_server::AuthorizationServer,
    client::{Client, ClientId},
    confirmation::PresentedToken,
    error::{Error, TokenRefusal},
    sender::Sender,
};

/// What the scopes of this server's own operations begin with.
pub const RESERVED_PREFIX: &str = "mintage:";

/// Everything an administrator may do.
pub const ADMIN: &str = "mintage:admin";

/// What changes nothing.
pub const ADMIN_READ: &str = "mintage:admin.read";

/// Registering clients (RFC 7591 §3, the initial access token).
pub const REGISTER: &str = "mintage:register";

/// Introspecting (RFC 7662 §2.1: "a separate OAuth 2.0 access token"). Which tokens, the registration of its client says.
pub const INTROSPECT: &str = "introspect";

/// Which scopes open an operation; each of them does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// It changes something: [`ADMIN`].
    Write,
    /// It only reads: [`ADMIN`] or [`ADMIN_READ`].
    Read,
    /// It registers a client: [`REGISTER`] or [`ADMIN`].
    Register,
    /// It asks about tokens: [`INTROSPECT`].
    Introspect,
}

impl Demand {
    /// The scopes, the least one first: the one that a refusal names.
    pub const fn scopes(self) -> &'static [&'static str] {
        match self {
            Self::Write => &[ADMIN],
            Self::Read => &[ADMIN_READ, ADMIN],
            Self::Register => &[REGISTER, ADMIN],
            Self::Introspect => &[INTROSPECT],
        }
    }
}

/// A caller whose token opens the operation. Only [`AuthorizationServer::authorise`] makes one.
#[derive(Clone, Debug)]
pub struct Authorised {
    client: Arc<Client>,
}

impl Authorised {
    /// Whose token it was.
    pub fn client_id(&self) -> &ClientId {
        &self.client.client_id
    }

    /// The same as it is registered now.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }
}

impl AuthorizationServer {
    /// Checks that an access token opens an operation.
    ///
    /// # Errors
    /// [`Error::MissingToken`], [`Error::InvalidToken`], [`Error::InsufficientScope`] (RFC 6750 §3.1), and
    /// [`Error::TemporarilyUnavailable`] when this replica does not know enough.
    pub async fn authorise(
        &self,
        presented: Option<&PresentedToken>,
        sender: &Sender,
        demand: Demand,
    ) -> Result<Authorised, Error> {
        let presented = presented.ok_or(Error::MissingToken)?;
        let now = self.clock.now();
        let token = self.read_access_token(presented.token.expose(), now).map_err(Error::InvalidToken)?;
        let registered = self.confirm(&token, now).await?;
        self.check_possession(&token, presented, sender, now).await?;
        let AccessToken { audiences, scope, .. } = token;
        if !audiences.iter().any(|audience| audience == self.issuer().as_str()) {
            return Err(Error::InvalidToken(TokenRefusal::Claims));
        }
        // A right that was taken from the client is gone, whatever tokens it still has.
        let may = |demanded: &&str| scope.contains(demanded) && registered.scope.contains(demanded);
        let scopes = demand.scopes();
        if !scopes.iter().any(may) {
            return Err(Error::InsufficientScope(scopes[0]));
        }
        Ok(Authorised { client: registered })
    }
}
