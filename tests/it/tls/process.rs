//! The command line: what is refused at the start, health checks, SIGHUP.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::support::{
    patience::PATIENCE,
    process::Process,
    tls::{self, Pair, TestCa},
};

const TOML: &str = "[[clients]]\nclient_id = \"service\"\nclient_secret = \"secret\"\naccess_token_signing_alg = \"HS256\"\n";

/// A certificate and its key in files.
struct Files {
    directory: TempDir,
    ca: TestCa,
}

impl Files {
    fn new() -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap(), ca: TestCa::new() };
        files.put(&files.ca.server());
        files
    }

    fn put(&self, pair: &Pair) {
        fs::write(self.path("cert.pem"), &pair.certificates).unwrap();
        fs::write(self.path("key.pem"), &pair.key).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    async fn serve(&self, client_auth: &str) -> Process {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        let environment = [
            ("MINTAGE_TLS_CERT_FILE", &*cert),
            ("MINTAGE_TLS_KEY_FILE", &key),
            ("MINTAGE_TLS_CLIENT_AUTH", client_auth),
        ];
        let mut process = Process::spawn(TOML, "exec \"$@\"", &environment);
        let ready = process.eventually(async |this| this.get(this.ops, "/readyz").await == Some(200)).await;
        assert!(ready, "{}", process.stderr());
        process
    }
}

/// Runs `mintage` with nothing but this environment, for as long as the test has patience.
pub(super) fn mintage(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = Command::new("timeout")
        .args([&PATIENCE.as_secs().to_string(), env!("CARGO_BIN_EXE_mintage")])
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// A start that fails, with this environment beside the usual one.
fn refused(environment: &[(&str, &str)]) -> String {
    refused_by(&["serve"], environment)
}

fn refused_by(command: &[&str], environment: &[(&str, &str)]) -> String {
    let usual = [
        ("ISSUER_URL", "https://id.example"),
        ("MINTAGE_DATABASE_URL", "sqlite::memory:"),
        ("MINTAGE_LISTEN", "127.0.0.1:0"),
        ("MINTAGE_OPS_LISTEN", "127.0.0.1:0"),
        ("MINTAGE_LOG", "error"),
    ];
    let usual = usual.into_iter().filter(|(name, _)| environment.iter().all(|(other, _)| other != name));
    let (code, stderr) = mintage(command, &usual.chain(environment.iter().copied()).collect::<Vec<_>>());
    assert_eq!(code, Some(1), "{stderr}");
    stderr
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_certificate_says_so_and_is_healthy() {
    let files = Files::new();
    for client_auth in ["off", "required"] {
        let server = files.serve(client_auth).await;
        assert!(server.stdout().contains(&format!("https://{}", server.address)), "{}", server.stdout());
        let (listen, ops) = (server.address.to_string(), server.ops.to_string());
        let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
        let environment = [
            ("MINTAGE_LISTEN", &*listen),
            ("MINTAGE_OPS_LISTEN", &ops),
            ("MINTAGE_TLS_CERT_FILE", &cert),
            ("MINTAGE_TLS_KEY_FILE", &key),
            ("MINTAGE_TLS_CLIENT_AUTH", client_auth),
        ];
        assert_eq!(mintage(&["healthcheck"], &environment), (Some(0), String::new()));
    }
    let server = files.serve("off").await;
    let url = format!("https://{}/healthz", server.address);
    assert_eq!(mintage(&["healthcheck", "--url", &url], &[]).0, Some(0));
    // CHK-29: whoever leaves TLS out gets nothing, and no redirect.
    let url = url.replace("https", "http");
    assert_eq!(mintage(&["healthcheck", "--url", &url], &[]).0, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn hangup_reads_the_certificate_again_and_names_what_is_wrong() {
    let files = Files::new();
    let mut server = files.serve("off").await;
    let client = tls::http(&files.ca, None);
    let url = format!("https://{}/healthz", server.address);
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);

    fs::write(files.path("cert.pem"), "half a fi").unwrap();
    server.signal("HUP");
    let named = "cert.pem: holds no certificate in PEM; name a PEM file";
    server.says(named).await;
    assert!(server.stderr().contains("what was read before stays in use"));

    let next = files.ca.server();
    files.put(&next);
    server.signal("HUP");
    let config = std::sync::Arc::new(tls::client_config(&files.ca, None, &[]));
    let shows_next = server.eventually(async |this| {
        let stream = tls::connect(this.address, &config).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec() == next.leaf()
    });
    assert!(shows_next.await, "{}", server.stderr());
    // The connection from before is still there.
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
}

#[test]
fn files_that_cannot_be_used_end_the_start() {
    let files = Files::new();
    let other = files.ca.server();
    let usage = rcgen::ExtendedKeyUsagePurpose::ServerAuth;
    let mut params = tls::params("localhost", &[], usage);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let expired = files.ca.sign(&params);
    for (name, text) in [
        ("other.pem", &*other.key),
        ("empty.pem", ""),
        ("expired.pem", &expired.certificates),
        ("expired-key.pem", &expired.key),
    ] {
        fs::write(files.path(name), text).unwrap();
    }
    for (cert, key, said) in [
        (
            "cert.pem",
            "other.pem",
            "other.pem: is not the key of the certificate; name a PEM file with the key of",
        ),
        ("empty.pem", "key.pem", "empty.pem: holds no certificate in PEM; name a PEM file"),
        ("cert.pem", "empty.pem", "empty.pem: holds no private key in PEM"),
        (
            "expired.pem",
            "expired-key.pem",
            "expired.pem: holds a certificate that expired on Jan  1 00:00:00 2020",
        ),
        ("missing.pem", "key.pem", "missing.pem: cannot be read"),
        ("cert.pem", "missing.pem", "missing.pem: cannot be read"),
    ] {
        let (cert, key) = (files.path(cert), files.path(key));
        let environment = [("MINTAGE_TLS_CERT_FILE", &*cert), ("MINTAGE_TLS_KEY_FILE", &*key)];
        let stderr = refused(&environment);
        assert!(stderr.contains(said), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert_eq!(refused_by(&["config", "check"], &environment), stderr);
    }
    let stderr = refused(&[("MINTAGE_TLS_CERT_FILE", &files.path("cert.pem"))]);
    assert!(stderr.contains("tls.key_file"), "{stderr}");
}

#[test]
fn plain_http_beyond_loopback_takes_a_word() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let stderr = refused(&[("MINTAGE_LISTEN", address)]);
        for part in [address, "tls.cert_file", "allow_plain_http", "MINTAGE_ALLOW_PLAIN_HTTP"] {
            assert!(stderr.contains(part), "{part} is missing: {stderr}");
        }
    }
    // With the word, or with TLS, the start goes on, to an address that this machine does not have.
    let files = Files::new();
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    for environment in [
        &[("MINTAGE_ALLOW_PLAIN_HTTP", "true")][..],
        &[("MINTAGE_TLS_CERT_FILE", &cert), ("MINTAGE_TLS_KEY_FILE", &key)],
    ] {
        let stderr = refused(&[environment, &[("MINTAGE_LISTEN", "192.0.2.1:1")]].concat());
        assert!(stderr.contains("cannot be listened on"), "{stderr}");
    }
    assert!(Path::new(&cert).exists());
}
