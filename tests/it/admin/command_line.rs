//! `mintage client` as the real program: straight on the store, and through a running server.

mod proof_members;

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::Process;

/// A directory with a configuration whose store is a file in it.
struct Host {
    directory: TempDir,
}

/// What a run of the program left.
#[derive(Debug)]
struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn json(&self) -> Value {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""));
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("not JSON: {}", self.stdout))
    }

    /// The one sentence of a failure.
    fn failed(&self, code: i32, needle: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{}", self.stderr);
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "{}", self.stderr);
        assert!(self.stderr.starts_with("error: ") && self.stderr.contains(needle), "{}", self.stderr);
    }
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let toml = format!(
            "issuer = \"https://id.example\"\ndatabase_url = \"sqlite://{}\"\n\n[[clients]]\nclient_id = \"configured\"\n\
             client_secret = \"mint_0000000000000000000000000000000000000000000\"\nscope = \"read\"\n",
            directory.path().join("mintage.db").display()
        );
        std::fs::write(directory.path().join("mintage.toml"), toml).unwrap();
        Self { directory }
    }

    fn config(&self) -> String {
        self.directory.path().join("mintage.toml").display().to_string()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// `mintage client ...` on the store.
    fn client(&self, arguments: &[&str]) -> Outcome {
        self.client_with(arguments, "")
    }

    fn client_with(&self, arguments: &[&str], stdin: &str) -> Outcome {
        run(
            &[&["client"], arguments, &["--config", &self.config()]].concat(),
            &[],
            stdin,
            self.directory.path(),
        )
    }

    fn json(&self, arguments: &[&str]) -> Value {
        self.client(&[arguments, &["--output", "json"]].concat()).json()
    }
}

fn run(arguments: &[&str], environment: &[(&str, &str)], stdin: &str, directory: &Path) -> Outcome {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mintage"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may have ended already.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Outcome {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn text<'a>(json: &'a Value, member: &str) -> &'a str {
    json[member].as_str().unwrap_or_else(|| panic!("no {member} in {json}"))
}

