//! The members of a client as flags.

use std::fs;

use clap::{Args, builder::PossibleValuesParser};

use crate::{admin::mask, cli::output::Failure, config::duration, grpc::pb::admin as pb};

/// Members that `create` and `update` have in common. What is not named stays unset.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Members {
    /// What people call it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// All it may ask for, separated by spaces
    #[arg(long)]
    scope: Option<String>,
    /// What `resource` and `audience` may name; may be repeated, the first is the default [default: the issuer]
    #[arg(long = "audience", value_name = "AUDIENCE")]
    audiences: Vec<String>,
    /// A grant it may use, or "none"; may be repeated [default: client_credentials]
    #[arg(long = "grant-type", value_name = "GRANT")]
    grant_types: Vec<String>,
    /// The one way it may authenticate [default: basic and post]
    #[arg(long, value_name = "METHOD")]
    auth_method: Option<String>,
    /// What its tokens are signed with [default: the server's]
    #[arg(long, value_name = "ALG")]
    alg: Option<String>,
    /// How long its tokens are valid, such as 5m [default: the server's]
    #[arg(long, value_name = "DURATION")]
    lifetime: Option<String>,
    /// Whose tokens it may introspect: own or any [default: own]
    #[arg(long, value_name = "WHOSE")]
    introspect: Option<String>,
    /// Further claims of its tokens, a JSON object
    #[arg(long, value_name = "JSON")]
    claims: Option<String>,
    #[command(flatten)]
    proof: ProofMembers,
}

/// Those by which it proves who it is without a shared secret, and that bind its tokens.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Keys, certificates and binding")]
struct ProofMembers {
    /// The rules it keeps to: strict, compat, smart or fapi2 [default: strict]
    #[arg(long)]
    profile: Option<String>,
    /// What its assertions may be signed with; may be repeated [default: what the profile allows]
    #[arg(long = "auth-signing-alg", value_name = "ALG")]
    auth_signing_algs: Vec<String>,
    /// File with its public keys, a JSON Web Key Set
    #[arg(long, value_name = "FILE")]
    jwks_file: Option<String>,
    /// Where its public keys are instead
    #[arg(long, value_name = "URL")]
    jwks_uri: Option<String>,
    /// Subject of its certificate, such as CN=billing,O=Example
    #[arg(long, value_name = "DN")]
    tls_client_auth_subject_dn: Option<String>,
    /// Instead of the subject: a host name in its certificate
    #[arg(long, value_name = "NAME")]
    tls_client_auth_san_dns: Option<String>,
    /// A URI in its certificate
    #[arg(long, value_name = "URI")]
    tls_client_auth_san_uri: Option<String>,
    /// An IP address in its certificate
    #[arg(long, value_name = "IP")]
    tls_client_auth_san_ip: Option<String>,
    /// A mail address in its certificate
    #[arg(long, value_name = "EMAIL")]
    tls_client_auth_san_email: Option<String>,
    /// Its SPIFFE ID; one that ends in /* stands for all below a path
    #[arg(long, value_name = "ID")]
    spiffe_id: Option<String>,
    /// A subject of a trusted issuer that may act as it; may be repeated, * stands for any characters
    #[arg(long, value_name = "ISSUER=SUBJECT", value_parser = federated)]
    federated: Vec<pb::FederatedSubject>,
    /// Whether its tokens are bound to its certificate
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tls_client_certificate_bound_access_tokens: Option<bool>,
    /// Whether its tokens are bound to a DPoP key
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    dpop_bound_access_tokens: Option<bool>,
}

/// An issuer is a URL, in which `=` stands in the query alone; a subject may be anything.
fn federated(text: &str) -> Result<pb::FederatedSubject, String> {
    match text.split_once('=') {
        Some((issuer, subject)) if !issuer.is_empty() && !subject.is_empty() => {
            Ok(pb::FederatedSubject { issuer: issuer.to_owned(), subject: subject.to_owned() })
        }
        _ => Err("write ISSUER=SUBJECT, such as https://cluster.example=system:serviceaccount:prod:billing"
            .to_owned()),
    }
}

/// What only an update can do to members.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Changes {
    /// Enable it
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Disable it: it gets nothing, and its tokens are inactive
    #[arg(long)]
    disable: bool,
    /// A member to take away; may be repeated
    #[arg(long, value_name = "MEMBER", value_parser = PossibleValuesParser::new(mask::MEMBERS))]
    clear: Vec<String>,
}

