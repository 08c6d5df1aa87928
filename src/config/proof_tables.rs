//! The tables of the TOML file that are no single settings: `[spiffe.trust_domains."NAME"]` and `[[trusted_issuers]]`.

use std::ops::Range;

use toml::{Spanned, de::DeValue};

use super::{
    document::{Reader, in_order},
    names,
    problem::{NamedFile, Origin},
    proof::{KeysAt, TrustDomain, TrustedIssuer},
};
use crate::{jose::JwsAlgorithm, oauth::client::spiffe};

const TRUST_DOMAIN_MEMBERS: [&str; 3] = ["x509_bundle_file", "jwt_bundle_file", "jwt_bundle_uri"];

const ISSUER_MEMBERS: [&str; 8] =
    ["issuer", "jwks_file", "jwks_uri", "discovery", "audience", "algorithms", "replay", "conditions"];

/// What the tokens of an issuer may be signed with when nothing is said.
const DEFAULT_ALGORITHMS: [JwsAlgorithm; 2] = [JwsAlgorithm::RS256, JwsAlgorithm::ES256];

/// What one of these tables says.
#[derive(Clone, Debug)]
pub(super) struct Located<T> {
    pub(super) value: T,
    /// What problems call it: `trusted_issuers[0]`.
    pub(super) name: String,
}

/// Reads `[spiffe]`.
pub(super) fn read_spiffe(
    reader: &mut Reader<'_>,
    value: &Spanned<DeValue<'_>>,
) -> Vec<Located<TrustDomain>> {
    let mut domains = Vec::new();
    let DeValue::Table(members) = value.get_ref() else {
        reader.report(&value.span(), "spiffe", "is a section; write [spiffe.trust_domains.\"example.org\"]");
        return domains;
    };
    for (name, value) in in_order(members) {
        match (name.get_ref().as_ref(), value.get_ref()) {
            ("trust_domains", DeValue::Table(tables)) => {
                for (domain, table) in in_order(tables) {
                    domains.extend(read_trust_domain(reader, domain.get_ref().as_ref(), table));
                }
            }
            ("trust_domains", _) => reader.report(
                &name.span(),
                "spiffe.trust_domains",
                "holds a table for each trust domain; write [spiffe.trust_domains.\"example.org\"]",
            ),
            (member, _) => reader.report(
                &name.span(),
                format!("spiffe.{member}"),
                "is not known; write [spiffe.trust_domains.\"example.org\"]",
            ),
        }
    }
    domains
}

fn read_trust_domain(
    reader: &mut Reader<'_>,
    name: &str,
    table: &Spanned<DeValue<'_>>,
) -> Option<Located<TrustDomain>> {
    let mut table =
        Table::new(reader, format!("spiffe.trust_domains.{name:?}"), table, &TRUST_DOMAIN_MEMBERS)?;
    if !spiffe::is_trust_domain(name) {
        table.report_all("is no name of a trust domain; use a-z 0-9 . - _, and leave out spiffe://");
    }
    let x509_bundle_file = table.file("x509_bundle_file");
    let file = table.file("jwt_bundle_file").map(KeysAt::File);
    let uri = table.text("jwt_bundle_uri").map(KeysAt::Uri);
    if file.is_some() && uri.is_some() {
        table.report("jwt_bundle_uri", "is set beside jwt_bundle_file; keep one of the two");
    }
    let jwt_bundle = file.or(uri);
    if x509_bundle_file.is_none() && jwt_bundle.is_none() {
        table.report("x509_bundle_file", "is missing; set it, jwt_bundle_file or jwt_bundle_uri");
    }
    let domain = TrustDomain { origin: table.origin(), name: name.to_owned(), x509_bundle_file, jwt_bundle };
    Some(table.located(domain))
}

