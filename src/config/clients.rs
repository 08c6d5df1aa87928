//! The configured clients: registrations with the lines they stand on, checked all together.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    client_table::SECRET_MEMBERS,
    problem::{ConfigErrors, Origin, Problem},
    provided::Provided,
};
use crate::{
    jose::SigningAlgorithm,
    oauth::client::{
        Client, SecretForm, SecretHash,
        registration::{ClientRegistration, RegistrationDefaults},
    },
    secret::Secret,
};

/// Where a registration stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// What problems call it: `clients[0]`.
    pub(super) name: String,
    /// Where it begins.
    pub(super) origin: Origin,
    /// Where each member stands.
    pub(super) members: BTreeMap<&'static str, Origin>,
}

/// An unchecked registration and its place.
#[derive(Clone, Debug)]
pub(super) struct LocatedRegistration {
    pub(super) registration: ClientRegistration,
    pub(super) place: Place,
    /// Members whose problems are known already; what the check says about them would only follow from that.
    pub(super) reported: BTreeSet<&'static str>,
}

impl LocatedRegistration {
    fn problem(&self, member: &str, text: impl Into<String>) -> Problem {
        let given_as = if member == SECRET_MEMBERS[0] {
            SECRET_MEMBERS.into_iter().find(|name| self.place.members.contains_key(name)).unwrap_or(member)
        } else {
            member
        };
        let origin = self.place.members.get(given_as).unwrap_or(&self.place.origin);
        Problem::new(origin.clone(), format!("{}.{given_as}", self.place.name), text)
    }
}

/// Checks every registration, with `keep` for plain secrets. `jwt_secret` tells whether HS256 has a key, `provided` what
/// else the settings provide.
///
/// # Errors
/// All problems of all clients, each with its line; a `client_id` that appears twice names both places.
pub(super) fn check(
    clients: &[LocatedRegistration],
    defaults: &RegistrationDefaults,
    jwt_secret: bool,
    provided: Provided<'_>,
    mut keep: impl FnMut(&Secret<String>, SecretForm) -> Result<SecretHash, String>,
) -> Result<Vec<Client>, ConfigErrors> {
    let mut problems = duplicates(clients);
    let mut checked = Vec::with_capacity(clients.len());
    for client in clients {
        match client.registration.clone().check(defaults, &mut keep) {
            Ok(registered) => {
                let obstacle = provided.methods.obstacle(&registered);
                problems.extend(obstacle.map(|(member, text)| client.problem(member, text)));
                checked.push(registered);
            }
            Err(invalid) => problems.extend(
                invalid
                    .into_iter()
                    .filter(|invalid| !client.reported.contains(invalid.member))
                    .map(|invalid| client.problem(invalid.member, invalid.problem)),
            ),
        }
        let missing = provided.missing(&client.registration);
        problems.extend(missing.into_iter().map(|(member, text)| client.problem(member, text)));
        let alg = client.registration.access_token_signing_alg.as_deref();
        if !jwt_secret && alg == Some(SigningAlgorithm::HS256.as_str()) {
            let text =
                "HS256 needs a key; set JWT_SECRET to at least 32 random bytes, or choose another algorithm";
            problems.push(client.problem("access_token_signing_alg", text));
        }
    }
    ConfigErrors::unless_empty(problems)?;
    Ok(checked)
}

fn duplicates(clients: &[LocatedRegistration]) -> Vec<Problem> {
    let mut first: BTreeMap<&str, &LocatedRegistration> = BTreeMap::new();
    let mut problems = Vec::new();
    for client in clients.iter().filter(|client| !client.reported.contains("client_id")) {
        let client_id = client.registration.client_id.as_str();
        match first.get(client_id) {
            None => {
                first.insert(client_id, client);
            }
            Some(earlier) if earlier.place.origin == Origin::Dev => {
                let text = format!(
                    "{client_id:?} is a built-in client of --dev; choose another client_id, or leave out --dev"
                );
                problems.push(client.problem("client_id", text));
            }
            Some(earlier) => {
                let text = format!(
                    "{client_id:?} is the client of {} already; remove one of the two",
                    earlier.place.origin
                );
                problems.push(client.problem("client_id", text));
            }
        }
    }
    problems
}
