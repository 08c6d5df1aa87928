//! What a token is bound to, and the proof that whoever presents it possesses that (RFC 7800 §3.1, RFC 8705 §3.1, RFC 9449
//! §6.1).
//!
//! A bound token is worth nothing by itself: it is accepted together with the proof of every key it names, and with the
//! authentication scheme that goes with it.

use serde::Serialize;

use super::{
    access_token::AccessToken,
    authorization_server::AuthorizationServer,
    client::Client,
    error::{Error, TokenRefusal},
    sender::Sender,
};
use crate::{
    certificates::x5t_s256,
    clock::Timestamp,
    jose::json::{InvalidJson, Members},
    secret::Secret,
};

/// The `cnf` claim. At least one member is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Confirmation {
    /// `x5t#S256`: base64url of the SHA-256 of the client certificate (RFC 8705 §3.1).
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    pub x5t_s256: Option<String>,
    /// `jkt`: the RFC 7638 thumbprint of the DPoP key (RFC 9449 §6.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jkt: Option<String>,
}

impl Confirmation {
    /// Reads the claim. A method that this server does not know is refused, since nobody here could check it (V-47).
    pub(super) fn read(cnf: &Members<'_>) -> Result<Self, InvalidJson> {
        let this = Self { x5t_s256: cnf.optional("x5t#S256")?, jkt: cnf.optional("jkt")? };
        let known = usize::from(this.x5t_s256.is_some()) + usize::from(this.jkt.is_some());
        if known == 0 || cnf.iter().count() != known {
            return Err(InvalidJson::Member("cnf"));
        }
        Ok(this)
    }

    /// How a token with this binding is presented (RFC 6749 §7.1).
    pub fn token_type(this: Option<&Self>) -> &'static str {
        match this {
            Some(Self { jkt: Some(_), .. }) => "DPoP",
            _ => "Bearer",
        }
    }
}

/// The authentication scheme with which a token was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 6750 §2.1
    Bearer,
    /// RFC 9449 §7.1
    Dpop,
}

/// An access token as it was presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentedToken {
    /// How.
    pub scheme: Scheme,
    /// The token.
    pub token: Secret<String>,
}

impl AuthorizationServer {
    /// Decides what the token of a request is bound to.
    ///
    /// # Errors
    /// When the client's tokens must be bound and the request has nothing to bind to.
    pub(super) async fn bind(
        &self,
        client: &Client,
        sender: &Sender,
        _now: Timestamp,
    ) -> Result<Option<Confirmation>, Error> {
        let mut confirmation = Confirmation::default();
        // Whatever the client authenticated with: the member is about its tokens (RFC 8705 §3.4).
        if client.proof.certificate_bound_access_tokens {
            let certificate = sender.certificate.as_ref().ok_or_else(|| {
                Error::invalid_request(
                    "the tokens of this client are bound to its certificate, and the connection has none",
                )
            })?;
            confirmation.x5t_s256 = Some(x5t_s256(&certificate.leaf));
        }
        if client.proof.dpop_bound_access_tokens {
            return Err(Error::invalid_request("the tokens of this client must be bound"));
        }
        Ok(Some(confirmation).filter(|confirmation| *confirmation != Confirmation::default()))
    }

    /// Checks that the sender of a request possesses what its token is bound to.
    ///
    /// # Errors
    /// [`Error::InvalidToken`].
    pub(super) async fn check_possession(
        &self,
        token: &AccessToken,
        presented: &PresentedToken,
        sender: &Sender,
        _now: Timestamp,
    ) -> Result<(), Error> {
        let refused = || Err(Error::InvalidToken(TokenRefusal::Possession));
        let confirmation = token.confirmation.clone().unwrap_or_default();
        if let Some(bound) = &confirmation.x5t_s256 {
            let certificate = sender.certificate.as_ref().map(|chain| x5t_s256(&chain.leaf));
            // A sender that proves another key has mistaken the token, or hopes that one proof stands for another (V-47).
            let proves_another = confirmation.jkt.is_none() && !sender.dpop_proofs.is_empty();
            if certificate.as_ref() != Some(bound) || proves_another {
                return refused();
            }
        }
        match (&confirmation.jkt, presented.scheme) {
            (None, Scheme::Bearer) => Ok(()),
            _ => refused(),
        }
    }
}