/// Reads `[[trusted_issuers]]`.
pub(super) fn read_issuers(
    reader: &mut Reader<'_>,
    value: &Spanned<DeValue<'_>>,
) -> Vec<Located<TrustedIssuer>> {
    let DeValue::Array(tables) = value.get_ref() else {
        reader.report(
            &value.span(),
            "trusted_issuers",
            "is a list of tables; begin every issuer with [[trusted_issuers]]",
        );
        return Vec::new();
    };
    let mut issuers: Vec<Located<TrustedIssuer>> = Vec::new();
    for (index, table) in tables.iter().enumerate() {
        let Some(issuer) = read_issuer(reader, index, table) else { continue };
        let url = &issuer.value.issuer;
        if issuers.iter().any(|earlier| earlier.value.issuer == *url) {
            let text = format!("{url:?} is trusted already; keep one table for each issuer");
            reader.report(&table.span(), format!("trusted_issuers[{index}].issuer"), text);
        }
        issuers.push(issuer);
    }
    issuers
}

fn read_issuer(
    reader: &mut Reader<'_>,
    index: usize,
    table: &Spanned<DeValue<'_>>,
) -> Option<Located<TrustedIssuer>> {
    let mut table = Table::new(reader, format!("trusted_issuers[{index}]"), table, &ISSUER_MEMBERS)?;
    let issuer = table.text("issuer");
    if issuer.is_none() {
        table.report("issuer", "is missing; write what `iss` of its tokens says");
    }
    let discovery = table.flag("discovery").unwrap_or_default().then_some(KeysAt::Discovery);
    let file = table.file("jwks_file").map(KeysAt::File);
    let mut places = [file, table.text("jwks_uri").map(KeysAt::Uri), discovery].into_iter().flatten();
    let keys = places.next();
    if keys.is_none() || places.next().is_some() {
        table.report("jwks_uri", "set exactly one of jwks_file, jwks_uri and discovery = true");
    }
    let algorithms = table.algorithms("algorithms").unwrap_or_else(|| DEFAULT_ALGORITHMS.to_vec());
    let uses_jti = match table.text("replay").as_deref() {
        None | Some("jti") => true,
        Some("none") => false,
        Some(_) => {
            table.report("replay", "must be \"jti\" or \"none\"");
            true
        }
    };
    let conditions = table.pairs("conditions");
    if conditions.iter().any(|(path, value)| path.split('.').any(str::is_empty) || value.is_empty()) {
        table.report("conditions", "has an empty name or value; a condition compares a claim with a text");
    }
    let audience = table.text("audience");
    let (origin, issuer, keys) = (table.origin(), issuer?, keys?);
    let issuer = TrustedIssuer { origin, issuer, keys, audience, algorithms, uses_jti, conditions };
    Some(table.located(issuer))
}

/// One table, read member by member.
struct Table<'r, 'a, 'v, 't> {
    reader: &'r mut Reader<'a>,
    name: String,
    members: &'v toml::de::DeTable<'t>,
    span: Range<usize>,
}

impl<'r, 'a, 'v, 't> Table<'r, 'a, 'v, 't> {
    fn new(
        reader: &'r mut Reader<'a>,
        name: String,
        value: &'v Spanned<DeValue<'t>>,
        known: &[&str],
    ) -> Option<Self> {
        let DeValue::Table(members) = value.get_ref() else {
            reader.report(&value.span(), name, "is a table");
            return None;
        };
        for (member, _) in in_order(members) {
            let text = member.get_ref().as_ref();
            if !known.contains(&text) {
                reader.report(&member.span(), format!("{name}.{text}"), names::unknown_member(text, known));
            }
        }
        Some(Self { reader, name, members, span: value.span() })
    }

    fn located<T>(self, value: T) -> Located<T> {
        Located { value, name: self.name }
    }

    fn origin(&self) -> Origin {
        self.reader.origin(&self.span)
    }

    /// Where a member stands; one that is missing, where the table does.
    fn span_of(&self, member: &str) -> Range<usize> {
        self.members.get(member).map_or_else(|| self.span.clone(), Spanned::span)
    }

