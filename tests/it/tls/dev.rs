//! `serve --dev --tls`: a certificate from nothing, and a first request that works as it is printed.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{PermissionsExt, symlink},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use super::process::mintage;
use crate::support::patience::free_address;

/// A server and the temporary directory it uses.
struct Dev {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    directory: TempDir,
    port: u16,
}

impl Dev {
    fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), free_address().port())
    }

    fn start_in(directory: TempDir, port: u16) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mintage"))
            .args(["serve", "--dev", "--tls", "--listen", &format!("127.0.0.1:{port}")])
            .env("MINTAGE_OPS_LISTEN", "127.0.0.1:0")
            .env("MINTAGE_LOG", "error")
            .env("TMPDIR", directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, directory, port }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("the server says more").unwrap()
    }

    fn ca_file(&self) -> std::path::PathBuf {
        self.directory.path().join(format!("mintage-dev-ca-{}.pem", self.port))
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a printed line as a person would.
fn shell(line: &str) -> String {
    let output =
        Command::new("sh").args(["-c", &format!("{line} --silent --show-error --fail")]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_printed_line_gets_a_token() {
    let mut server = Dev::start();
    let (banner, curl) = (server.line(), server.line());
    let port = server.port;
    assert!(banner.contains(&format!("listens on https://127.0.0.1:{port} (REST and gRPC)")), "{banner}");
    assert!(banner.contains(&format!("issuer https://localhost:{port}")), "{banner}");
    assert_eq!(
        curl,
        format!(
            "curl --cacert {} -u m2m-client:m2m-secret -d grant_type=client_credentials https://localhost:{port}/token",
            server.ca_file().display()
        )
    );
    let answer: Value = serde_json::from_str(&shell(&curl)).unwrap();
    assert_eq!(answer["token_type"], "Bearer");
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("https://{host}:{port}/.well-known/openid-configuration");
        let curl = format!("curl --cacert {} {url}", server.ca_file().display());
        let metadata: Value = serde_json::from_str(&shell(&curl)).unwrap();
        assert_eq!(metadata["token_endpoint"], format!("https://localhost:{port}/token"));
    }
    // Another authority is not enough: the certificate is verified.
    let bare =
        Command::new("curl").args(["-s", &format!("https://localhost:{port}/healthz")]).status().unwrap();
    assert!(!bare.success());

    let ca_file = server.ca_file();
    assert_eq!(fs::metadata(&ca_file).unwrap().permissions().mode() & 0o777, 0o600);
    let ended = Command::new("kill").arg(server.child.id().to_string()).status().unwrap();
    assert!(ended.success() && server.child.wait().unwrap().success());
    assert!(!ca_file.exists(), "it ends with the server");
}

#[test]
fn a_link_in_its_place_is_not_followed() {
    let (directory, port) = (tempfile::tempdir().unwrap(), free_address().port());
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, directory.path().join(format!("mintage-dev-ca-{port}.pem"))).unwrap();
    let mut server = Dev::start_in(directory, port);
    server.line();
    let curl = server.line();
    assert!(shell(&curl).contains("access_token"));
    assert_eq!(fs::read_to_string(victim).unwrap(), "precious");
}

#[test]
fn it_goes_with_dev_only_and_with_no_other_certificate() {
    let (code, stderr) = mintage(&["serve", "--tls"], &[("ISSUER_URL", "https://id.example")]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("tls.cert_file"), "{stderr}");
    let files = [("MINTAGE_TLS_CERT_FILE", "/a.pem"), ("MINTAGE_TLS_KEY_FILE", "/b.pem")];
    let (code, stderr) = mintage(&["serve", "--dev", "--tls"], &files);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("MINTAGE_TLS_CERT_FILE: tls.cert_file: --tls makes"), "{stderr}");
}
