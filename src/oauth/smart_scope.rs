//! Scopes for FHIR resources of backend services (SMART App Launch 2.2, "Scopes for requesting FHIR Resources"): `system/`,
//! in the grammar of version 2 (`system/Observation.rs?category=laboratory`) and of version 1 (`system/Observation.read`).
//!
//! They are sets of rights, so that asking for a part of what is registered is asking within it, however either is written:
//! `system/Patient.r` and `system/Patient.read` are within `system/*.cruds`. What is granted is what was asked, as it was
//! asked: the resource server reads the same grammar. A text outside the grammar is a scope-token like any other, equal to
//! itself alone.

use std::collections::BTreeSet;

use super::scope::Scope;
use crate::form_encoding;

/// The rights of version 2 in the order they must be written: create, read, update, delete, search.
const INTERACTIONS: [u8; 5] = *b"cruds";

/// Parameters of a search that begin with an underscore and make its result smaller (FHIR R4, Search). Others, such as
/// `_include`, add to it or lay it out: a scope with one of those would not be smaller than one without.
const RESTRICTING: [&str; 12] = [
    "_content",
    "_filter",
    "_has",
    "_id",
    "_language",
    "_lastUpdated",
    "_list",
    "_profile",
    "_security",
    "_source",
    "_tag",
    "_text",
];

/// A `system/` scope.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SystemScope<'a> {
    /// The type of resource; `None` for all (`*`).
    resource: Option<&'a str>,
    /// A bit for each of [`INTERACTIONS`].
    interactions: u8,
    /// The search that a resource must be found by, as name and value; empty for no restriction. All of them must fit, so
    /// that more of them are fewer resources.
    restriction: BTreeSet<(String, String)>,
}

impl<'a> SystemScope<'a> {
    /// Reads a scope-token; `None` when it is outside the grammar.
    fn parse(token: &'a str) -> Option<Self> {
        let rest = token.strip_prefix("system/")?;
        let (rights, query) =
            rest.split_once('?').map_or((rest, None), |(rights, query)| (rights, Some(query)));
        let (resource, letters) = rights.split_once('.')?;
        let resource = match resource {
            "*" => None,
            name if is_type_name(name) => Some(name),
            _ => return None,
        };
        let of_version_1 = match letters {
            "read" => Some(interactions("rs")?),
            "write" => Some(interactions("cud")?),
            "*" => Some(interactions("cruds")?),
            _ => None,
        };
        match (of_version_1, query) {
            (Some(interactions), None) => Some(Self { resource, interactions, restriction: BTreeSet::new() }),
            // Version 1 has no restrictions.
            (Some(_), Some(_)) => None,
            (None, query) => {
                let restriction = query.map_or_else(|| Some(BTreeSet::new()), restriction)?;
                Some(Self { resource, interactions: interactions(letters)?, restriction })
            }
        }
    }

    /// Which of the rights of `asked` this one gives: those both have, when it is for the same resources and restricted by
    /// nothing that `asked` is not restricted by.
    fn gives(&self, asked: &Self) -> u8 {
        let covers_type = self.resource.is_none() || self.resource == asked.resource;
        if covers_type && self.restriction.is_subset(&asked.restriction) {
            self.interactions & asked.interactions
        } else {
            0
        }
    }
}

/// A FHIR type name, such as `Observation`. Which of them exist is the resource server's matter.
fn is_type_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Each letter once, in order, and at least one.
fn interactions(letters: &str) -> Option<u8> {
    let mut read = 0_u8;
    for letter in letters.bytes() {
        let place = INTERACTIONS.iter().position(|known| *known == letter)?;
        // A letter that comes late or twice would be at or below one that is there.
        if read >> place != 0 {
            return None;
        }
        read |= 1 << place;
    }
    (read != 0).then_some(read)
}

/// The parameters of a search, decoded, so that two spellings of one search are one.
fn restriction(query: &str) -> Option<BTreeSet<(String, String)>> {
    query
        .split('&')
        .map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let (name, value) = (form_encoding::decode(name).ok()?, form_encoding::decode(value).ok()?);
            // A modifier (`code:in`) or a chain (`_has:...`) comes behind the name.
            let bare = name.split([':', '.']).next().unwrap_or_default();
            let restricts = !bare.is_empty() && (!bare.starts_with('_') || RESTRICTING.contains(&bare));
            (restricts && !value.is_empty()).then_some((name, value))
        })
        .collect()
}

