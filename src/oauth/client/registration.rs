//! A client as somebody wrote it down, and the checks that make it a [`Client`] (RFC 7591 §2 names and rules).
//!
//! The same members come from the configuration file, from JSON and from protobuf; whoever reads them keeps the text
//! and leaves every judgement to [`ClientRegistration::check`], which reports all problems at once.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    Client, ClientId, ClientSecret, FederatedSubject, IntrospectPermission, SecretForm, SecretHash,
    TokenEndpointAuthMethod,
    profile_members::{self, Together},
    proof_members,
};
use crate::{
    jose::SigningAlgorithm,
    oauth::{access_token, grant::GrantType, resource::Audience, scope::Scope},
    secret::Secret,
};

/// The shortest and the longest lifetime a client's tokens may have.
pub const LIFETIME_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(30)..=Duration::from_secs(24 * 60 * 60);

/// The most claims of its own a client may have. With those the server sets they stay far below
/// [`crate::jose::json::MAX_MEMBERS`], above which a token could not be read back.
pub const MAX_CLAIMS: usize = 64;

/// The most bytes the JSON of a client's own claims may take: they travel in every token.
pub const MAX_CLAIMS_LENGTH: usize = 4 * 1024;

/// A secret as it was given, or the hash of one.
#[derive(Clone, Debug)]
pub enum RegisteredSecret {
    /// `client_secret`: the secret itself.
    Plain(Secret<String>),
    /// `client_secret_hash`: an Argon2id hash in PHC form.
    Hash(String),
}

/// The members of a client registration, unchecked. `None` means the member was left out. As JSON it has the members of
/// RFC 7591 §2, a lifetime in seconds, and no secret.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientRegistration {
    /// `client_id`
    pub client_id: String,
    /// `client_name`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// `client_secret` or `client_secret_hash`
    #[serde(skip)]
    pub secret: Option<RegisteredSecret>,
    /// `token_endpoint_auth_method`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_method: Option<String>,
    /// `grant_types`; left out: client_credentials
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_types: Option<Vec<String>>,
    /// `scope`: all the client may ask for
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// `audiences`: what `resource` and `audience` may name; the first is the default
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audiences: Option<Vec<String>>,
    /// `access_token_signing_alg`; left out: the server's default
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token_signing_alg: Option<String>,
    /// `access_token_lifetime`; left out: the server's default
    #[serde(default, skip_serializing_if = "Option::is_none", with = "seconds")]
    pub access_token_lifetime: Option<Duration>,
    /// `introspect`: own (the default) or any
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspect: Option<String>,
    /// `enabled`; left out: true
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// `profile`: strict (the default), compat, smart or fapi2
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// `token_endpoint_auth_signing_alg`: what assertions may be signed with; empty: what the profile allows
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "one_or_many")]
    pub token_endpoint_auth_signing_alg: Vec<String>,
    /// `jwks`: the client's public keys, a JSON object (RFC 7517 §5)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Box<RawValue>>,
    /// `jwks_uri`: where they are instead
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// `tls_client_auth_subject_dn` (RFC 8705 §2.1.2)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_subject_dn: Option<String>,
    /// `tls_client_auth_san_dns`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_dns: Option<String>,
    /// `tls_client_auth_san_uri`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_uri: Option<String>,
    /// `tls_client_auth_san_ip`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_ip: Option<String>,
    /// `tls_client_auth_san_email`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_email: Option<String>,
    /// `spiffe_id`: a SPIFFE ID, or a prefix of some that ends in `/*`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spiffe_id: Option<String>,
    /// `federated`: the subjects of trusted issuers that may act as this client
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub federated: Vec<FederatedSubject>,
    /// `tls_client_certificate_bound_access_tokens` (RFC 8705 §3.4); left out: false
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_client_certificate_bound_access_tokens: Option<bool>,
    /// `dpop_bound_access_tokens` (RFC 9449 §5.2); left out: false
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_bound_access_tokens: Option<bool>,
    /// `claims`: further claims of the client's tokens, each a JSON value exactly as it will be signed
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "object")]
    pub claims: Vec<(String, Box<RawValue>)>,
}

/// What a registration that leaves members out gets instead.
#[derive(Clone, Copy, Debug)]
pub struct RegistrationDefaults {
    /// `access_token_signing_alg`
    pub signing_alg: SigningAlgorithm,
    /// `access_token_lifetime`
    pub lifetime: Duration,
    /// The longest lifetime any client may have.
    pub max_lifetime: Duration,
}

/// One thing that is wrong with a registration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{member}: {problem}")]
pub struct InvalidMember {
    /// The member, by its registered name.
    pub member: &'static str,
    /// What is wrong with its value and what to write instead.
    pub problem: String,
}

