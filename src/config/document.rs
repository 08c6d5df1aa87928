//! The TOML file as settings and client registrations (TOML 1.0), every problem with its line.
//!
//! The file is walked by hand rather than deserialised: deserialising stops at the first error, loses the lines and
//! rounds numbers.

use std::{ops::Range, path::Path};

use toml::{
    Spanned,
    de::{DeInteger, DeString, DeTable, DeValue},
};

use super::{
    client_table,
    clients::LocatedRegistration,
    names,
    problem::{Origin, Problem},
    proof::{TrustDomain, TrustedIssuer},
    proof_tables::{self, Located},
    setting::{self, Kind, SETTINGS, Setting},
};
use crate::secret::Secret;

/// The largest file that is read, in bytes.
pub(super) const MAX_LENGTH: u64 = 16 * 1024 * 1024;

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// The settings it gives, as text, with where each stands.
    pub(super) values: Vec<(&'static Setting, Secret<String>, Origin)>,
    /// Its clients, in order.
    pub(super) clients: Vec<LocatedRegistration>,
    /// `[spiffe.trust_domains]`
    pub(super) trust_domains: Vec<Located<TrustDomain>>,
    /// `[[trusted_issuers]]`
    pub(super) trusted_issuers: Vec<Located<TrustedIssuer>>,
    /// Whether the text is TOML at all. When not, what seems missing may only be unreadable.
    pub(super) is_toml: bool,
}

/// Reads the text of a file. `path` names it in problems, and relative paths in it start from its directory.
pub(super) fn read(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Document {
    let mut reader = Reader { path, line_starts: line_starts(text), problems };
    let (table, syntax_errors) = DeTable::parse_recoverable(text);
    let mut document = Document { is_toml: syntax_errors.is_empty(), ..Document::default() };
    for error in syntax_errors {
        // The message alone: the full error quotes the line, which may hold a secret.
        let text = format!("{}; correct the TOML syntax here", error.message());
        reader.report(&error.span().unwrap_or_default(), "", text);
    }
    for (key, value) in in_order(table.get_ref()) {
        read_entry(&mut reader, key, value, &mut document);
    }
    document
}

fn read_entry(
    reader: &mut Reader<'_>,
    key: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    document: &mut Document,
) {
    let name = key.get_ref().as_ref();
    match (name, value.get_ref()) {
        ("clients", DeValue::Array(tables)) => {
            for (index, table) in tables.iter().enumerate() {
                document.clients.extend(client_table::read(reader, index, table));
            }
        }
        ("clients", _) => {
            reader.report(&key.span(), name, "is a list of tables; begin every client with [[clients]]");
        }
        ("spiffe", _) => document.trust_domains = proof_tables::read_spiffe(reader, value),
        ("trusted_issuers", _) => document.trusted_issuers = proof_tables::read_issuers(reader, value),
        (section, DeValue::Table(members)) if is_section(section) => {
            for (member, value) in in_order(members) {
                let name = format!("{section}.{}", member.get_ref());
                read_setting(reader, &name, &member.span(), value, document);
            }
        }
        (section, _) if is_section(section) => {
            reader.report(
                &key.span(),
                name,
                format!("is a section; write [{section}] and its settings below"),
            );
        }
        _ => read_setting(reader, name, &key.span(), value, document),
    }
}

fn read_setting(
    reader: &mut Reader<'_>,
    name: &str,
    span: &Range<usize>,
    value: &Spanned<DeValue<'_>>,
    document: &mut Document,
) {
    let Some(setting) = setting::find(name) else {
        return reader.report(span, name, names::unknown_key(name));
    };
    let text = match (setting.kind, value.get_ref()) {
        (Kind::Number, DeValue::Integer(number)) => integer(number),
        (Kind::Boolean, DeValue::Boolean(value)) => Some(value.to_string()),
        (Kind::Texts, DeValue::Array(items)) => items
            .iter()
            .map(|item| item.get_ref().as_str())
            .collect::<Option<Vec<_>>>()
            .map(|texts| texts.join(",")),
        (Kind::Number | Kind::Boolean | Kind::Texts, _) => None,
        (Kind::Path, DeValue::String(path)) => Some(reader.resolve(path)),
        (Kind::Database, DeValue::String(url)) => Some(match url.strip_prefix("sqlite://") {
            Some(path) if !path.is_empty() => format!("sqlite://{}", reader.resolve(path)),
            _ => url.clone().into_owned(),
        }),
        (_, DeValue::String(text)) => Some(text.clone().into_owned()),
        _ => None,
    };
    match text {
        Some(text) => document.values.push((setting, Secret::new(text), reader.origin(span))),
        None => reader.report(span, name, format!("must be {}", setting.kind.describe())),
    }
}

fn is_section(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key.split_once('.').is_some_and(|(section, _)| section == name))
}

/// Decimal digits of a number that fits 64 bits.
fn integer(number: &DeInteger<'_>) -> Option<String> {
    u64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
}

