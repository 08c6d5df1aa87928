//! What `--dev` adds: demonstration clients and secrets, known to everybody who reads this file.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use super::{
    clients::{LocatedRegistration, Place},
    problem::Origin,
};
use crate::{
    oauth::client::registration::{ClientRegistration, RegisteredSecret},
    secret::Secret,
};

/// The HS256 key. Public, like everything here, and long enough for the algorithm (RFC 7518 §3.2).
pub(super) const JWT_SECRET: &str = "mintage-demo-secret-public-do-not-use-in-production";

/// Nothing is left behind.
pub(super) const DATABASE_URL: &str = "sqlite::memory:";

/// `m2m-client`, `m2m-client-hs256` and `resource-server`.
pub(super) fn clients() -> Vec<LocatedRegistration> {
    [
        machine("m2m-client", "RS256", "Machine client"),
        machine("m2m-client-hs256", "HS256", "Machine client (HS256)"),
        resource_server(),
    ]
    .into_iter()
    .map(|registration| LocatedRegistration {
        place: Place {
            name: format!("built-in client {}", registration.client_id),
            origin: Origin::Dev,
            members: BTreeMap::new(),
        },
        registration,
        reported: BTreeSet::new(),
    })
    .collect()
}

fn machine(client_id: &str, alg: &str, name: &str) -> ClientRegistration {
    ClientRegistration {
        client_id: client_id.to_owned(),
        client_name: Some(name.to_owned()),
        secret: Some(RegisteredSecret::Plain(Secret::from("m2m-secret"))),
        scope: Some("read write".to_owned()),
        access_token_signing_alg: Some(alg.to_owned()),
        claims: [
            ("name", name.to_owned()),
            ("email", format!("{client_id}@example.com")),
            ("fhirUser", format!("Practitioner/{client_id}")),
        ]
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), json_text(&text)?)))
        .collect(),
        ..ClientRegistration::default()
    }
}

/// Introspects every token and obtains none.
fn resource_server() -> ClientRegistration {
    ClientRegistration {
        client_id: "resource-server".to_owned(),
        client_name: Some("Resource server".to_owned()),
        secret: Some(RegisteredSecret::Plain(Secret::from("rs-secret"))),
        grant_types: Some(Vec::new()),
        introspect: Some("any".to_owned()),
        ..ClientRegistration::default()
    }
}

fn json_text(text: &str) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_carry_their_claims() {
        let claims: Vec<_> = clients()[1]
            .registration
            .claims
            .iter()
            .map(|(name, value)| format!("{name}={}", value.get()))
            .collect();
        assert_eq!(
            claims,
            [
                "name=\"Machine client (HS256)\"",
                "email=\"m2m-client-hs256@example.com\"",
                "fhirUser=\"Practitioner/m2m-client-hs256\""
            ]
        );
    }

    // CHK-77
    #[test]
    fn the_demonstration_key_is_long_enough() {
        assert!(JWT_SECRET.len() >= 32);
    }
}
