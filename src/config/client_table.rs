//! One `[[clients]]` table as a registration (RFC 7591 §2 member names): types here, values in
//! [`ClientRegistration::check`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    ops::Range,
};

use serde_json::value::RawValue;
use toml::{Spanned, de::DeValue};
use zeroize::Zeroizing;

use super::{
    clients::{LocatedRegistration, Place},
    document::{Reader, in_order},
    duration, json, names,
    problem::Origin,
};
use crate::{
    oauth::client::{
        FederatedSubject,
        registration::{ClientRegistration, RegisteredSecret},
    },
    secret::Secret,
};

/// Every member of a client that this version has.
const MEMBERS: [&str; 27] = [
    "client_id",
    "client_name",
    "client_secret",
    "client_secret_file",
    "client_secret_hash",
    "token_endpoint_auth_method",
    "grant_types",
    "scope",
    "audiences",
    "access_token_signing_alg",
    "access_token_lifetime",
    "introspect",
    "enabled",
    "profile",
    "token_endpoint_auth_signing_alg",
    "jwks",
    "jwks_uri",
    "tls_client_auth_subject_dn",
    "tls_client_auth_san_dns",
    "tls_client_auth_san_uri",
    "tls_client_auth_san_ip",
    "tls_client_auth_san_email",
    "spiffe_id",
    "federated",
    "tls_client_certificate_bound_access_tokens",
    "dpop_bound_access_tokens",
    "claims",
];

/// The three ways to give a secret. The check knows it by the first name.
pub(super) const SECRET_MEMBERS: [&str; 3] = ["client_secret", "client_secret_file", "client_secret_hash"];

/// A secret has at most 1024 characters; one byte more than that and its newline shows that a file holds something else.
const MAX_SECRET_FILE: u64 = 1024 + 3;

/// Reads client number `index`. `None` when it is no table.
pub(super) fn read(
    reader: &mut Reader<'_>,
    index: usize,
    table: &Spanned<DeValue<'_>>,
) -> Option<LocatedRegistration> {
    let DeValue::Table(members) = table.get_ref() else {
        reader.report(
            &table.span(),
            format!("clients[{index}]"),
            "is a table; begin every client with [[clients]]",
        );
        return None;
    };
    let mut client = ClientReader {
        reader,
        index,
        registration: ClientRegistration::default(),
        secret_member: None,
        lines: BTreeMap::new(),
        reported: BTreeSet::new(),
    };
    for (key, value) in in_order(members) {
        client.read_member(key.get_ref(), &key.span(), value);
    }
    if !client.lines.contains_key("client_id") {
        client.report("client_id", &table.span(), "is missing; every client needs one");
    }
    let table = client.reader.origin(&table.span());
    let place = Place { name: format!("clients[{index}]"), origin: table, members: client.lines };
    Some(LocatedRegistration { registration: client.registration, place, reported: client.reported })
}

/// Reads one client member by member.
struct ClientReader<'r, 'a> {
    reader: &'r mut Reader<'a>,
    index: usize,
    registration: ClientRegistration,
    /// The member that gave the secret.
    secret_member: Option<&'static str>,
    lines: BTreeMap<&'static str, Origin>,
    reported: BTreeSet<&'static str>,
}

