//! The command line, run as the real program: exit codes, outputs, and what errors say and do not say.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use mintage::jose::{SigningAlgorithm, SigningKey, jwk::PublishedJwkSet};

use crate::support::patience::PATIENCE;

/// What a run of the program left.
struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn error(&self) -> String {
        let json: serde_json::Value = serde_json::from_str(&self.stderr).expect(&self.stderr);
        json["error"].as_str().unwrap().to_owned()
    }
}

fn mintage(arguments: &[&str]) -> Outcome {
    mintage_with(arguments, &[], "")
}

fn mintage_with(arguments: &[&str], environment: &[(&str, &str)], stdin: &str) -> Outcome {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mintage"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may have ended already.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    // A server that was to refuse its start, and runs instead, must not hold up the tests.
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    Outcome {
        code: output.status.code().expect("the program ends by itself"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn every_command_explains_itself() {
    for command in [
        &["--help"][..],
        &["serve", "--help"],
        &["config", "--help"],
        &["config", "check", "--help"],
        &["config", "show", "--help"],
        &["token", "--help"],
        &["token", "decode", "--help"],
        &["token", "verify", "--help"],
        &["migrate", "--help"],
        &["client", "--help"],
        &["client", "create", "--help"],
        &["client", "list", "--help"],
        &["client", "show", "--help"],
        &["client", "update", "--help"],
        &["client", "delete", "--help"],
        &["client", "secret", "--help"],
        &["client", "secret", "add", "--help"],
        &["client", "secret", "list", "--help"],
        &["client", "secret", "retire", "--help"],
        &["healthcheck", "--help"],
        &["completions", "--help"],
    ] {
        let help = mintage(command);
        assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{command:?}");
        assert!(
            help.stdout.contains("Example") && help.stdout.contains("\n  mintage "),
            "{command:?}\n{}",
            help.stdout
        );
    }
    assert!(mintage(&["--version"]).stdout.starts_with("mintage "));
}

#[test]
fn misuse_is_code_2_and_one_sentence() {
    for (arguments, command) in [
        (&[][..], ""),
        (&["serv"], ""),
        (&["serve", "--nonsense"], " serve"),
        (&["config"], " config"),
        (&["token", "verify"], " token verify"),
        (&["completions", "x"], " completions"),
    ] {
        let help = format!("see `mintage{command} --help`");
        let outcome = mintage(arguments);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{arguments:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        assert!(outcome.stderr.contains(&help), "{}", outcome.stderr);

        let json = mintage(&[&["--output", "json"], arguments].concat());
        assert_eq!(json.code, 2);
        assert!(json.error().contains(&help));
    }
}

#[test]
fn config_check_counts_or_lists_everything() {
    let good = mintage(&["config", "check", "--dev"]);
    assert_eq!((good.code, good.stdout.as_str()), (0, "ok: 4 settings given, 3 clients\n"));
    assert_eq!(
        mintage(&["config", "check", "--dev", "--output", "json"]).stdout,
        "{\"clients\":3,\"ok\":true,\"settings\":4}\n"
    );

    let environment = [("MINTAGE_LISTEN", "x"), ("JWT_SECRET", "canary"), ("MINTAGE_LISTN", "y")];
    let bad = mintage_with(&["config", "check"], &environment, "");
    assert_eq!((bad.code, bad.stdout.as_str()), (1, ""));
    assert_eq!(bad.stderr.lines().count(), 4, "{}", bad.stderr);
    assert!(
        bad.stderr.lines().all(|line| line.starts_with("error: ")) && !bad.stderr.contains("canary"),
        "{}",
        bad.stderr
    );

    let json = mintage_with(&["config", "check", "--output", "json"], &environment, "");
    assert_eq!(
        (json.code, json.error().as_str()),
        (1, "the configuration has 4 problems; correct each of them")
    );
    assert!(json.stderr.contains("\"problems\":[\"issuer: is not set"), "{}", json.stderr);
}

#[test]
fn config_check_reads_given_key_files() {
    let outcome =
        mintage_with(&["config", "check", "--dev"], &[("RS256_PRIVATE_KEY_PATH", "/nowhere/k.pem")], "");
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.starts_with(
            "error: RS256_PRIVATE_KEY_PATH: rs256_private_key_path: /nowhere/k.pem: cannot be read"
        ),
        "{}",
        outcome.stderr
    );
}

// What would end a start is said before it, of every file at once.
#[test]
fn config_check_reads_what_a_start_would_read() {
    const TOML: &str = r#"issuer = "https://id.example"
database_url = "sqlite://m.db"
master_key_file = "garbage"
rs256_private_key_path = "absent"
[tls]
cert_file = "garbage"
key_file = "garbage"
client_ca_file = "garbage"
[spiffe.trust_domains."example.org"]
x509_bundle_file = "absent"
jwt_bundle_file = "garbage"
[[trusted_issuers]]
issuer = "https://cluster.example"
jwks_file = "absent"
[[trusted_issuers]]
issuer = "https://other.example"
jwks_uri = "https://other.invalid/keys"
"#;
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(file("m.toml"), TOML).unwrap();
    std::fs::write(file("garbage"), "x").unwrap();
    let check = |environment: &[(&str, &str)]| {
        let outcome = mintage_with(&["config", "check", "--config", &file("m.toml")], environment, "");
        (outcome.code, outcome.stderr.replace(&format!("{}/", directory.path().display()), ""))
    };
    let (code, stderr) = check(&[]);
    let mut places: Vec<_> = stderr
        .lines()
        .map(|line| line.splitn(5, ": ").skip(1).take(3).collect::<Vec<_>>().join(": "))
        .collect();
    places.sort();
    let mut expected = [
        "m.toml:3: master_key_file: garbage",
        "m.toml:4: rs256_private_key_path: absent",
        "m.toml:6: tls.cert_file: garbage",
        "m.toml:8: tls.client_ca_file: garbage",
        "m.toml:10: spiffe.trust_domains.\"example.org\".x509_bundle_file: absent",
        "m.toml:11: spiffe.trust_domains.\"example.org\".jwt_bundle_file: garbage",
        "m.toml:14: trusted_issuers[0].jwks_file: absent",
    ];
    expected.sort_unstable();
    assert_eq!((code, places.as_slice()), (1, &expected.map(str::to_owned)[..]), "{stderr}");
    // Each says what to do.
    assert!(stderr.lines().all(|line| line.contains("; ") || line.contains("such as")), "{stderr}");

    // The start ends with one of them, in the same words.
    let serve = mintage(&["serve", "--config", &file("m.toml")]);
    let said = serve.stderr.lines().last().unwrap().replace(&format!("{}/", directory.path().display()), "");
    assert_eq!(serve.code, 1);
    assert!(stderr.contains(&said), "{said}\n{stderr}");

    // A check makes nothing, but reads a master key that a start made.
    std::fs::write(file("m.toml"), "issuer = \"https://id.example\"\ndatabase_url = \"sqlite://n.db\"\n")
        .unwrap();
    assert_eq!(check(&[]), (0, String::new()));
    assert!(!directory.path().join("n.db").exists() && !directory.path().join("n.db.key").exists());
    std::fs::write(file("n.db.key"), "x").unwrap();
    std::fs::set_permissions(file("n.db.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, stderr) = check(&[]);
    assert!(code == 1 && stderr.contains("n.db.key: is open to other users"), "{stderr}");
    let postgres = [
        ("MINTAGE_DATABASE_URL", "postgres://u@nowhere.invalid/m?sslmode=require"),
        ("MINTAGE_DATABASE_CA_FILE", "/nowhere/ca.pem"),
        ("MINTAGE_MASTER_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    ];
    let (code, stderr) = check(&postgres);
    let expected = "error: MINTAGE_DATABASE_CA_FILE: database_ca_file: /nowhere/ca.pem: cannot be read";
    assert!(code == 1 && stderr.starts_with(expected), "{stderr}");
}

// V-71
#[test]
fn config_show_names_origins_and_masks_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.toml");
    let text = "issuer = \"https://id.example\"\n[[clients]]\nclient_id = \"a\\u001b\"\nclient_secret = \"canary\"\n\
        [spiffe.trust_domains.\"example.org\"]\njwt_bundle_uri = \"https://a.example/b\"\n\
        [[trusted_issuers]]\nissuer = \"https://cluster.example\"\ndiscovery = true\n";
    std::fs::write(&file, text.replace("\\u001b", "")).unwrap();
    let arguments = ["config", "show", "--config", file.to_str().unwrap(), "--listen", "127.0.0.1:1"];
    let environment = [("JWT_SECRET", "canary-7c1f-canary-7c1f-canary-7c1f"), ("MINTAGE_LOG", "debug")];
    let text = mintage_with(&arguments, &environment, "");
    assert_eq!(text.code, 0, "{}", text.stderr);
    let line = |key: &str| {
        let line = text.stdout.lines().find(|line| line.starts_with(key)).expect(key);
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("jwt_secret"), "jwt_secret *** JWT_SECRET");
    assert_eq!(line("log "), "log debug MINTAGE_LOG");
    assert_eq!(line("listen"), "listen 127.0.0.1:1 --listen");
    assert_eq!(line("ops_listen"), "ops_listen 127.0.0.1:9000 default");
    assert_eq!(line("issuer"), format!("issuer https://id.example {}:1", file.display()));
    assert_eq!(line("client "), format!("client \"a\" {}:2", file.display()));
    assert_eq!(line("trust_domain "), format!("trust_domain \"example.org\" {}:5", file.display()));
    assert_eq!(
        line("trusted_issuer "),
        format!("trusted_issuer \"https://cluster.example\" {}:7", file.display())
    );

    let json = mintage_with(&[&arguments[..], &["--output", "json"]].concat(), &environment, "");
    let shown: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(shown["settings"].as_array().unwrap().len(), mintage::config::SETTINGS.len());
    let origin = |line: usize| format!("{}:{line}", file.display());
    assert_eq!(
        (&shown["trust_domains"], &shown["trusted_issuers"]),
        (
            &serde_json::json!([{ "trust_domain": "example.org", "origin": origin(5) }]),
            &serde_json::json!([{ "issuer": "https://cluster.example", "origin": origin(7) }]),
        )
    );
    for outcome in [text, json] {
        assert!(!format!("{}{}", outcome.stdout, outcome.stderr).contains("canary"));
    }
}

#[test]
fn serve_refuses_what_config_check_refuses() {
    let outcome = mintage(&["serve"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.starts_with("error: issuer: is not set; set ISSUER_URL"), "{}", outcome.stderr);
    let outcome = mintage_with(&["serve", "--dev"], &[("MINTAGE_LISTEN", "0.0.0.0:8000")], "");
    assert!(
        outcome.code == 1 && outcome.stderr.contains("name the address with --listen"),
        "{}",
        outcome.stderr
    );
}

/// A key, its key set in a file, and a token that ends in the far future.
fn signed(directory: &Path, claims: &str) -> (String, String) {
    let key = SigningKey::generate(SigningAlgorithm::EdDSA).unwrap();
    let jwks = directory.join("jwks.json");
    let published = PublishedJwkSet { keys: vec![key.jwk().unwrap().clone()] };
    std::fs::write(&jwks, serde_json::to_vec(&published).unwrap()).unwrap();
    (key.sign_access_token(claims.as_bytes()).unwrap(), jwks.to_str().unwrap().to_owned())
}

#[test]
fn token_decode_shows_and_says_that_it_does_not_verify() {
    let directory = tempfile::tempdir().unwrap();
    let (token, _) = signed(directory.path(), r#"{"sub":"a","n":1.10}"#);
    let text = mintage(&["token", "decode", &token]);
    assert_eq!(text.code, 0);
    assert!(
        text.stdout.contains("signature was not checked") && text.stdout.contains("\"n\": 1.10"),
        "{}",
        text.stdout
    );
    for arguments in
        [&["--output", "json", "token", "decode", "-"][..], &["--output", "json", "token", "decode"]]
    {
        let json = mintage_with(arguments, &[], &format!("{token}\n"));
        assert!(
            json.stdout.starts_with("{\"verified\":false,\"header\":{") && json.stdout.contains("\"n\":1.10")
        );
    }
    let wrong = mintage(&["token", "decode", "eyJcanary"]);
    assert!(wrong.code == 1 && !wrong.stderr.contains("canary"), "{}", wrong.stderr); // V-71
}

#[test]
fn token_verify_names_the_check_that_failed() {
    let directory = tempfile::tempdir().unwrap();
    let (token, jwks) =
        signed(directory.path(), r#"{"iss":"https://a.example","aud":"b","exp":99999999999}"#);
    let run = |more: &[&str]| {
        mintage_with(&[&["token", "verify", "-", "--jwks", &jwks], more].concat(), &[], &token)
    };
    let good = run(&["--issuer", "https://a.example", "--audience", "b"]);
    assert!(
        good.code == 0 && good.stdout.starts_with("ok: signature, exp, iss, aud\n"),
        "{}{}",
        good.stdout,
        good.stderr
    );
    let bad = run(&["--issuer", "https://b.example", "--audience", "c", "--output", "json"]);
    assert_eq!(bad.code, 1);
    assert!(bad.error().contains("iss: ") && bad.error().contains("aud: "), "{}", bad.stderr);
    assert!(!bad.stderr.contains(&token)); // V-71

    let (other, _) = signed(directory.path(), "{}");
    let forged = mintage(&["token", "verify", &token, "--jwks", &jwks]);
    assert!(forged.code == 1 && forged.stderr.contains("signature: "), "{}", forged.stderr);
    let endless = mintage(&["token", "verify", &other, "--jwks", &jwks]);
    assert!(endless.code == 1 && endless.stderr.contains("exp: the claim is missing"), "{}", endless.stderr);
    let missing = mintage(&["token", "verify", &token, "--jwks", "/nowhere/jwks.json"]);
    assert!(
        missing.code == 1 && missing.stderr.contains("/nowhere/jwks.json: cannot be read"),
        "{}",
        missing.stderr
    );
}

/// Answers one HTTP request with `body` and returns the URL.
fn answer_once(status: &str, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let _ = stream.write_all(&[head.as_bytes(), &body].concat());
    });
    url
}

#[test]
fn token_verify_fetches_a_bounded_key_set() {
    let directory = tempfile::tempdir().unwrap();
    let (token, jwks) = signed(directory.path(), r#"{"exp":99999999999}"#);
    let run = |url: &str| mintage_with(&["token", "verify", &token, "--jwks", url], &[], "");
    let good = run(&answer_once("200 OK", std::fs::read(jwks).unwrap()));
    assert_eq!(good.code, 0, "{}", good.stderr);
    for (status, length, reason) in [
        ("404 Not Found", 2, "status 404"),
        ("200 OK", 300 * 1024, "larger than 256 KiB"),
        ("302 Found", 0, "status 302"),
    ] {
        let bad = run(&answer_once(status, vec![b' '; length]));
        assert!(bad.code == 1 && bad.stderr.contains(reason), "{}", bad.stderr);
    }
    let closed = run("http://127.0.0.1:1/");
    assert!(closed.code == 1 && closed.stderr.contains("cannot be fetched"), "{}", closed.stderr);
}

#[test]
fn healthcheck_asks_the_configured_address() {
    let listen = |url: &str| url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let healthy = listen(&answer_once("200 OK", Vec::new()));
    let outcome = mintage_with(&["healthcheck"], &[("MINTAGE_LISTEN", &healthy)], "");
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let url = answer_once("503 Service Unavailable", Vec::new());
    let outcome = mintage(&["healthcheck", "--url", &url]);
    assert!(outcome.code == 1 && outcome.stderr.contains("answered 503"), "{}", outcome.stderr);
    let outcome = mintage(&["healthcheck", "--url", "http://127.0.0.1:1/healthz"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("does not answer"), "{}", outcome.stderr);
    assert_eq!(mintage(&["healthcheck", "--url", "https://a.example"]).code, 2);
}

#[test]
fn completions_are_scripts() {
    for (shell, sign) in
        [("bash", "_mintage()"), ("zsh", "#compdef mintage"), ("fish", "complete -c mintage")]
    {
        let script = mintage(&["completions", shell]);
        assert!(script.code == 0 && script.stdout.contains(sign), "{shell}");
    }
}
