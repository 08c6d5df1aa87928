//! Introspection responses as JWTs (RFC 9701): what was answered, to whom and when, in a form that can be kept and shown.
//!
//! One algorithm signs them all: that of [`Policy::signing_alg`], or another with a public key when that is HS256, because
//! whoever receives one verifies it with the published keys. It is named in the metadata.
//!
//! [`Policy::signing_alg`]: super::Policy::signing_alg

use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    authorization_server::AuthorizationServer, client::ClientId, error::Error, introspect::Introspection,
};
use crate::{
    clock::Timestamp,
    jose::{KeyRing, SigningAlgorithm, SigningKey},
};

/// The `typ` of such a JWT, which no token and no assertion has (RFC 9701 §5, §8.1).
pub const TYPE: &str = "token-introspection+jwt";

/// The media type of the response (RFC 9701 §4).
pub const MEDIA_TYPE: &str = "application/token-introspection+jwt";

/// Its claims (RFC 9701 §5). Neither `sub` nor `exp`: nothing may take it for an access token (§8.1).
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    /// Who asked, and nobody else.
    aud: &'a str,
    iat: u64,
    token_introspection: &'a RawValue,
}

/// The algorithm of signed introspection responses: `preferred`, or the first with a public key.
pub(super) fn algorithm(preferred: SigningAlgorithm, keys: &KeyRing) -> Option<SigningAlgorithm> {
    let is_public = |alg: &SigningAlgorithm| !alg.is_symmetric();
    Some(preferred).filter(is_public).or_else(|| keys.algorithms().into_iter().find(is_public))
}

impl AuthorizationServer {
    /// Signs an answer for the client that asked.
    ///
    /// # Errors
    /// [`Error::ServerError`] when there is no key, or it does not sign; [`Error::Busy`] and [`Error::RateLimited`] when more is to
    /// be signed than can be.
    pub(super) async fn sign_introspection(
        &self,
        answer: &Introspection,
        audience: &ClientId,
        now: Timestamp,
    ) -> Result<String, Error> {
        let broken = |cause: String| Error::ServerError(cause);
        let key = {
            let keys = self.keys.current();
            algorithm(self.policy.signing_alg, &keys).and_then(|alg| keys.signing_key(alg).cloned())
        };
        let key = key.ok_or_else(|| broken("there is no key with a public half".to_owned()))?;
        let token_introspection: Box<RawValue> =
            serde_json::from_slice(&answer.to_json()).map_err(|error| broken(error.to_string()))?;
        let claims = Claims {
            iss: self.issuer().as_str(),
            aud: audience.as_str(),
            iat: now.seconds(),
            token_introspection: &token_introspection,
        };
        let claims = serde_json::to_vec(&claims).map_err(|error| broken(error.to_string()))?;
        let header =
            [("typ", TYPE), ("kid", key.kid())].map(|(name, text)| (name.to_owned(), Value::from(text)));
        let sign = move |key: &SigningKey| key.private_key().sign(Map::from_iter(header), &claims);
        self.sign_in_turn(key, audience, sign).await
    }
}
