//! UserInfo (OpenID Connect Core 1.0 §5.3): claims about the subject of an access token, for whoever presents it.
//!
//! Any valid token of this server is accepted, whatever its audience: it tells nothing that the token does not say, and
//! a proxy can use the endpoint to check a token on behalf of the service behind it.

use serde_json::value::RawValue;

use super::{
    access_token::is_registered_claim,
    authorization_server::AuthorizationServer,
    client::ClientId,
    error::{Error, TokenRefusal},
};
use crate::{jose::json::Members, secret::Secret};

/// Claims about a subject.
#[derive(Clone, Debug)]
pub struct UserInfo {
    /// `sub`
    pub subject: String,
    /// The client the token was issued to, for the log.
    pub client_id: ClientId,
    /// The client's own claims, each value as it was signed.
    pub claims: Vec<(String, Box<RawValue>)>,
}

impl serde::Serialize for UserInfo {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;

        let mut map = serializer.serialize_map(Some(self.claims.len() + 1))?;
        map.serialize_entry("sub", &self.subject)?;
        for (name, value) in &self.claims {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl UserInfo {
    /// A claim that is a JSON string.
    pub fn string(&self, name: &str) -> Option<String> {
        let (_, value) = self.claims.iter().find(|(claim, _)| claim == name)?;
        serde_json::from_str(value.get()).ok()
    }
}

impl AuthorizationServer {
    /// Tells what the presented token says about its subject.
    ///
    /// # Errors
    /// [`Error::MissingToken`] or [`Error::InvalidToken`].
    pub fn userinfo(&self, access_token: Option<&Secret<String>>) -> Result<UserInfo, Error> {
        let token = self.verify_access_token(access_token.ok_or(Error::MissingToken)?.expose())?;
        let claims =
            Members::parse(&token.claims_json).map_err(|_| Error::InvalidToken(TokenRefusal::Claims))?;
        let claims = claims
            .iter()
            .filter(|(name, _)| !is_registered_claim(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Ok(UserInfo { subject: token.subject, client_id: token.client_id, claims })
    }
}