impl ClientReader<'_, '_> {
    fn read_member(&mut self, name: &str, span: &Range<usize>, value: &Spanned<DeValue<'_>>) {
        let Some(member) = MEMBERS.into_iter().find(|member| *member == name) else {
            let text = names::unknown_member(name, &MEMBERS);
            return self.reader.report(span, format!("clients[{}].{name}", self.index), text);
        };
        self.lines.insert(member, self.reader.origin(span));
        match member {
            "client_id" => self.registration.client_id = self.text(member, span, value).unwrap_or_default(),
            "client_name" => self.registration.client_name = self.text(member, span, value),
            "client_secret" | "client_secret_file" | "client_secret_hash" => {
                self.read_secret(member, span, value);
            }
            "token_endpoint_auth_method" => {
                self.registration.token_endpoint_auth_method = self.text(member, span, value);
            }
            "grant_types" => self.registration.grant_types = self.texts(member, span, value),
            "scope" => self.registration.scope = self.text(member, span, value),
            "audiences" => self.registration.audiences = self.texts(member, span, value),
            "access_token_signing_alg" => {
                self.registration.access_token_signing_alg = self.text(member, span, value);
            }
            "access_token_lifetime" => self.read_lifetime(member, span, value),
            "introspect" => self.registration.introspect = self.text(member, span, value),
            "enabled" => self.registration.enabled = self.flag(member, span, value),
            "profile" => self.registration.profile = self.text(member, span, value),
            "token_endpoint_auth_signing_alg" => self.read_algorithms(member, span, value),
            "jwks" => self.registration.jwks = self.json(member, span, value),
            "jwks_uri" => self.registration.jwks_uri = self.text(member, span, value),
            "tls_client_auth_subject_dn" => {
                self.registration.tls_client_auth_subject_dn = self.text(member, span, value);
            }
            "tls_client_auth_san_dns" => {
                self.registration.tls_client_auth_san_dns = self.text(member, span, value);
            }
            "tls_client_auth_san_uri" => {
                self.registration.tls_client_auth_san_uri = self.text(member, span, value);
            }
            "tls_client_auth_san_ip" => {
                self.registration.tls_client_auth_san_ip = self.text(member, span, value);
            }
            "tls_client_auth_san_email" => {
                self.registration.tls_client_auth_san_email = self.text(member, span, value);
            }
            "spiffe_id" => self.registration.spiffe_id = self.text(member, span, value),
            "federated" => self.read_federated(member, span, value),
            "tls_client_certificate_bound_access_tokens" => {
                self.registration.tls_client_certificate_bound_access_tokens = self.flag(member, span, value);
            }
            "dpop_bound_access_tokens" => {
                self.registration.dpop_bound_access_tokens = self.flag(member, span, value);
            }
            _ => self.read_claims(member, span, value),
        }
    }

    /// Exactly one of the three members may give the secret.
    fn read_secret(&mut self, member: &'static str, span: &Range<usize>, value: &Spanned<DeValue<'_>>) {
        if let Some(earlier) = self.secret_member {
            let text = format!(
                "is set beside {earlier}; keep one of client_secret, client_secret_file and client_secret_hash"
            );
            return self.report(member, span, text);
        }
        self.secret_member = Some(member);
        let Some(text) = self.text(member, span, value) else { return };
        self.registration.secret = match member {
            "client_secret" => Some(RegisteredSecret::Plain(Secret::new(text))),
            "client_secret_hash" => Some(RegisteredSecret::Hash(text)),
            _ => {
                let path = self.reader.resolve(&text);
                match read_secret_file(&path) {
                    Ok(secret) => Some(RegisteredSecret::Plain(secret)),
                    Err(reason) => {
                        self.report(member, span, format!("{path}: {reason}"));
                        None
                    }
                }
            }
        };
    }

    fn read_lifetime(&mut self, member: &'static str, span: &Range<usize>, value: &Spanned<DeValue<'_>>) {
        if let Some(text) = self.text(member, span, value) {
            match duration::parse(&text) {
                Ok(lifetime) => self.registration.access_token_lifetime = Some(lifetime),
                Err(error) => self.report(member, span, error.to_string()),
            }
        }
    }

    /// One algorithm, or a list of them.
    fn read_algorithms(&mut self, member: &'static str, span: &Range<usize>, value: &Spanned<DeValue<'_>>) {
        self.registration.token_endpoint_auth_signing_alg = match value.get_ref() {
            DeValue::String(_) => self.text(member, span, value).into_iter().collect(),
            _ => self.texts(member, span, value).unwrap_or_default(),
        };
    }

