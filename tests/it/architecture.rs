//! The layer rule (src/lib.rs): what a file of src/ may name. A cheap test in place of walls between crates.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const LAYER_0: [&str; 8] =
    ["clock", "fingerprint", "form_encoding", "peer", "random", "readiness", "refusal", "secret"];

/// What each module may name beside itself and layer 0. A new module gets a line here.
const MAY_NAME: [(&str, &[&str]); 28] = [
    ("clock", &[]),
    ("fingerprint", &[]),
    ("form_encoding", &[]),
    ("peer", &[]),
    ("random", &[]),
    ("readiness", &[]),
    ("refusal", &[]),
    ("pool", &[]),
    ("private_file", &[]),
    ("quota", &[]),
    ("rate", &[]),
    ("sealing", &[]),
    ("secret", &[]),
    ("certificates", &[]),
    ("jose", &[]),
    ("oauth", &["certificates", "jose", "pool", "rate", "sealing"]),
    ("admin", &["jose", "oauth", "sealing"]),
    ("store", &["jose", "oauth"]),
    ("fetch", &["jose", "oauth"]),
    ("telemetry", &[]),
    ("rest", &["admin", "jose", "oauth", "telemetry"]),
    ("grpc", &["admin", "jose", "oauth", "quota", "telemetry"]),
    ("serve", &["grpc", "quota", "rate", "rest", "telemetry"]),
    ("key_file", &["jose", "private_file"]),
    ("config", &["jose", "key_file", "oauth", "rate", "sealing", "store"]),
    (
        "app",
        &[
            "admin",
            "certificates",
            "config",
            "fetch",
            "grpc",
            "jose",
            "key_file",
            "oauth",
            "pool",
            "private_file",
            "rate",
            "rest",
            "sealing",
            "serve",
            "store",
            "telemetry",
        ],
    ),
    (
        "cli",
        &["admin", "app", "config", "grpc", "jose", "key_file", "oauth", "private_file", "sealing", "store"],
    ),
    ("main", &["app", "cli"]),
];

/// What the core has never heard of: transports, databases, the ambient clock.
const NOT_IN_THE_CORE: [&str; 14] = [
    "axum",
    "http",
    "http_body",
    "hyper",
    "hyper_util",
    "prost",
    "prost_types",
    "deadpool_postgres",
    "rusqlite",
    "tokio_postgres",
    "tonic",
    "tower",
    "Instant",
    "SystemTime",
];

/// The names that occur in a Rust text, and the punctuation between them; no comments, no literals.
fn tokens(source: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => string(rest),
            'b' if rest.starts_with("b\"") => 1 + string(&rest[1..]),
            'r' | 'b' if raw_string(rest).is_some() => raw_string(rest).unwrap(),
            '\'' => character(rest),
            ':' if rest.starts_with("::") => push(&mut tokens, &rest[..2]),
            c if c.is_alphanumeric() || c == '_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                push(&mut tokens, &rest[..end])
            }
            c if c.is_whitespace() => c.len_utf8(),
            c => push(&mut tokens, &rest[..c.len_utf8()]),
        };
        rest = &rest[length..];
    }
    tokens
}

fn push(tokens: &mut Vec<String>, token: &str) -> usize {
    tokens.push(token.to_owned());
    token.len()
}

/// The length of the string literal that the text starts with.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The same for `r"..."`, `r#"..."#`, `br"..."`.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(text.len() - body.len() + length)
}

/// The length of a character literal, or 1 for the quote of a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            text[2..].char_indices().skip(1).find(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 3)
        }
        Some((at, c)) if text[at + c.len_utf8()..].starts_with('\'') => at + c.len_utf8() + 1,
        _ => 1,
    }
}

/// The modules named directly below `root` (`crate` or `mintage`), in paths and in groups of a `use`.
fn modules_below(root: &str, tokens: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, window) in tokens.windows(3).enumerate() {
        if window[0] != root || window[1] != "::" || (at > 0 && tokens[at - 1] == "::") {
            continue;
        }
        if window[2] != "{" {
            found.insert(window[2].clone());
            continue;
        }
        let mut depth = 0;
        for pair in tokens[at + 2..].windows(2) {
            match pair[0].as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && (pair[0] == "{" || pair[0] == ",") && is_name(&pair[1]) {
                found.insert(pair[1].clone());
            }
        }
    }
    found
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The module a file belongs to: the first part of its path below src/.
fn module_of(file: &Path) -> String {
    let first = file.iter().next().unwrap().to_str().unwrap();
    first.strip_suffix(".rs").unwrap_or(first).to_owned()
}

