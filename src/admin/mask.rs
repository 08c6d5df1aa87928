//! Which members of a client an update names (AIP-134, AIP-161).

use super::error::AdminError;
use crate::oauth::client::ClientRegistration;

/// The members that an update changes. `client_id` is none of them, and secrets have calls of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask(Vec<&'static str>);

/// A member that can be changed.
struct Member {
    name: &'static str,
    is_set: fn(&ClientRegistration) -> bool,
    copy: fn(&ClientRegistration, &mut ClientRegistration),
}

/// Defines [`MEMBERS`]. A field of [`ClientRegistration`] has the name of its member.
macro_rules! members {
    ($($name:ident,)*) => {
        /// Every member that can be changed.
        pub const MEMBERS: &[&str] = &[$(stringify!($name)),*];

        const TABLE: &[Member] = &[$(Member {
            name: stringify!($name),
            is_set: |registration| registration.$name.is_set(),
            copy: |from, to| to.$name.clone_from(&from.$name),
        }),*];
    };
}

members! {
    client_name,
    token_endpoint_auth_method,
    grant_types,
    scope,
    audiences,
    access_token_signing_alg,
    access_token_lifetime,
    introspect,
    enabled,
    profile,
    token_endpoint_auth_signing_alg,
    jwks,
    jwks_uri,
    tls_client_auth_subject_dn,
    tls_client_auth_san_dns,
    tls_client_auth_san_uri,
    tls_client_auth_san_ip,
    tls_client_auth_san_email,
    spiffe_id,
    federated,
    tls_client_certificate_bound_access_tokens,
    dpop_bound_access_tokens,
    claims,
}

/// What may be left out.
trait Settable {
    fn is_set(&self) -> bool;
}

impl<T> Settable for Option<T> {
    fn is_set(&self) -> bool {
        self.is_some()
    }
}

impl<T> Settable for Vec<T> {
    fn is_set(&self) -> bool {
        !self.is_empty()
    }
}

impl Mask {
    /// All members: what the new registration leaves out is taken away.
    pub fn all() -> Self {
        Self(MEMBERS.to_vec())
    }

    /// The members that a registration sets, for an update without mask.
    pub fn of(registration: &ClientRegistration) -> Self {
        let set = TABLE.iter().filter(|member| (member.is_set)(registration));
        Self(set.map(|member| member.name).collect())
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
            // How protobuf names members that are JSON.
            let name = match name {
                "claims_json" | "jwks_json" => name.trim_end_matches("_json"),
                name => name,
            };
            match MEMBERS.iter().copied().find(|member| *member == name) {
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

    /// Whether it names this member.
    pub fn names(&self, member: &str) -> bool {
        self.0.contains(&member)
    }

    /// Copies the members it names.
    pub(super) fn apply(&self, from: &ClientRegistration, to: &mut ClientRegistration) {
        for member in TABLE.iter().filter(|member| self.names(member.name)) {
            (member.copy)(from, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> ClientRegistration {
        let text = r#"{"client_id":"new","client_name":"n","token_endpoint_auth_method":"client_secret_post",
            "grant_types":[],"scope":"a","audiences":["b"],"access_token_signing_alg":"ES256","access_token_lifetime":60,
            "introspect":"any","enabled":false,"profile":"compat","token_endpoint_auth_signing_alg":["ES256","PS256"],
            "jwks":{"keys":[]},"jwks_uri":"https://a.example","tls_client_auth_subject_dn":"CN=a",
            "tls_client_auth_san_dns":"a.example","tls_client_auth_san_uri":"a:b","tls_client_auth_san_ip":"::1",
            "tls_client_auth_san_email":"a@b.example","spiffe_id":"spiffe://a/b",
            "federated":[{"issuer":"https://a.example","subject":"b"}],
            "tls_client_certificate_bound_access_tokens":true,"dpop_bound_access_tokens":false,"claims":{"x":1}}"#;
        serde_json::from_str(text).unwrap()
    }

    fn json(registration: &ClientRegistration) -> serde_json::Value {
        serde_json::to_value(registration).unwrap()
    }

    #[test]
    fn each_member_moves_alone() {
        for member in MEMBERS.iter().copied() {
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

    // A member that the table lacks could be registered and never changed.
    #[test]
    fn every_member_is_in_the_table() {
        let json = json(&full());
        let registered: Vec<_> =
            json.as_object().unwrap().keys().filter(|name| *name != "client_id").collect();
        assert_eq!(registered.len(), MEMBERS.len());
        assert!(registered.iter().all(|name| MEMBERS.contains(&name.as_str())), "{registered:?}");
    }

    #[test]
    fn protobuf_names_are_known_too() {
        assert_eq!(Mask::parse(["claims_json", "jwks_json"]).unwrap(), Mask(vec!["claims", "jwks"]));
        assert!(Mask::parse(["scope_json"]).is_err());
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