#[test]
fn a_client_lives_on_the_store() {
    let host = Host::new();
    let created = host.json(&[
        "create",
        "--client-id",
        "billing",
        "--name",
        "Billing \u{1b}[31m",
        "--scope",
        "read write",
        "--audience",
        "https://api.example",
        "--lifetime",
        "5m",
        "--alg",
        "ES256",
        "--claims",
        "{\"big\":12345678901234567890123}",
    ]);
    let secret = text(&created, "client_secret");
    assert!(secret.starts_with("mint_") && secret.len() == 48);
    assert_eq!(created["client"]["access_token_lifetime"], 300);
    assert_eq!((&created["repeated_request"], &created["validate_only"]), (&false.into(), &false.into()));

    let shown = host.client(&["show", "billing"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    for line in
        ["client_id", "\"billing\"", "read write", "5m", "ES256", "12345678901234567890123", "not used yet"]
    {
        assert!(shown.stdout.contains(line), "{line}: {}", shown.stdout);
    }
    // V-72, V-73
    assert!(
        !shown.stdout.contains('\u{1b}') && !shown.stdout.contains(secret) && !shown.stdout.contains("hmac")
    );
    let shown = host.client(&["show", "billing", "--output", "json"]);
    assert!(shown.stdout.contains("\"claims\":{\"big\":12345678901234567890123}"), "{}", shown.stdout);
    assert!(!shown.stdout.contains(secret) && !shown.stdout.contains("hash"));

    let etag = text(&shown.json(), "etag").to_owned();
    let updated = host.json(&[
        "update",
        "billing",
        "--scope",
        "read",
        "--clear",
        "claims",
        "--disable",
        "--etag",
        &etag,
    ]);
    assert_eq!((text(&updated, "scope"), &updated["enabled"]), ("read", &false.into()));
    assert!(updated.get("claims").is_none());
    assert_eq!(text(&updated, "client_name"), "Billing \u{1b}[31m");
    host.client(&["update", "billing", "--enable", "--etag", &etag]).failed(1, "changed by somebody else");

    host.json(&["create", "--client-id", "other"]);
    let listed = host.json(&["list", "--order-by", "client_id desc", "--page-size", "1"]);
    assert_eq!(text(&listed["clients"][0], "client_id"), "other");
    let next = text(&listed, "next_page_token");
    // Another process reads the token: its key is in the store.
    let listed =
        host.json(&["list", "--order-by", "client_id desc", "--page-size", "1", "--page-token", next]);
    assert_eq!(text(&listed["clients"][0], "client_id"), "billing");
    assert_eq!(text(&listed, "next_page_token"), "");
    // Another filter must not make it look as if there were no clients.
    let listed = host.client(&["list", "--filter", "client_id = \"nobody\""]);
    assert_eq!(listed.stdout, "no client matches the filter\n");
    let listed = host.client(&["list", "--filter", "enabled = true"]);
    assert!(
        listed.stdout.contains("\"other\"") && !listed.stdout.contains("\"billing\""),
        "{}",
        listed.stdout
    );

    assert_eq!(host.json(&["delete", "billing"])["deleted"], true);
    host.client(&["show", "billing"]).failed(1, "no client is registered as \"billing\"");
    // Each command is a process of its own, which knows of the deletion from the store alone.
    host.client(&["create", "--client-id", "billing"]).failed(1, "\"billing\" was deleted");
}

#[test]
fn secrets_are_added_listed_and_retired() {
    let host = Host::new();
    let created = host.json(&["create", "--client-id", "c"]);
    let added = host.json(&["secret", "add", "c", "--expires", "2099-01-31T12:00:00Z", "--not-before", "1h"]);
    assert_eq!(text(&added, "expire_time"), "2099-01-31T12:00:00Z");
    assert!(text(&added, "client_secret").starts_with("mint_"));
    let retired = host.json(&["secret", "retire", "c", text(&created, "secret_id")]);
    assert!(text(&retired, "expire_time") < "2099");
    assert!(retired.get("client_secret").is_none());
    let listed = host.json(&["secret", "list", "c"]);
    assert_eq!(listed["secrets"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains("mint_") && !listed.to_string().contains("hmac"));
    assert_eq!(host.json(&["show", "c"])["secrets"].as_array().unwrap().len(), 2);
    host.client(&["secret", "retire", "c", "nobody"]).failed(1, "no secret \"nobody\"");
    host.client(&["secret", "add", "c", "--expires", "soon"]).failed(2, "\"soon\" is no time");
    host.client(&["secret", "list", "configured"]).failed(1, "configuration file");
}

#[test]
fn a_chosen_secret_comes_from_a_file_or_standard_input_and_is_not_printed() {
    let host = Host::new();
    let file = host.file("secret", "correct horse battery\n");
    let created = host.json(&["create", "--client-id", "a", "--secret-file", &file]);
    assert!(created.get("client_secret").is_none());
    let created =
        host.client_with(&["create", "--client-id", "b", "--secret-file", "-"], "correct horse battery");
    assert_eq!(created.code, 0, "{}", created.stderr);
    assert!(!created.stdout.contains("correct horse"));
    for (text, needle) in [("", "is empty"), ("short", "16 to 1024"), (&"x".repeat(2000), "at most 1024")] {
        let file = host.file("bad", text);
        let outcome = host.client(&["create", "--client-id", "bad", "--secret-file", &file]);
        assert!(outcome.code != 0 && outcome.stderr.contains(needle), "{}", outcome.stderr);
    }
}

#[test]
fn what_is_wrong_is_said_in_one_sentence() {
    let host = Host::new();
    host.json(&["create", "--client-id", "taken"]);
    host.client(&["create", "--client-id", "taken"])
        .failed(1, "error: \"taken\" is registered already; choose");
    host.client(&["create", "--client-id", "taken", "--validate-only"])
        .failed(1, "error: \"taken\" is registered");
    host.client(&["create", "--expires", "2001-01-31T12:00:00Z"])
        .failed(2, "error: secret_expire_time: it must be in the future\n");
    host.client(&["secret", "add", "taken", "--expires", "2001-01-31T12:00:00Z"])
        .failed(2, "error: expire_time: it must be in the future\n");
    host.client(&["secret", "add", "taken", "--not-before", "2h", "--expires", "1h"])
        .failed(2, "error: expire_time: it must be in the future and after not_before_time\n");
    // The server makes secrets of 48 bytes.
    let jwt = ["create", "--auth-method", "client_secret_jwt", "--auth-signing-alg"];
    host.json(&[&jwt[..], &["HS384"]].concat());
    host.client(&[&jwt[..], &["HS512"]].concat())
        .failed(2, "error: client_secret: has 48 bytes, too few for HS512");
    host.client(&[&jwt[..], &["HS512"]].concat()).failed(2, "for HS512 choose one of at least 64 bytes");
    let chosen = |name: &str| host.file(name, &format!("correct horse battery {name}"));
    host.json(&["create", "--client-id", "chosen", "--secret-file", &chosen("a")]);
    host.client(&["secret", "add", "chosen", "--secret-file", &chosen("b")])
        .failed(2, "error: client_secret: only one secret of a client may be a chosen one");
    host.client(&["create", "--client-id", "configured"]).failed(1, "configuration file");
    host.client(&["update", "configured", "--scope", "x"]).failed(1, "change it there");
    host.client(&["delete", "configured"]).failed(1, "change it there");
    host.client(&["create", "--scope", "a  b", "--alg", "none"]).failed(2, "access_token_signing_alg");
    host.client(&["create", "--alg", "HS256"]).failed(2, "JWT_SECRET");
    host.client(&["update", "taken"]).failed(2, "nothing is to be changed");
    host.client(&["update", "taken", "--scope", "x", "--clear", "scope"]).failed(2, "set and cleared");
    host.client(&["create", "--lifetime", "5"]).failed(2, "a duration is");
    host.client(&["list", "--page-token", "x"]).failed(2, "page_token");
    host.client(&["delete", "nobody"]).failed(1, "no client is registered");
    let json = host.client(&["delete", "nobody", "--output", "json"]);
    assert!(serde_json::from_str::<Value>(&json.stderr).unwrap()["error"].is_string());
    let memory = [("ISSUER_URL", "https://id.example"), ("MINTAGE_DATABASE_URL", "sqlite::memory:")];
    run(&["client", "list"], &memory, "", host.directory.path()).failed(1, "--server");
}

#[test]
fn a_repeated_or_validated_creation_creates_nothing() {
    let host = Host::new();
    let dry = host.json(&["create", "--client-id", "dry", "--validate-only"]);
    assert!(dry.get("client_secret").is_none());
    host.client(&["show", "dry"]).failed(1, "no client");
    let first = host.json(&["create", "--request-id", "r1"]);
    let again = host.json(&["create", "--request-id", "r1"]);
    assert_eq!(first["client"]["client_id"], again["client"]["client_id"]);
    assert_eq!((&again["repeated_request"], again.get("client_secret")), (&true.into(), None));
}

// No server has run: the store has no key yet, and explaining makes none
#[test]
fn what_a_token_would_say_is_explained_on_the_store() {
    let host = Host::new();
    let claims = "{\"big\":12345678901234567890123}";
    host.json(&["create", "--client-id", "billing", "--scope", "read write", "--claims", claims]);
    for _ in 0..2 {
        let explained = host.json(&["explain", "billing", "--scope", "read", "--lifetime", "5m"]);
        let refused = refused(&explained);
        assert_eq!(refused, [("access_token_signing_alg".to_owned(), "server_error".to_owned())]);
        assert_eq!((&explained["granted"], explained.get("token")), (&false.into(), None));
    }

    let configured = std::fs::read_to_string(host.config()).unwrap();
    let toml = format!("rs256_private_key_path = \"nowhere.pem\"\n{configured}");
    std::fs::write(host.config(), toml).unwrap();
    let explain = ["explain", "billing", "--scope", "read", "--lifetime", "5m", "--output", "json"];
    let explained = host.client(&explain);
    assert!(explained.stdout.contains("12345678901234567890123"), "{explained:?}");
    let token = &explained.json()["token"];
    assert_eq!((text(token, "scope"), &token["expires_in"]), ("read", &300.into()));
    assert_eq!(text(&token["claims"], "client_id"), "billing");
    let told = host.client(&["explain", "billing"]);
    assert!(told.stdout.contains("would get a token signed with RS256"), "{told:?}");

    for (arguments, member, error) in [
        (["--scope", "admin"], "scope", "invalid_scope"),
        (["--scope", ""], "scope", "invalid_scope"),
        (["--audience", "https://x.example"], "audience", "invalid_target"),
        (["--resource", "relative"], "audience", "invalid_target"),
        (["--grant-type", "password"], "grant_type", "unsupported_grant_type"),
    ] {
        let explained = host.json(&[&["explain", "billing"], &arguments[..]].concat());
        assert_eq!(refused(&explained), [(member.to_owned(), error.to_owned())]);
    }
    let told = host.client(&["explain", "billing", "--scope", "admin"]);
    assert!(told.code == 0 && told.stdout.contains("refused  invalid_scope: "), "{told:?}");
    host.client(&["explain", "billing", "--lifetime", "5"]).failed(2, "--lifetime");
    host.client(&["explain", "nobody"]).failed(1, "no client is registered");
    let memory = [("ISSUER_URL", "https://id.example"), ("MINTAGE_DATABASE_URL", "sqlite::memory:")];
    run(&["client", "explain", "billing"], &memory, "", host.directory.path()).failed(1, "--server");
}

/// The members of an explanation that are refused, with their errors.
fn refused(explained: &Value) -> Vec<(String, String)> {
    let decisions = explained["decisions"].as_array().unwrap();
    let refused = decisions.iter().filter(|decision| decision["refused"] == true);
    refused
        .map(|decision| (text(decision, "member").to_owned(), text(decision, "oauth_error").to_owned()))
        .collect()
}

#[test]
fn tokens_are_revoked_until_an_instant_that_lies_behind() {
    let host = Host::new();
    host.json(&["create", "--client-id", "c"]);
    let until = ["--until", "2020-01-31T12:00:00Z"];
    let revoked = host.json(&[&["revoke-tokens", "c"], &until[..]].concat());
    assert_eq!(text(&revoked, "issued_until_time"), "2020-01-31T12:00:00Z");
    let ago = host.json(&["revoke-tokens", "c", "--until", "1h"]);
    let now = host.json(&["revoke-tokens", "c"]);
    assert!(text(&ago, "issued_until_time") < text(&now, "issued_until_time"));
    host.client(&["revoke-tokens", "c", "--until", "2099-01-01T00:00:00Z"]).failed(2, "lies ahead");
    host.client(&["revoke-tokens", "c", "--until", "soon"]).failed(2, "\"soon\" is no time");
    host.client(&["revoke-tokens", "nobody"]).failed(1, "no client is registered");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_administrator_is_made_on_the_host_and_works_through_the_server() {
    let host = Host::new();
    let created = host.json(&["create", "--client-id", "operator", "--admin"]);
    assert_eq!(text(&created["client"], "scope"), "mintage:admin");
    let plain = host.json(&["create", "--client-id", "plain", "--scope", "read"]);

    let toml = std::fs::read_to_string(host.config()).unwrap();
    let server = Process::start_through(&toml, "unset MINTAGE_DATABASE_URL; exec \"$@\"").await;
    let token = async |client_id: &str, created: &Value| {
        let authorization = crate::support::auth::basic(client_id, text(created, "client_secret"));
        let request = crate::support::http::request(
            server.address,
            "POST",
            "/token",
            &[("authorization", &authorization), crate::support::http::FORM],
            b"grant_type=client_credentials",
        );
        let reply = crate::support::http::exchange(server.address, &request).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["access_token"].as_str().unwrap().to_owned()
    };
    let operator = token("operator", &created).await;
    let token_file = host.file("token", &format!("{operator}\n"));
    let (ops, public) = (format!("http://{}", server.ops), format!("http://{}", server.address));
    let remote = |arguments: &[&str]| {
        run(
            &[&["client"], arguments, &["--server", &ops, "--token-file", &token_file]].concat(),
            &[],
            "",
            host.directory.path(),
        )
    };
    let through = remote(&["create", "--client-id", "through", "--scope", "read", "--output", "json"]).json();
    assert!(text(&through, "client_secret").starts_with("mint_"));
    // It is usable at once, and the store has it.
    token("through", &through).await;
    assert_eq!(text(&host.json(&["show", "through"]), "scope"), "read");
    assert_eq!(text(&remote(&["show", "configured", "--output", "json"]).json(), "source"), "configuration");

    // What the host changes, the running server sees.
    host.json(&["secret", "add", "through"]);
    assert_eq!(
        remote(&["secret", "list", "through", "--output", "json"]).json()["secrets"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let explained = remote(&["explain", "through", "--output", "json"]).json();
    assert_eq!(text(&explained["token"], "scope"), "read");
    assert_eq!(text(&explained["token"]["claims"], "sub"), "through");
    // The host knows the keys of the server by now.
    assert_eq!(host.json(&["explain", "through"])["granted"], true);
    let revoked = remote(&["revoke-tokens", "through"]);
    assert!(revoked.code == 0 && revoked.stdout.contains("every token of \"through\""), "{revoked:?}");
    remote(&["revoke-tokens", "nobody"]).failed(1, "no client is registered");
    remote(&["explain", "nobody"]).failed(1, "no client is registered");

    remote(&["create", "--client-id", "through"]).failed(1, "is registered already");
    remote(&["update", "through", "--scope", "a  b"]).failed(2, "scope");

    // MINTAGE_TOKEN, and who may not.
    let plain = token("plain", &plain).await;
    let by_environment = |token: &str, server: &str| {
        run(&["client", "list", "--server", server], &[("MINTAGE_TOKEN", token)], "", host.directory.path())
    };
    assert_eq!(by_environment(&operator, &ops).code, 0);
    by_environment(&plain, &ops).failed(1, "mintage client create --admin");
    by_environment("x", &ops).failed(1, "MINTAGE_TOKEN");
    by_environment("", &ops).failed(2, "--token-file");
    // V-64
    by_environment(&operator, &public).failed(1, "ops address");
    by_environment(&operator, "http://127.0.0.1:9").failed(1, "does not answer");
    by_environment(&operator, "ops:9000").failed(2, "--server");
    assert_eq!(remote(&["delete", "through", "--output", "json"]).json()["deleted"], true);
}

// RFC 7591: the setting decides whether there is such an endpoint at all
#[tokio::test(flavor = "multi_thread")]
async fn clients_register_themselves_only_where_the_operator_allows_it() {
    for (toml, status) in [("", 404), ("[admin]\nregistration = true\n", 401)] {
        let server = Process::start(toml).await;
        let request = crate::support::http::request(server.address, "POST", "/register", &[], b"{}");
        let reply = crate::support::http::exchange(server.address, &request).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        let path = "/.well-known/oauth-authorization-server";
        let request = crate::support::http::request(server.address, "GET", path, &[], b"");
        let metadata = crate::support::http::exchange(server.address, &request).await.json();
        assert_eq!(metadata.get("registration_endpoint").is_some(), status == 401);
    }
}