    fn read_federated(&mut self, member: &'static str, span: &Range<usize>, value: &Spanned<DeValue<'_>>) {
        let subject = |value: &Spanned<DeValue<'_>>| {
            let DeValue::Table(members) = value.get_ref() else { return None };
            let text = |name| members.get(name).and_then(|value| value.get_ref().as_str()).map(str::to_owned);
            (members.len() == 2)
                .then(|| Some(FederatedSubject { issuer: text("issuer")?, subject: text("subject")? }))
                .flatten()
        };
        let subjects = match value.get_ref() {
            DeValue::Array(items) => items.iter().map(subject).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        match subjects {
            Some(subjects) => self.registration.federated = subjects,
            None => self.report(
                member,
                span,
                "must be a list such as [{ issuer = \"https://cluster.example\", subject = \"system:serviceaccount:prod:*\" }]",
            ),
        }
    }

    fn json(
        &mut self,
        member: &'static str,
        span: &Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Box<RawValue>> {
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            self.report(member, span, "must be a table, such as { keys = [{ kty = \"EC\", ... }] }");
            return None;
        }
        match json::from_toml(value) {
            Ok(json) => Some(json),
            Err(error) => {
                self.report(member, span, error.remedy);
                None
            }
        }
    }

    fn flag(
        &mut self,
        member: &'static str,
        span: &Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<bool> {
        if let DeValue::Boolean(flag) = value.get_ref() {
            return Some(*flag);
        }
        self.report(member, span, "must be true or false, without quotes");
        None
    }

    fn read_claims(&mut self, member: &'static str, span: &Range<usize>, value: &Spanned<DeValue<'_>>) {
        let DeValue::Table(claims) = value.get_ref() else {
            return self.report(member, span, "must be a table, such as { name = \"Billing\" }");
        };
        for (name, value) in in_order(claims) {
            match json::from_toml(value) {
                Ok(json) => self.registration.claims.push((name.get_ref().to_string(), json)),
                Err(error) => {
                    self.reported.insert(member);
                    let name = format!("clients[{}].claims.{}", self.index, name.get_ref());
                    self.reader.report(&error.span, name, error.remedy);
                }
            }
        }
    }

    fn text(
        &mut self,
        member: &'static str,
        span: &Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<String> {
        if let DeValue::String(text) = value.get_ref() {
            return Some(text.clone().into_owned());
        }
        self.report(member, span, "must be text in quotes");
        None
    }

    fn texts(
        &mut self,
        member: &'static str,
        span: &Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Vec<String>> {
        let texts = match value.get_ref() {
            DeValue::Array(items) => {
                items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect()
            }
            _ => None,
        };
        if texts.is_none() {
            self.report(member, span, "must be a list of texts in quotes, such as [\"a\", \"b\"]");
        }
        texts
    }

    fn report(&mut self, member: &'static str, span: &Range<usize>, text: impl Into<String>) {
        self.reported.insert(member);
        if SECRET_MEMBERS.contains(&member) {
            self.reported.insert(SECRET_MEMBERS[0]);
        }
        self.reader.report(span, format!("clients[{}].{member}", self.index), text);
    }
}

/// The secret a file holds: its text without the newline that editors put at the end. The reason for a refusal names
/// neither the text nor, since the caller does, the path.
fn read_secret_file(path: &str) -> Result<Secret<String>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .and_then(|file| file.take(MAX_SECRET_FILE).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read ({error}); correct the path or the permissions"))?;
    if bytes.len() as u64 == MAX_SECRET_FILE {
        return Err("holds more than a secret of at most 1024 characters".to_owned());
    }
    let secret = std::str::from_utf8(&bytes)
        .map_err(|_| "holds something else than text; write the secret as ASCII")?;
    let secret = secret.strip_suffix('\n').unwrap_or(secret);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err("is empty; write the secret into it".to_owned());
    }
    Ok(Secret::from(secret))
}