impl ClientRegistration {
    /// Checks every member and builds the client. `keep` makes of a plain secret what is kept of it, in the given form.
    ///
    /// # Errors
    /// Every problem found, not only the first. No problem text contains the secret.
    pub fn check(
        mut self,
        defaults: &RegistrationDefaults,
        keep: impl FnOnce(&Secret<String>, SecretForm) -> Result<SecretHash, String>,
    ) -> Result<Client, Vec<InvalidMember>> {
        let secret = self.secret.take();
        self.build(defaults, false, |method, problems| {
            let hash = secret.and_then(|secret| match secret {
                RegisteredSecret::Plain(secret) => {
                    let kept = check_plain(&secret).and_then(|()| keep(&secret, SecretForm::of(method)));
                    problems.take("client_secret", kept)
                }
                RegisteredSecret::Hash(text) => {
                    let hash = problems.take("client_secret_hash", SecretHash::parse(&text))?;
                    problems.take("client_secret_hash", profile_members::check_form(method, &hash))?;
                    Some(hash)
                }
            });
            hash.map(ClientSecret::of).into_iter().collect()
        })
    }

    /// The same for a client whose secrets are kept beside its registration. One that has no secret left is sound: it
    /// cannot authenticate, but somebody can give it another. A secret which the method has no use for is sound too, so that
    /// the method can be changed: nobody can authenticate with it.
    ///
    /// # Errors
    /// Every problem found.
    pub fn check_with_secrets(
        self,
        defaults: &RegistrationDefaults,
        secrets: Vec<ClientSecret>,
    ) -> Result<Client, Vec<InvalidMember>> {
        self.build(defaults, true, |_, problems| {
            problems.take("client_secret", check_several(&secrets));
            secrets
        })
    }

    /// `beside`: the secrets are kept beside the registration.
    fn build(
        self,
        defaults: &RegistrationDefaults,
        beside: bool,
        secrets: impl FnOnce(Option<TokenEndpointAuthMethod>, &mut Problems) -> Vec<ClientSecret>,
    ) -> Result<Client, Vec<InvalidMember>> {
        let mut problems = Problems::default();

        let client_id = problems.take("client_id", ClientId::parse(&self.client_id));
        let token_endpoint_auth_method = self.token_endpoint_auth_method.as_deref().and_then(|text| {
            problems.take("token_endpoint_auth_method", text.parse::<TokenEndpointAuthMethod>())
        });
        let before = problems.0.len();
        let mut secrets = secrets(token_endpoint_auth_method, &mut problems);
        let secret_refused = problems.0.len() > before;
        let grant_types = self.grant_types.as_ref().map_or_else(
            || vec![GrantType::ClientCredentials],
            |names| {
                names.iter().filter_map(|name| problems.take("grant_types", known_grant_type(name))).collect()
            },
        );
        let scope = self
            .scope
            .as_deref()
            .filter(|text| !text.is_empty())
            .and_then(|text| problems.take("scope", Scope::parse(text)));
        let audiences: Vec<Audience> = self
            .audiences
            .iter()
            .flatten()
            .filter_map(|text| problems.take("audiences", Audience::parse(text)))
            .collect();
        let signing_alg = self
            .access_token_signing_alg
            .as_deref()
            .and_then(|text| problems.take("access_token_signing_alg", text.parse::<SigningAlgorithm>()))
            .unwrap_or(defaults.signing_alg);
        let introspect = self
            .introspect
            .as_deref()
            .and_then(|text| problems.take("introspect", text.parse::<IntrospectPermission>()))
            .unwrap_or_default();
        problems.take("claims", check_claims(&self.claims));
        let proof = proof_members::check(&self, token_endpoint_auth_method, &mut problems);
        let max_lifetime = proof
            .profile
            .longest_token()
            .map_or(defaults.max_lifetime, |longest| longest.min(defaults.max_lifetime));
        let lifetime = self.access_token_lifetime.unwrap_or(defaults.lifetime.min(max_lifetime));
        problems.take("access_token_lifetime", check_lifetime(lifetime, max_lifetime));
        let together = Together {
            method: token_endpoint_auth_method,
            proof: &proof,
            secrets: &secrets,
            grant_types: &grant_types,
            has_scope: scope.is_some(),
            token_algorithm: signing_alg,
        };
        together.check(&mut problems);
        if beside {
            let unused = token_endpoint_auth_method.is_some_and(|method| !method.uses_secret());
            secrets.retain(|_| !unused);
        } else {
            // One that was refused is not missing.
            let needs_secret = self.federated.is_empty() && !secret_refused;
            let checked = check_method(token_endpoint_auth_method, needs_secret, secrets.len());
            problems.take("client_secret", checked);
        }

        match client_id {
            Some(client_id) if problems.0.is_empty() => Ok(Client {
                client_id,
                client_name: self.client_name,
                secrets,
                token_endpoint_auth_method,
                grant_types,
                scope: scope.unwrap_or_default(),
                audiences,
                access_token_signing_alg: signing_alg,
                access_token_lifetime: lifetime,
                introspect,
                enabled: self.enabled.unwrap_or(true),
                proof,
                claims: self.claims,
            }),
            _ => Err(problems.0),
        }
    }
}

