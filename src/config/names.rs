//! What to say about a name that is not a setting. It is refused, never ignored: who writes `limits.clients_rate` must not
//! end up with a server that limits nobody.

use super::setting::{SETTINGS, Setting, environment_name};

/// Tables of the TOML file that are no settings, and how each begins.
const TABLES: [(&str, &str); 3] = [
    ("clients", "[[clients]]"),
    ("spiffe", "[spiffe.trust_domains.\"example.org\"]"),
    ("trusted_issuers", "[[trusted_issuers]]"),
];

/// What helps when nothing resembles a name. `mintage config show` does not: it shows a configuration that is sound.
const SETTINGS_ARE_LISTED: &str = "the README lists every setting under Settings";

/// The sentence about a TOML key or section that is not in [`SETTINGS`].
pub(super) fn unknown_key(key: &str) -> String {
    let known = SETTINGS.iter().flat_map(|setting| [Some(setting.key), section(setting.key)]).flatten();
    let known = known.chain(TABLES.map(|(name, _)| name));
    not_known(key, known, SETTINGS_ARE_LISTED)
}

/// The sentence about an environment variable `MINTAGE_...` that names no setting.
pub(super) fn unknown_variable(variable: &str) -> String {
    let is_table = |(name, _): &&(&str, &str)| is_or_is_under(variable, &environment_name(name), '_');
    if let Some((_, header)) = TABLES.iter().find(is_table) {
        return format!("is a table of the TOML file and has no variable; write {header} there");
    }
    let known: Vec<String> =
        SETTINGS.iter().map(Setting::environment).chain(["MINTAGE_CONFIG".to_owned()]).collect();
    not_known(variable, known.iter().map(String::as_str), SETTINGS_ARE_LISTED)
}

/// The sentence about a member of a table that is none of `known`.
pub(super) fn unknown_member(member: &str, known: &[&str]) -> String {
    not_known(member, known.iter().copied(), &format!("write one of {}", known.join(", ")))
}

fn not_known<'a>(name: &str, known: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    // Beyond a third of the letters a resemblance is chance; a bad suggestion misleads more than none.
    let nearest = known
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3))
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((_, candidate)) => format!("is not known; did you mean {candidate}?"),
        None => format!("is not known; {otherwise}"),
    }
}

/// Whether `name` is `parent` itself or continues it after `separator`.
fn is_or_is_under(name: &str, parent: &str, separator: char) -> bool {
    name.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with(separator))
}

fn section(key: &'static str) -> Option<&'static str> {
    key.split_once('.').map(|(section, _)| section)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_gets_the_nearest_name() {
        for (slip, name) in [
            ("isuer", "issuer"),
            ("token", "tokens"),
            ("tokens.default_lifetme", "tokens.default_lifetime"),
            ("client", "clients"),
            ("trusted_isuers", "trusted_issuers"),
            ("spife", "spiffe"),
        ] {
            assert_eq!(unknown_key(slip), format!("is not known; did you mean {name}?"));
        }
        assert_eq!(unknown_variable("MINTAGE_LISTN"), "is not known; did you mean MINTAGE_LISTEN?");
        assert_eq!(unknown_member("scopes", &["scope", "enabled"]), "is not known; did you mean scope?");
    }

    #[test]
    fn what_resembles_nothing_gets_no_suggestion() {
        for sentence in [unknown_key("zebra"), unknown_variable("MINTAGE_ZEBRA_ZEBRA_ZEBRA")] {
            assert_eq!(sentence, "is not known; the README lists every setting under Settings");
        }
        assert_eq!(
            unknown_member("zebra", &["scope", "enabled"]),
            "is not known; write one of scope, enabled"
        );
    }

    #[test]
    fn tables_have_no_variable() {
        for variable in ["MINTAGE_CLIENTS", "MINTAGE_SPIFFE_TRUST_DOMAINS", "MINTAGE_TRUSTED_ISSUERS"] {
            assert!(unknown_variable(variable).starts_with("is a table of the TOML file"), "{variable}");
        }
        assert!(unknown_variable("MINTAGE_CLIENTSX").starts_with("is not known"));
    }
}