/// The members of a table as the file orders them.
pub(super) fn in_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut members: Vec<_> = table.iter().collect();
    members.sort_by_key(|(key, _)| key.span().start);
    members
}

/// Knows the file and collects what is wrong with it.
pub(super) struct Reader<'a> {
    path: &'a Path,
    line_starts: Vec<usize>,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    /// Adds a problem at the line where `span` begins.
    pub(super) fn report(&mut self, span: &Range<usize>, name: impl Into<String>, text: impl Into<String>) {
        self.problems.push(Problem::new(self.origin(span), name, text));
    }

    /// The place where `span` begins.
    pub(super) fn origin(&self, span: &Range<usize>) -> Origin {
        let line = self.line_starts.partition_point(|start| *start <= span.start);
        Origin::File { path: self.path.to_owned(), line }
    }

    /// A path in the file: a relative one starts from the directory of the file, so that it does not matter where the
    /// server is started. The word `auto-gen` is no path.
    pub(super) fn resolve(&self, path: &str) -> String {
        let directory = self.path.parent().unwrap_or(Path::new(""));
        match directory.join(path).to_str() {
            Some(resolved) if path != super::check::AUTO_GENERATE => resolved.to_owned(),
            _ => path.to_owned(),
        }
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(index, _)| index + 1)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        read(Path::new("m.toml"), text, &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn values_carry_their_lines() {
        let mut problems = Vec::new();
        let text = "# comment\nissuer = \"https://a.example\"\n\n[limits]\nmax_connections = 1_000\n[reflection]\nenabled = true\n";
        let document = read(Path::new("m.toml"), text, &mut problems);
        let values: Vec<_> = document
            .values
            .iter()
            .map(|(setting, text, origin)| format!("{origin} {}={}", setting.key, text.expose()))
            .collect();
        assert_eq!(problems, []);
        assert_eq!(
            values,
            [
                "m.toml:2 issuer=https://a.example",
                "m.toml:5 limits.max_connections=1000",
                "m.toml:7 reflection.enabled=true"
            ]
        );
    }

    #[test]
    fn relative_paths_start_at_the_file() {
        for (written, read_as) in
            [("k.pem", "/etc/mintage/k.pem"), ("/k.pem", "/k.pem"), ("auto-gen", "auto-gen")]
        {
            let text = format!("rs256_private_key_path = \"{written}\"");
            let document = read(Path::new("/etc/mintage/m.toml"), &text, &mut Vec::new());
            assert_eq!(document.values[0].1.expose(), read_as);
        }
    }

    #[test]
    fn unknown_and_mistyped_settings_are_refused_together() {
        let text = "isuer = \"x\"\nlisten = 8000\n[limits]\nqueue_wait = 1\n[tokens]\ndefault_lifetime = 3600\nlifetime = \"1h\"\n[dpop]\nmax_age = 1\n";
        let expected = [
            "m.toml:1: isuer: is not known; did you mean issuer?",
            "m.toml:2: listen: must be an address with a port in quotes, such as \"127.0.0.1:8000\"",
            "m.toml:4: limits.queue_wait: must be a duration in quotes: a number and ms, s, m, h or d, such as \"30s\"",
            "m.toml:6: tokens.default_lifetime: must be a duration in quotes: a number and ms, s, m, h or d, such as \"30s\"",
            "m.toml:7: tokens.lifetime: is not known; did you mean tokens.max_lifetime?",
            "m.toml:9: dpop.max_age: must be a duration in quotes: a number and ms, s, m, h or d, such as \"30s\"",
        ];
        assert_eq!(problems(text), expected);
    }

    #[test]
    fn sections_and_clients_have_their_form() {
        assert_eq!(
            problems("tokens = 1"),
            ["m.toml:1: tokens: is a section; write [tokens] and its settings below"]
        );
        assert_eq!(
            problems("[clients]"),
            ["m.toml:1: clients: is a list of tables; begin every client with [[clients]]"]
        );
    }

    #[test]
    fn syntax_errors_have_lines_and_quote_nothing() {
        let found = problems(
            "issuer = \"https://a.example\"\njwt_secret = \"canary-7c1f\nlisten = \"x\" \"canary-7c1f\"\n",
        );
        assert!(found.iter().any(|problem| problem.starts_with("m.toml:2: ")), "{found:?}");
        assert!(!found.concat().contains("canary"), "{found:?}"); // V-71
    }

    #[test]
    fn depth_is_bounded() {
        let dotted = format!("claims.{}a = 1", "a.".repeat(100_000));
        let nested = format!("a = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(!problems(&dotted).is_empty());
        assert!(!problems(&nested).is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
            problems(&text);
        }

        #[test]
        fn any_toml_like_text_is_read_or_refused(
            lines in prop::collection::vec("(\\[{0,2}(clients|tokens|claims|a)\\]{0,2}|(client_id|scope|claims|issuer|listen|audiences)( = |\\.)(\"a\"|1|\\{ ?b = 1|\\[1, |nan|''')?)", 0..12)
        ) {
            problems(&lines.join("\n"));
        }
    }
}