/// A lifetime in whole seconds.
mod seconds {
    use super::Duration;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(|value| value.as_secs()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_secs))
    }
}

/// One text, or a list of them.
mod one_or_many {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }

    pub(super) fn serialize<S: Serializer>(values: &[String], serializer: S) -> Result<S::Ok, S::Error> {
        match values {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
        Ok(match OneOrMany::deserialize(deserializer)? {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        })
    }
}

/// Claims as one JSON object, in their order.
mod object {
    use std::fmt;

    use super::RawValue;
    use serde::{
        Deserializer, Serializer,
        de::{MapAccess, Visitor},
    };

    type Claims = Vec<(String, Box<RawValue>)>;

    pub(super) fn serialize<S: Serializer>(claims: &Claims, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(claims.iter().map(|(name, value)| (name, value)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Claims, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Claims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
                let mut claims = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    claims.push(entry);
                }
                Ok(claims)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// Collects problems while the checks go on.
#[derive(Debug, Default)]
pub(super) struct Problems(pub(super) Vec<InvalidMember>);

impl Problems {
    pub(super) fn report(&mut self, member: &'static str, problem: impl Into<String>) {
        self.0.push(InvalidMember { member, problem: problem.into() });
    }

    pub(super) fn take<T, E: ToString>(&mut self, member: &'static str, checked: Result<T, E>) -> Option<T> {
        checked.map_err(|error| self.0.push(InvalidMember { member, problem: error.to_string() })).ok()
    }
}

/// RFC 6749 App. A.2: client-secret is VSCHAR.
fn check_plain(secret: &Secret<String>) -> Result<(), String> {
    let secret = secret.expose();
    if secret.is_empty() || secret.len() > 1024 || !secret.bytes().all(|byte| matches!(byte, 0x20..=0x7E)) {
        return Err("a secret is 1 to 1024 printable ASCII characters".to_owned());
    }
    Ok(())
}

fn known_grant_type(name: &str) -> Result<GrantType, String> {
    GrantType::parse(name)
        .ok_or_else(|| format!("{name:?} is not a grant this server offers; use \"client_credentials\" or, for tokens of trusted issuers, \"urn:ietf:params:oauth:grant-type:jwt-bearer\""))
}

fn check_lifetime(lifetime: Duration, max: Duration) -> Result<(), String> {
    let longest = max.min(*LIFETIME_RANGE.end());
    if lifetime < *LIFETIME_RANGE.start() || lifetime > longest || lifetime.subsec_nanos() != 0 {
        return Err(format!("a lifetime is 30s to {}s in whole seconds", longest.as_secs()));
    }
    Ok(())
}

fn check_claims(claims: &[(String, Box<RawValue>)]) -> Result<(), String> {
    if claims.len() > MAX_CLAIMS {
        return Err(format!("there are {} claims; at most {MAX_CLAIMS} fit into a token", claims.len()));
    }
    for (index, (name, value)) in claims.iter().enumerate() {
        if serde_json::from_str::<serde_json::Value>(value.get()).is_err() {
            return Err(format!(
                "{name:?} holds a number that is too large for JSON readers; write it as a string"
            ));
        }
        if access_token::is_registered_claim(name) {
            return Err(format!(
                "{name:?} is set by the server and cannot be configured; choose another name"
            ));
        }
        if name.is_empty() || claims[..index].iter().any(|(earlier, _)| earlier == name) {
            return Err(format!("{name:?} is empty or appears twice; every claim needs a name of its own"));
        }
    }
    let length: usize = claims.iter().map(|(name, value)| name.len() + value.get().len()).sum();
    if length > MAX_CLAIMS_LENGTH {
        return Err(format!("the claims take {length} bytes; at most {MAX_CLAIMS_LENGTH} fit into a token"));
    }
    Ok(())
}

/// A clock must not tell how many secrets a client has: Argon2id is computed once for each request (V-22).
fn check_several(secrets: &[ClientSecret]) -> Result<(), &'static str> {
    let chosen = secrets.iter().filter(|secret| matches!(secret.hash, SecretHash::Argon2id(_))).count();
    if chosen > 1 {
        return Err("only one secret of a client may be a chosen one; let the server generate the others");
    }
    for (index, secret) in secrets.iter().enumerate() {
        if secrets[..index].iter().any(|earlier| earlier.secret_id == secret.secret_id) {
            return Err("two secrets have the same secret_id; each needs one of its own");
        }
    }
    Ok(())
}

fn check_method(
    method: Option<TokenEndpointAuthMethod>,
    needs_secret: bool,
    secrets: usize,
) -> Result<(), String> {
    match (method, secrets) {
        (Some(method), 1..) if !method.uses_secret() => Err(format!(
            "token_endpoint_auth_method \"{}\" uses no secret; remove one of the two",
            method.as_str()
        )),
        (Some(method), 0) if !method.uses_secret() => Ok(()),
        (_, 0) if needs_secret => {
            Err("is missing; set client_secret, client_secret_file or client_secret_hash".to_owned())
        }
        (_, _) => Ok(()),
    }
}
