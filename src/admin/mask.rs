//! Which members of a client an update names (AIP-134, AIP-161).

use super::error::AdminError;
use crate::oauth::client::ClientRegistration;

/// The members that an update changes. `client_id` is none of them, and secrets have calls of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask(Vec<&'static str>);

/// Every member that can be changed.
pub const MEMBERS: [&str; 10] = [
    "client_name",
    "token_endpoint_auth_method",
    "grant_types",
    "scope",
    "audiences",
    "access_token_signing_alg",
    "access_token_lifetime",
    "introspect",
    "enabled",
    "claims",
];

impl Mask {
    /// All members: what the new registration leaves out is taken away.
    pub fn all() -> Self {
        Self(MEMBERS.to_vec())
    }

    /// The members that a registration sets, for an update without mask.
    pub fn of(registration: &ClientRegistration) -> Self {
        Self(MEMBERS.into_iter().filter(|member| is_set(registration, member)).collect())
    }

    /// Reads member names; `*` alone stands for all.
    ///
    /// # Errors
    /// [`AdminError::InvalidArgument`] with every name that is none.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, AdminError> {
        let (mut members, mut problems) = (Vec::new(), Vec::new());
        let names: Vec<&str> = names.into_iter().collect();
        if names == ["*"] {
            return Ok(Self::all());
        }
        for name in names {
            // How protobuf names the member.
            let name = if name == "claims_json" { "claims" } else { name };
            match MEMBERS.into_iter().find(|member| *member == name) {
                Some(member) => members.push(member),
                None => problems.push(format!("{name:?}")),
            }
        }
        if problems.is_empty() {
            return Ok(Self(members));
        }
        Err(AdminError::invalid(
            "update_mask",
            format!("{} cannot be changed; name some of {}", problems.join(", "), MEMBERS.join(", ")),
        ))
    }

    /// Whether it names no member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Copies the members it names.
    pub(super) fn apply(&self, from: &ClientRegistration, to: &mut ClientRegistration) {
        for member in &self.0 {
            match *member {
                "client_name" => to.client_name.clone_from(&from.client_name),
                "token_endpoint_auth_method" => {
                    to.token_endpoint_auth_method.clone_from(&from.token_endpoint_auth_method);
                }
                "grant_types" => to.grant_types.clone_from(&from.grant_types),
                "scope" => to.scope.clone_from(&from.scope),
                "audiences" => to.audiences.clone_from(&from.audiences),
                "access_token_signing_alg" => {
                    to.access_token_signing_alg.clone_from(&from.access_token_signing_alg);
                }
                "access_token_lifetime" => to.access_token_lifetime = from.access_token_lifetime,
                "introspect" => to.introspect.clone_from(&from.introspect),
                "enabled" => to.enabled = from.enabled,
                _ => to.claims.clone_from(&from.claims),
            }
        }
    }
}

fn is_set(registration: &ClientRegistration, member: &str) -> bool {
    match member {
        "client_name" => registration.client_name.is_some(),
        "token_endpoint_auth_method" => registration.token_endpoint_auth_method.is_some(),
        "grant_types" => registration.grant_types.is_some(),
        "scope" => registration.scope.is_some(),
        "audiences" => registration.audiences.is_some(),
        "access_token_signing_alg" => registration.access_token_signing_alg.is_some(),
        "access_token_lifetime" => registration.access_token_lifetime.is_some(),
        "introspect" => registration.introspect.is_some(),
        "enabled" => registration.enabled.is_some(),
        _ => !registration.claims.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> ClientRegistration {
        let text = r#"{"client_id":"new","client_name":"n","token_endpoint_auth_method":"client_secret_post",
            "grant_types":[],"scope":"a","audiences":["b"],"access_token_signing_alg":"ES256","access_token_lifetime":60,
            "introspect":"any","enabled":false,"claims":{"x":1}}"#;
        serde_json::from_str(text).unwrap()
    }

    fn json(registration: &ClientRegistration) -> serde_json::Value {
        serde_json::to_value(registration).unwrap()
    }

    #[test]
    fn each_member_moves_alone() {
        for member in MEMBERS {
            let mut to = ClientRegistration { client_id: "old".to_owned(), ..Default::default() };
            Mask::parse([member]).unwrap().apply(&full(), &mut to);
            let mut expected = serde_json::json!({ "client_id": "old" });
            expected[member] = json(&full())[member].clone();
            assert_eq!(json(&to), expected);
            assert_eq!(Mask::of(&to), Mask(vec![member]));
        }
    }

    #[test]
    fn a_mask_of_all_takes_away_what_is_left_out() {
        let mut to = full();
        Mask::parse(["*"]).unwrap().apply(&ClientRegistration::default(), &mut to);
        assert_eq!(json(&to), serde_json::json!({ "client_id": "new" }));
        assert_eq!(Mask::of(&full()), Mask::all());
    }

    #[test]
    fn other_names_are_refused_together() {
        let error = Mask::parse(["scope", "client_id", "client_secret", "etag"]).unwrap_err().to_string();
        for name in ["\"client_id\"", "\"client_secret\"", "\"etag\""] {
            assert!(error.contains(name), "{error}");
        }
        assert!(!error.contains("\"scope\""));
    }
}