    /// A problem with the table as a whole.
    fn report_all(&mut self, text: impl Into<String>) {
        self.reader.report(&self.span.clone(), self.name.clone(), text);
    }

    fn report(&mut self, member: &str, text: impl Into<String>) {
        self.reader.report(&self.span_of(member), format!("{}.{member}", self.name), text);
    }

    fn text(&mut self, member: &str) -> Option<String> {
        let value = self.members.get(member)?;
        let text = value.get_ref().as_str().map(str::to_owned).filter(|text| !text.is_empty());
        if text.is_none() {
            self.report(member, "must be text in quotes");
        }
        text
    }

    fn file(&mut self, member: &str) -> Option<NamedFile> {
        let path = self.text(member)?;
        let path = self.reader.resolve(&path);
        let origin = self.reader.origin(&self.span_of(member));
        Some(NamedFile::new(path, format!("{}.{member}", self.name), origin))
    }

    fn flag(&mut self, member: &str) -> Option<bool> {
        match self.members.get(member)?.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            _ => {
                self.report(member, "must be true or false, without quotes");
                None
            }
        }
    }

    fn texts(&mut self, member: &str) -> Option<Vec<String>> {
        let texts = match self.members.get(member)?.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let texts = texts.filter(|texts| !texts.is_empty());
        if texts.is_none() {
            self.report(member, "must be a list of texts in quotes, such as [\"a\", \"b\"]");
        }
        texts
    }

    /// Algorithms whose keys can be public: a key that the issuer shares could sign for it.
    fn algorithms(&mut self, member: &str) -> Option<Vec<JwsAlgorithm>> {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for text in self.texts(member)? {
            match text.parse::<JwsAlgorithm>().ok().filter(|alg| !alg.is_symmetric()) {
                Some(alg) => known.push(alg),
                None => unknown.push(format!("{text:?}")),
            }
        }
        if !unknown.is_empty() {
            let asymmetric: Vec<_> =
                JwsAlgorithm::ALL.iter().filter(|alg| !alg.is_symmetric()).map(|alg| alg.as_str()).collect();
            self.report(member, format!("{}: use some of {}", unknown.join(", "), asymmetric.join(", ")));
        }
        Some(known)
    }

    fn pairs(&mut self, member: &str) -> Vec<(String, String)> {
        let Some(value) = self.members.get(member) else { return Vec::new() };
        let pairs = match value.get_ref() {
            DeValue::Table(pairs) => in_order(pairs)
                .into_iter()
                .map(|(name, value)| Some((name.get_ref().to_string(), value.get_ref().as_str()?.to_owned())))
                .collect::<Option<Vec<_>>>(),
            _ => None,
        };
        pairs.unwrap_or_else(|| {
            self.report(member, "must be a table such as { \"kubernetes.io.namespace\" = \"prod\" }");
            Vec::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::document;

    fn read(text: &str) -> (document::Document, Vec<String>) {
        let mut problems = Vec::new();
        let document = document::read(Path::new("/etc/m.toml"), text, &mut problems);
        (document, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn trust_domains_and_issuers_are_read() {
        let (document, problems) = read(
            "[spiffe.trust_domains.\"example.org\"]\nx509_bundle_file = \"x.pem\"\njwt_bundle_uri = \"https://a.example/b\"\n\
             [[trusted_issuers]]\nissuer = \"https://cluster.example\"\ndiscovery = true\nreplay = \"none\"\n\
             conditions = { \"kubernetes.io.namespace\" = \"prod\" }\n",
        );
        assert_eq!(problems, [""; 0]);
        let domain = &document.trust_domains[0].value;
        assert_eq!(domain.name, "example.org");
        assert_eq!(domain.x509_bundle_file.as_ref().map(|file| &*file.path), Some(Path::new("/etc/x.pem")));
        assert_eq!(domain.jwt_bundle, Some(KeysAt::Uri("https://a.example/b".to_owned())));
        let located = &document.trusted_issuers[0];
        assert_eq!(
            (located.name.as_str(), located.value.origin.to_string().as_str()),
            ("trusted_issuers[0]", "/etc/m.toml:4")
        );
        let issuer = &located.value;
        assert_eq!((issuer.keys.clone(), issuer.uses_jti), (KeysAt::Discovery, false));
        assert_eq!(issuer.algorithms, [JwsAlgorithm::RS256, JwsAlgorithm::ES256]);
        assert_eq!(issuer.conditions, [("kubernetes.io.namespace".to_owned(), "prod".to_owned())]);
    }

    #[test]
    fn what_is_wrong_with_them_is_said_with_its_line() {
        let cases = [
            ("[[trusted_issuers]]\njwks_file = \"a\"", "m.toml:1: trusted_issuers[0].issuer: is missing"),
            ("[[trusted_issuers]]\nissuer = \"a\"", "set exactly one of"),
            (
                "[[trusted_issuers]]\nissuer = \"a\"\njwks_file = \"a\"\njwks_uri = \"b\"",
                "set exactly one of",
            ),
            (
                "[[trusted_issuers]]\nissuer = \"a\"\njwks_file = \"a\"\nreplay = \"x\"",
                "m.toml:4: trusted_issuers[0].replay",
            ),
            (
                "[[trusted_issuers]]\nissuer = \"a\"\njwks_file = \"a\"\njwks_fil = \"x\"",
                "did you mean jwks_file?",
            ),
            (
                "[[trusted_issuers]]\nissuer = \"a\"\njwks_file = \"a\"\nconditions = { a = 1 }",
                "must be a table such as",
            ),
            (
                "[[trusted_issuers]]\nissuer = \"a\"\njwks_file = \"a\"\nconditions = { \"a..b\" = \"c\" }",
                "has an empty name or value",
            ),
            (
                "[[trusted_issuers]]\nissuer = \"a\"\njwks_file = \"a\"\n[[trusted_issuers]]\nissuer = \"a\"\njwks_file = \"b\"",
                "m.toml:4: trusted_issuers[1].issuer: \"a\" is trusted already",
            ),
            // V-15: an issuer's shared key could sign for it
            (
                "[[trusted_issuers]]\nissuer = \"a\"\njwks_file = \"a\"\nalgorithms = [\"HS256\", \"ES256\", \"none\"]",
                "m.toml:4: trusted_issuers[0].algorithms: \"HS256\", \"none\": use some of RS256",
            ),
            (
                "[[trusted_issuers]]\nissuer = \"a\"\njwks_file = \"a\"\nalgorithms = []",
                "must be a list of texts",
            ),
            ("[[trusted_issuers]]\nissuer = 1\njwks_file = \"a\"", "must be text in quotes"),
            ("[[trusted_issuers]]\nissuer = \"a\"\ndiscovery = \"yes\"", "must be true or false"),
            ("trusted_issuers = [1]", "trusted_issuers[0]: is a table"),
            ("trusted_issuers = 1", "begin every issuer with"),
            ("spiffe = 1", "is a section"),
            ("[spiffe]\nx = 1", "spiffe.x: is not known"),
            ("[spiffe]\ntrust_domains = 1", "holds a table for each trust domain"),
            (
                "[spiffe.trust_domains.\"spiffe://a\"]\njwt_bundle_file = \"a\"",
                "is no name of a trust domain",
            ),
            ("[spiffe.trust_domains.a]\n", "is missing"),
            (
                "[spiffe.trust_domains.a]\njwt_bundle_file = \"a\"\njwt_bundle_uri = \"b\"",
                "keep one of the two",
            ),
        ];
        for (text, expected) in cases {
            let problems = read(text).1;
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{text}: {problems:?}");
        }
    }
}