impl Members {
    /// The client they describe.
    pub(super) fn client(&self, client_id: String) -> Result<pb::Client, Failure> {
        let lifetime = self.lifetime.as_deref().map(|text| {
            duration::parse(text).map_err(|error| Failure::misused(format!("--lifetime: {error}")))
        });
        let lifetime = lifetime.transpose()?;
        let grant_types = match self.grant_types.as_slice() {
            [] => None,
            [none] if none == "none" => Some(pb::GrantTypes { values: Vec::new() }),
            values => Some(pb::GrantTypes { values: values.to_vec() }),
        };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let proof = &self.proof;
        Ok(pb::Client {
            client_id,
            client_name: text(&self.name),
            token_endpoint_auth_method: text(&self.auth_method),
            grant_types,
            scope: text(&self.scope),
            audiences: self.audiences.clone(),
            access_token_signing_alg: text(&self.alg),
            access_token_lifetime: lifetime.and_then(|lifetime| lifetime.try_into().ok()),
            introspect: text(&self.introspect),
            claims_json: text(&self.claims).into_bytes(),
            profile: text(&proof.profile),
            token_endpoint_auth_signing_alg: proof.auth_signing_algs.clone(),
            jwks_json: proof.jwks_file.as_deref().map(read_jwks).transpose()?.unwrap_or_default(),
            jwks_uri: text(&proof.jwks_uri),
            tls_client_auth_subject_dn: text(&proof.tls_client_auth_subject_dn),
            tls_client_auth_san_dns: text(&proof.tls_client_auth_san_dns),
            tls_client_auth_san_uri: text(&proof.tls_client_auth_san_uri),
            tls_client_auth_san_ip: text(&proof.tls_client_auth_san_ip),
            tls_client_auth_san_email: text(&proof.tls_client_auth_san_email),
            spiffe_id: text(&proof.spiffe_id),
            federated: proof.federated.clone(),
            tls_client_certificate_bound_access_tokens: proof.tls_client_certificate_bound_access_tokens,
            dpop_bound_access_tokens: proof.dpop_bound_access_tokens,
            ..Default::default()
        })
    }

    /// The members that were named.
    fn named(&self) -> Vec<&'static str> {
        let proof = &self.proof;
        [
            ("client_name", self.name.is_some()),
            ("scope", self.scope.is_some()),
            ("audiences", !self.audiences.is_empty()),
            ("grant_types", !self.grant_types.is_empty()),
            ("token_endpoint_auth_method", self.auth_method.is_some()),
            ("access_token_signing_alg", self.alg.is_some()),
            ("access_token_lifetime", self.lifetime.is_some()),
            ("introspect", self.introspect.is_some()),
            ("claims", self.claims.is_some()),
            ("profile", proof.profile.is_some()),
            ("token_endpoint_auth_signing_alg", !proof.auth_signing_algs.is_empty()),
            ("jwks", proof.jwks_file.is_some()),
            ("jwks_uri", proof.jwks_uri.is_some()),
            ("tls_client_auth_subject_dn", proof.tls_client_auth_subject_dn.is_some()),
            ("tls_client_auth_san_dns", proof.tls_client_auth_san_dns.is_some()),
            ("tls_client_auth_san_uri", proof.tls_client_auth_san_uri.is_some()),
            ("tls_client_auth_san_ip", proof.tls_client_auth_san_ip.is_some()),
            ("tls_client_auth_san_email", proof.tls_client_auth_san_email.is_some()),
            ("spiffe_id", proof.spiffe_id.is_some()),
            ("federated", !proof.federated.is_empty()),
            (
                "tls_client_certificate_bound_access_tokens",
                proof.tls_client_certificate_bound_access_tokens.is_some(),
            ),
            ("dpop_bound_access_tokens", proof.dpop_bound_access_tokens.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, named)| named.then_some(name))
        .collect()
    }
}

/// The text of a key set, which the server checks.
fn read_jwks(path: &str) -> Result<Vec<u8>, Failure> {
    let text = fs::read(path).map_err(|error| {
        Failure::failed(format!("{path}: cannot be read ({error}); correct the path or the permissions"))
    })?;
    if text.trim_ascii().is_empty() {
        return Err(Failure::failed(format!("{path}: is empty; write a JSON Web Key Set into it")));
    }
    Ok(text)
}

impl Changes {
    /// Completes the client of an update; returns the names of what changes.
    pub(super) fn apply(&self, members: &Members, client: &mut pb::Client) -> Result<Vec<String>, Failure> {
        let mut names = members.named();
        if self.enable || self.disable {
            client.enabled = Some(self.enable);
            names.push("enabled");
        }
        let mut paths: Vec<String> = names.into_iter().map(str::to_owned).collect();
        if let Some(both) = self.clear.iter().find(|member| paths.contains(member)) {
            return Err(Failure::misused(format!(
                "{both} cannot be set and cleared at once; keep one of the two"
            )));
        }
        paths.extend(self.clear.iter().cloned());
        if paths.is_empty() {
            return Err(Failure::misused(
                "nothing is to be changed; name a member, such as --scope \"read\"",
            ));
        }
        Ok(paths)
    }
}
