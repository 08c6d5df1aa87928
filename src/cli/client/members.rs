//! The members of a client as flags.

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
            ..Default::default()
        })
    }

    /// The members that were named.
    fn named(&self) -> Vec<&'static str> {
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
        ]
        .into_iter()
        .filter_map(|(name, named)| named.then_some(name))
        .collect()
    }
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
