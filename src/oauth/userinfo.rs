//! UserInfo (OpenID Connect Core 1.0 §5.3): claims about the subject of an access token, for whoever presents it.
//!
//! Any valid token of this server is accepted, whatever its audience: it tells nothing that the token does not say, and
//! a proxy can use the endpoint to check a token on behalf of the service behind it.

use serde_json::value::RawValue;

use super::{
    access_token::{AccessToken, OtherClaim, is_registered_claim},
    authorization_server::AuthorizationServer,
    client::ClientId,
    confirmation::{PresentedToken, Scheme},
    error::Error,
    sender::Sender,
};
use crate::secret::Secret;

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
    /// [`Error::MissingToken`], [`Error::InvalidToken`], [`Error::TemporarilyUnavailable`].
    pub async fn userinfo(
        &self,
        presented: Option<&PresentedToken>,
        sender: &Sender,
    ) -> Result<UserInfo, Error> {
        let presented = presented.ok_or(Error::MissingToken)?;
        let now = self.clock.now();
        let (text, keys) = (presented.token.expose(), self.keys.current());
        let (token, claims) = AccessToken::verify_with(text, &keys, self.issuer(), now, own_claims)
            .map_err(Error::InvalidToken)?;
        self.confirm(&token, now).await?;
        self.check_possession(&token, presented, sender, now).await?;
        Ok(UserInfo { subject: token.subject, client_id: token.client_id, claims })
    }
}

/// The claims that a client was registered with.
fn own_claims(claims: &[OtherClaim<'_>]) -> Vec<(String, Box<RawValue>)> {
    let own = claims.iter().filter(|(name, _)| !is_registered_claim(name));
    own.map(|(name, value)| (name.to_string(), (*value).to_owned())).collect()
}

/// Finds the access token of a request: in one `Authorization` header or metadata value of the Bearer scheme (RFC 6750
/// §2.1) or the DPoP scheme (RFC 9449 §7.1), or in one parameter (RFC 6750 §2.2), which is the Bearer scheme. Credentials of
/// another scheme count as no token.
///
/// # Errors
/// [`Error::InvalidRequest`] for more than one (RFC 6750 §2).
pub fn presented_token(
    authorization: &[Secret<String>],
    parameter: Option<Secret<String>>,
) -> Result<Option<PresentedToken>, Error> {
    match (authorization, parameter) {
        ([], parameter) => Ok(parameter.map(|token| PresentedToken { scheme: Scheme::Bearer, token })),
        ([header], None) => Ok(header.expose().split_once(' ').and_then(|(scheme, token)| {
            let scheme = match scheme {
                name if name.eq_ignore_ascii_case("Bearer") => Scheme::Bearer,
                name if name.eq_ignore_ascii_case("DPoP") => Scheme::Dpop,
                _ => return None,
            };
            Some(PresentedToken { scheme, token: Secret::from(token.trim_start_matches(' ')) })
        })),
        _ => Err(Error::invalid_request("only one access token may be sent in a request")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // CHK-35
    #[test]
    fn one_token_per_request() {
        let bearer = || Secret::from("Bearer abc");
        assert_eq!(presented_token(&[], None), Ok(None));
        let presented = |scheme| Ok(Some(PresentedToken { scheme, token: "abc".into() }));
        assert_eq!(presented_token(&[], Some("abc".into())), presented(Scheme::Bearer));
        assert_eq!(presented_token(&[bearer()], None), presented(Scheme::Bearer));
        assert_eq!(presented_token(&["bearer  abc".into()], None), presented(Scheme::Bearer));
        assert_eq!(presented_token(&["DPoP abc".into()], None), presented(Scheme::Dpop));
        assert_eq!(presented_token(&["Basic abc".into()], None), Ok(None));
        assert!(presented_token(&[bearer(), bearer()], None).is_err());
        assert!(presented_token(&[bearer()], Some("abc".into())).is_err());
    }
}