/// What a file names that it must not.
fn violations(file: &Path, source: &str) -> Vec<String> {
    let module = module_of(file);
    let tokens = tokens(source);
    let mut found = Vec::new();
    if module == "lib" {
        return found;
    }
    let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{}: {module} has no line in MAY_NAME", file.display())];
    };
    let modules: BTreeMap<_, _> = MAY_NAME.into_iter().collect();
    let named = &modules_below("crate", &tokens) | &modules_below("mintage", &tokens);
    for name in named {
        let is_allowed = name == module || allowed.contains(&&*name) || LAYER_0.contains(&&*name);
        // Anything else below `crate` is a macro or an item of lib.rs.
        if modules.contains_key(&*name) && (!is_allowed || LAYER_0.contains(&&*module) && name != module) {
            found.push(format!("{}: {module} names {name}", file.display()));
        }
    }
    if module == "oauth" || module == "jose" {
        for name in NOT_IN_THE_CORE {
            if tokens.iter().any(|token| token == name) {
                found.push(format!("{}: the core names {name}", file.display()));
            }
        }
    }
    if module != "key_file" && names_rsa_crate(&tokens) {
        found.push(format!("{}: only key_file names the rsa crate", file.display()));
    }
    found
}

/// `use rsa`, or a path that starts with `rsa::` where no `aws_lc_rs::rsa` was imported.
fn names_rsa_crate(tokens: &[String]) -> bool {
    let of_aws = modules_below("aws_lc_rs", tokens).contains("rsa");
    tokens.windows(3).any(|window| {
        let starts = window[1] == "rsa" && (window[2] == "::" || window[2] == ";" || window[2] == "as");
        match window[0].as_str() {
            "use" => starts,
            "::" | "{" | "," => false,
            _ => starts && !of_aws,
        }
    }) || tokens.windows(4).any(|window| {
        // A leading `::rsa`.
        !is_name(&window[0])
            && window[0] != ">"
            && window[1] == "::"
            && window[2] == "rsa"
            && window[3] == "::"
    })
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn nothing_points_the_wrong_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 50, "{files:?}");
    let found: Vec<String> = files
        .iter()
        .flat_map(|file| violations(file.strip_prefix(&root).unwrap(), &fs::read_to_string(file).unwrap()))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_planted_violation_is_found() {
    for (file, source) in [
        ("rest/token.rs", "use crate::grpc::Health;"),
        ("rest/token.rs", "use crate::{oauth::Error, grpc::{Health, Settings}};"),
        ("rest/mod.rs", "fn f() { crate::serve::serve() }"),
        ("grpc/mod.rs", "use crate::{\n    oauth::{self, Error},\n    rest,\n};"),
        ("grpc/mod.rs", "use crate::config::Config;"),
        ("oauth/issue.rs", "use axum::Json;"),
        ("oauth/issue.rs", "fn f() -> http::StatusCode { panic!() }"),
        ("oauth/issue.rs", "use std::time::{Duration, Instant};"),
        ("oauth/issue.rs", "use crate::telemetry::Metrics;"),
        ("oauth/client/mod.rs", "use crate::{clock::Clock, rest::Settings};"),
        ("jose/jwk.rs", "use crate::oauth::Error;"),
        ("jose/jwk.rs", "use std::time::SystemTime;"),
        ("jose/jwk.rs", "use rsa::RsaPrivateKey;"),
        ("jose/jwk.rs", "fn f() { ::rsa::BigUint::new() }"),
        ("config/check.rs", "fn f(key: rsa::RsaPrivateKey) {}"),
        ("config/check.rs", "use crate::app::Core;"),
        ("clock.rs", "use crate::random::Random;"),
        ("secret.rs", "use crate::oauth::Error;"),
        ("telemetry/layer.rs", "use crate::oauth::Error;"),
        ("serve/mod.rs", "use crate::app::Core;"),
        ("app/mod.rs", "use crate::cli::run;"),
        ("main.rs", "fn main() { mintage::oauth::issue() }"),
        ("novelty/mod.rs", ""),
    ] {
        assert_eq!(violations(Path::new(file), source).len(), 1, "{file}: {source}");
    }
}

#[test]
fn what_is_allowed_is_not_found() {
    for (file, source) in [
        (
            "rest/token.rs",
            "use crate::{oauth::{Error, grant::GrantType}, telemetry::RequestRecord, secret::Secret};",
        ),
        (
            "rest/token.rs",
            "// use crate::grpc::Health;\n/* crate::grpc::X */ const A: &str = \"crate::grpc::X \\\" y\";",
        ),
        ("oauth/issue.rs", "const A: &str = r#\"axum::x\" http:: \"#; // hyper::x"),
        ("oauth/issue.rs", "fn f<'a>(c: char) -> &'a str { if c == '\"' { \"axum\" } else { \"http\" } }"),
        (
            "oauth/issue.rs",
            "fn f(c: char) -> bool { c == '\\'' || c == '\\u{7f}' } const B: &[u8] = b\"tonic::x\";",
        ),
        ("jose/signing_key.rs", "use aws_lc_rs::{hmac, rsa::{self, KeySize}}; fn f(key: rsa::KeyPair) {}"),
        ("jose/signing_key.rs", "use aws_lc_rs::rsa::KeyPair; fn from_rsa(rsa: u8) {}"),
        ("key_file.rs", "use rsa::pkcs1;"),
        ("key_file/pem.rs", "use rsa::pkcs1;"),
        ("serve/edge.rs", "use http::Request; use std::time::Instant;"),
        ("main.rs", "fn main() { mintage::cli::run(mintage::app::run) }"),
    ] {
        assert_eq!(violations(Path::new(file), source), Vec::<String>::new(), "{file}");
    }
}