/// The first token of `asked` that `registered` does not cover.
pub(super) fn first_outside<'a>(asked: &'a Scope, registered: &Scope) -> Option<&'a str> {
    let rights: Vec<SystemScope<'_>> = registered.tokens().filter_map(SystemScope::parse).collect();
    asked.tokens().find(|token| !registered.contains(token) && !is_within(token, &rights))
}

/// Several scopes may give one part each.
fn is_within(token: &str, rights: &[SystemScope<'_>]) -> bool {
    SystemScope::parse(token).is_some_and(|asked| {
        let given = rights.iter().fold(0, |given, right| given | right.gives(&asked));
        given == asked.interactions
    })
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::subsequence};

    use super::*;

    fn scope(text: &str) -> Scope {
        Scope::parse(text).unwrap()
    }

    fn covers(registered: &str, asked: &str) -> bool {
        first_outside(&scope(asked), &scope(registered)).is_none()
    }

    #[test]
    fn a_part_of_what_is_registered_is_covered() {
        for (registered, asked) in [
            ("system/Observation.cruds", "system/Observation.rs"),
            ("system/Observation.rs", "system/Observation.read"),
            ("system/Observation.read", "system/Observation.rs system/Observation.r system/Observation.s"),
            ("system/Observation.write", "system/Observation.cud"),
            ("system/Observation.*", "system/Observation.cruds system/Observation.read"),
            ("system/*.read", "system/*.rs system/Patient.r"),
            ("system/*.*", "system/*.cruds system/Patient.write"),
            // Two that together give what is asked.
            ("system/Patient.r system/*.s", "system/Patient.rs"),
            // The same restriction, or more of it.
            ("system/Observation.rs?category=laboratory", "system/Observation.rs?category=laboratory"),
            (
                "system/Observation.rs?category=laboratory",
                "system/Observation.r?status=final&category=laboratory",
            ),
            ("system/Observation.rs?a=x%7Cy&b=1", "system/Observation.rs?b=1&a=x|y"),
            ("system/Observation.rs", "system/Observation.rs?category=laboratory"),
            ("system/Observation.rs", "system/Observation.rs?_tag=a&_has:Group:member:_id=1"),
            ("system/*.rs?_security=R", "system/Observation.rs?_security=R"),
            // What is no scope of the grammar is itself.
            ("custom system/odd", "custom"),
            ("custom system/odd", "system/odd"),
            ("user/Patient.read", "user/Patient.read"),
        ] {
            assert!(covers(registered, asked), "{registered} -> {asked}");
        }
    }

    #[test]
    fn what_is_more_or_something_else_is_not() {
        for (registered, asked) in [
            ("system/Observation.rs", "system/Observation.cruds"),
            ("system/Observation.read", "system/Observation.write"),
            ("system/Observation.r", "system/Observation.read"),
            ("system/Observation.rs", "system/Patient.rs"),
            ("system/Observation.cruds system/Patient.cruds", "system/*.r"),
            ("system/Observation.rs?category=laboratory", "system/Observation.rs"),
            ("system/Observation.rs?category=laboratory", "system/Observation.rs?category=vital-signs"),
            (
                "system/Observation.rs?category=laboratory",
                "system/Observation.rs?category=laboratory,vital-signs",
            ),
            ("system/Observation.rs?category=laboratory", "system/*.rs?category=laboratory"),
            // Two restricted ones are not an unrestricted one, and give only what each gives.
            ("system/Observation.r?a=1 system/Observation.s?b=1", "system/Observation.rs?a=1"),
            ("system/Observation.rs?a=1 system/Observation.rs?b=1", "system/Observation.rs"),
            // Not smaller, whatever it looks like.
            ("system/Observation.rs", "system/Observation.rs?_include=Observation:subject"),
            ("system/Observation.rs", "system/Observation.rs?_count=1"),
            // Another context.
            ("system/*.cruds", "user/Patient.r"),
            ("system/*.cruds", "patient/Patient.r"),
            ("user/*.cruds", "system/Patient.r"),
            ("user/*.cruds", "user/Patient.r"),
            ("custom", "system/Patient.r"),
            ("system/*.cruds", "custom"),
        ] {
            assert!(!covers(registered, asked), "{registered} -> {asked}");
        }
    }

    #[test]
    fn what_the_grammar_excludes_is_covered_by_nothing_else() {
        for token in [
            "system/Observation.",
            "system/Observation.sr",
            "system/Observation.rr",
            "system/Observation.x",
            "system/Observation.R",
            "system/Observation.readwrite",
            "system/Observation.reads",
            "system/Observation",
            "system/.rs",
            "system/observation.rs",
            "system/Obs-ervation.rs",
            "system/Obs*.rs",
            "system/**.rs",
            "system/Observation.rs?",
            "system/Observation.rs?category",
            "system/Observation.rs?category=",
            "system/Observation.rs?=x",
            "system/Observation.rs?a=1&",
            "system/Observation.rs?a=%zz",
            "system/Observation.read?category=laboratory",
            "system/Observation.*?category=laboratory",
            "system/Observation.rs?_unknown=1",
            "System/Observation.rs",
            "system//Observation.rs",
            "system/Observation.rs.rs",
            "system/Observation.rs/x",
        ] {
            assert!(SystemScope::parse(token).is_none(), "{token}");
            assert!(!covers("system/*.cruds system/Observation.cruds", token), "{token}");
        }
    }

    /// What a scope-token means, told in another way: which rights of which resources found by which searches it names.
    fn grants(token: &str) -> BTreeSet<(String, char, BTreeSet<String>)> {
        let rest = token.strip_prefix("system/").unwrap();
        let (rights, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (resource, letters) = rights.split_once('.').unwrap();
        let letters = match letters {
            "read" => "rs",
            "write" => "cud",
            "*" => "cruds",
            letters => letters,
        };
        let required: BTreeSet<&str> = query.split('&').filter(|part| !part.is_empty()).collect();
        let mut all = BTreeSet::new();
        for name in ["A", "B", "C"].into_iter().filter(|name| resource == "*" || resource == *name) {
            for letter in letters.chars() {
                // A resource is told apart by the searches that find it.
                for found_by in 0..8 {
                    let found: BTreeSet<&str> = PARAMETERS
                        .into_iter()
                        .enumerate()
                        .filter(|(n, _)| found_by >> n & 1 == 1)
                        .map(|(_, p)| p)
                        .collect();
                    if required.is_subset(&found) {
                        let found = found.iter().map(|part| (*part).to_owned()).collect();
                        all.insert((name.to_owned(), letter, found));
                    }
                }
            }
        }
        all
    }

    const PARAMETERS: [&str; 3] = ["a=1", "b=1", "c=1"];

    prop_compose! {
        fn version_2()(
            resource in prop::sample::select(vec!["A", "B", "*"]),
            letters in subsequence(vec!['c', 'r', 'u', 'd', 's'], 1..=5),
            parameters in subsequence(PARAMETERS.to_vec(), 0..=3).prop_shuffle(),
        ) -> String {
            let query = if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
            format!("system/{resource}.{}{query}", letters.iter().collect::<String>())
        }
    }

    prop_compose! {
        fn version_1()(
            resource in prop::sample::select(vec!["A", "B", "*"]),
            right in prop::sample::select(vec!["read", "write", "*"]),
        ) -> String {
            format!("system/{resource}.{right}")
        }
    }

    fn any_scope() -> impl Strategy<Value = String> {
        prop_oneof![3 => version_2(), 1 => version_1()]
    }

    proptest! {
        /// Nothing is covered that the registered scopes do not grant.
        #[test]
        fn nothing_more_than_is_registered(
            registered in prop::collection::vec(any_scope(), 0..4),
            asked in any_scope(),
        ) {
            if !registered.is_empty() && covers(&registered.join(" "), &asked) {
                let all: BTreeSet<_> = registered.iter().flat_map(|token| grants(token)).collect();
                prop_assert!(grants(&asked).is_subset(&all));
            }
        }

        /// And with one registered scope everything is that it grants.
        #[test]
        fn nothing_less_than_is_registered(registered in any_scope(), asked in any_scope()) {
            let within = grants(&asked).is_subset(&grants(&registered));
            // That A, B and C are all there are is known to this test alone.
            if !asked.starts_with("system/*") || registered.starts_with("system/*") {
                prop_assert_eq!(covers(&registered, &asked), within, "{} -> {}", registered, asked);
            }
        }

        #[test]
        fn any_token_is_read_or_refused(token in "system/[A-Za-z*.?&=%_:,|]{0,40}") {
            let _ = SystemScope::parse(&token);
        }
    }
}
