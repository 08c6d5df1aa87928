//! Clients (RFC 6749 §2, RFC 7591 §2): what is registered about each, and the proof that a request comes from one.
//!
//! - [`keys`]: where clients publish their keys
//! - [`method`]: the methods of authentication, and profiles
//! - [`proof_members`]: what is registered of keys, certificates and other issuers' subjects
//! - [`registration`]: a client as somebody wrote it down, and the checks
//! - [`credentials`]: what a request presents, whichever transport carried it
//! - [`secret`]: secrets, hashed and verified
//! - [`assertion`]: private_key_jwt and client_secret_jwt
//! - [`keys`]: where clients publish their keys
//! - [`authenticate`]: presented credentials -> [`AuthenticatedClient`]
//! - [`mtls`]: certificates of clients and the authorities behind them
//! - [`directory`]: the clients that are known now
//! - [`spiffe`]: the names of workloads
//! - [`document`]: what the store keeps of a client
//! - [`uses`]: when secrets were last used

pub mod assertion;
pub mod authenticate;
pub mod credentials;
pub mod directory;
pub mod document;
pub mod keys;
pub mod method;
pub mod mtls;
mod profile_members;
pub mod proof_members;
pub mod registration;
pub mod secret;
pub mod spiffe;
pub mod uses;

use std::{fmt, str::FromStr, time::Duration};

use serde_json::value::RawValue;

pub use authenticate::AuthenticatedClient;
pub use credentials::{ClientAuthentication, PresentedCredentials, check_client_id};
pub use directory::ClientDirectory;
pub use method::{Profile, TokenEndpointAuthMethod};
pub use proof_members::{CertificateSubject, ClientKeys, FederatedSubject, ProofMembers};
pub use registration::ClientRegistration;
pub use secret::{ClientSecret, SecretForm, SecretHash};

use super::{grant::GrantType, issuer::Issuer, resource::Audience, scope::Scope};
use crate::{clock::Timestamp, jose::SigningAlgorithm};

/// A registered client whose members have been checked.
#[derive(Debug)]
pub struct Client {
    /// `client_id`
    pub client_id: ClientId,
    /// `client_name`
    pub client_name: Option<String>,
    /// Its secrets, the oldest first.
    pub secrets: Vec<ClientSecret>,
    /// The one method it must use; `None` accepts client_secret_basic and client_secret_post.
    pub token_endpoint_auth_method: Option<TokenEndpointAuthMethod>,
    /// `grant_types`
    pub grant_types: Vec<GrantType>,
    /// Everything it may ask for.
    pub scope: Scope,
    /// Everything `resource` and `audience` may name; the first is the default, none means the issuer.
    pub audiences: Vec<Audience>,
    /// The algorithm its tokens are signed with.
    pub access_token_signing_alg: SigningAlgorithm,
    /// The lifetime of its tokens.
    pub access_token_lifetime: Duration,
    /// Whose tokens it may introspect.
    pub introspect: IntrospectPermission,
    /// A disabled client gets nothing, and its tokens are inactive.
    pub enabled: bool,
    /// How it proves who it is without a shared secret, and what its tokens are bound to.
    pub proof: ProofMembers,
    /// Further claims of its tokens, as they will be signed.
    pub claims: Vec<(String, Box<RawValue>)>,
}

impl Client {
    /// The secrets that are accepted at this instant.
    pub fn usable_secrets(&self, now: Timestamp) -> impl Iterator<Item = &ClientSecret> {
        self.secrets.iter().filter(move |secret| secret.is_usable(now))
    }

    /// Whether `resource` or `audience` may name this audience.
    pub fn may_name_audience(&self, name: &str, issuer: &Issuer) -> bool {
        if self.audiences.is_empty() {
            return name == issuer.as_str();
        }
        self.audiences.iter().any(|audience| audience.as_str() == name)
    }
}

/// A client identifier (RFC 6749 §2.2, App. A.1): 1 to 255 VSCHAR, `:` and space included.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(Box<str>);

/// The text cannot be a client identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a client_id is 1 to 255 printable ASCII characters")]
pub struct InvalidClientId;

impl ClientId {
    /// Reads a client identifier.
    ///
    /// # Errors
    /// [`InvalidClientId`].
    pub fn parse(text: &str) -> Result<Self, InvalidClientId> {
        let sound = (1..=255).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, 0x20..=0x7E));
        if sound { Ok(Self(text.into())) } else { Err(InvalidClientId) }
    }

    /// The identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientId {
    type Err = InvalidClientId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl std::borrow::Borrow<str> for ClientId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose tokens a client may introspect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IntrospectPermission {
    /// Its own, and those that name it in `aud`.
    #[default]
    Own,
    /// Everybody's: for resource servers.
    Any,
}

impl FromStr for IntrospectPermission {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "own" => Ok(Self::Own),
            "any" => Ok(Self::Any),
            _ => Err("it must be \"own\" or \"any\""),
        }
    }
}
