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
    /// [`Error::InvalidRequest`] for a missing certificate (RFC 8705 §3.4), those of DPoP for a missing or wrong proof (RFC
    /// 9449 §5.2).
    pub(super) async fn bind(
        &self,
        client: &Client,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<Option<Confirmation>, Error> {
        // A profile that binds every token takes what there is (FAPI 2.0 Security Profile §5.3.2.1; CHK-141).
        let by_profile = client.proof.profile.binds_tokens()
            && sender.dpop_proofs.is_empty()
            && sender.certificate.is_some();
        let x5t_s256 = if client.proof.certificate_bound_access_tokens || by_profile {
            let certificate = certificate_hash(sender).ok_or_else(|| {
                Error::invalid_request(
                    "the tokens of this client are bound to a certificate, and there is none",
                )
            })?;
            Some(certificate)
        } else {
            None
        };
        // Last, because it uses up the proof.
        let jkt = if client.proof.dpop_bound_access_tokens || !sender.dpop_proofs.is_empty() {
            // Boxed, so that requests without a proof do not take the memory of this.
            Some(Box::pin(self.proven_key(sender, now)).await?)
        } else {
            None
        };
        let is_bound = x5t_s256.is_some() || jkt.is_some();
        if !is_bound && client.proof.profile.binds_tokens() {
            return Err(Error::invalid_request(
                "the tokens of this client are bound, and there is neither a DPoP proof nor a client certificate to bind \
                 this one to",
            ));
        }
        Ok(is_bound.then_some(Confirmation { x5t_s256, jkt }))
    }

    /// Checks that the sender of a request possesses what its token is bound to.
    ///
    /// # Errors
    /// [`Error::InvalidToken`], and those of DPoP.
    pub(super) async fn check_possession(
        &self,
        token: &AccessToken,
        presented: &PresentedToken,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<(), Error> {
        let refused = Err(Error::InvalidToken(TokenRefusal::Possession));
        let bound = token.confirmation.as_ref();
        // A proof of another kind replaces none that is missing (V-47).
        let certificate = bound.and_then(|bound| bound.x5t_s256.as_deref());
        if certificate.is_some() && certificate != certificate_hash(sender).as_deref() {
            return refused;
        }
        match (bound.and_then(|bound| bound.jkt.as_deref()), presented.scheme) {
            (None, Scheme::Bearer) => Ok(()),
            (Some(jkt), Scheme::Dpop) => self.check_proof(presented, jkt, sender, now).await,
            // Neither a bound token as plain bearer (RFC 9449 §7.2) nor an unbound one under a scheme that says it is bound.
            (Some(_), Scheme::Bearer) | (None, Scheme::Dpop) => refused,
        }
    }
}

/// What a token is bound to that is bound to the sender's certificate (RFC 8705 §3.1).
fn certificate_hash(sender: &Sender) -> Option<String> {
    sender.certificate.as_ref().map(|chain| x5t_s256(&chain.leaf))
}
