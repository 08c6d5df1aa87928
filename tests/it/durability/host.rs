//! A host of the server: a directory with its configuration and its database, on which it is started again and again.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use mintage::grpc::pb::admin as pb;
use reqwest::header::HeaderMap;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use tempfile::TempDir;
use tonic::Status;

use crate::support::patience::{PATIENCE, free_address, patiently};

pub(super) const ISSUER: &str = "https://id.example";

/// The secret of the configured clients, of the form of generated ones: nobody waits for Argon2id.
pub(super) const SECRET: &str = "mint_0000000000000000000000000000000000000000000";

const CLIENTS: &str = r#"
[limits]
failed_auth_rate = "off"

[[clients]]
client_id = "operator"
client_secret = "mint_0000000000000000000000000000000000000000000"
scope = "mintage:admin read"
access_token_signing_alg = "EdDSA"

[[clients]]
client_id = "resource-server"
client_secret = "mint_0000000000000000000000000000000000000000000"
grant_types = []
introspect = "any"
"#;

pub(super) struct Host {
    directory: TempDir,
    database_url: String,
    environment: Vec<(String, String)>,
}

/// What a run of the program left.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// A client with its secret.
#[derive(Clone, Debug)]
pub(super) struct Registered {
    pub(super) client_id: String,
    pub(super) secret: String,
}

/// What a request for the REST endpoints came to.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// A running server. It is killed when dropped.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
    pub(super) ops: SocketAddr,
    http: reqwest::Client,
    stderr: PathBuf,
    stdout: PathBuf,
}

impl Host {
    /// With an SQLite database of its own.
    pub(super) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("mintage.db").display());
        Self::new(directory, url)
    }

    pub(super) fn on(database_url: &str) -> Self {
        Self::new(tempfile::tempdir().unwrap(), database_url.to_owned())
    }

    fn new(directory: TempDir, database_url: String) -> Self {
        let config = format!("issuer = \"{ISSUER}\"\ndatabase_url = \"{database_url}\"\n{CLIENTS}");
        fs::write(directory.path().join("mintage.toml"), config).unwrap();
        Self { directory, database_url, environment: Vec::new() }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn database_url(&self) -> &str {
        &self.database_url
    }

    fn command(&self, script: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", script, "sh", env!("CARGO_BIN_EXE_mintage")])
            .args(arguments)
            .args(["--config", "mintage.toml"])
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs another command of the program beside the server, or without one.
    pub(super) fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_through("exec \"$@\"", arguments)
    }

    /// The same through a shell script, which gets the command as its arguments.
    pub(super) fn run_through(&self, script: &str, arguments: &[&str]) -> Outcome {
        let output = self.command(script, arguments).output().unwrap();
        Outcome {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts the server and waits until it is ready.
    pub(super) async fn start(&self) -> Server {
        self.start_through("exec \"$@\"").await
    }

    /// The same through a shell script, which gets the command as its arguments.
    pub(super) async fn start_through(&self, script: &str) -> Server {
        let (address, ops) = (free_address(), free_address());
        let (stdout, stderr) = (self.path("stdout"), self.path("stderr"));
        let child = self
            .command(script, &["serve"])
            .env("MINTAGE_LISTEN", address.to_string())
            .env("MINTAGE_OPS_LISTEN", ops.to_string())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        let mut server = Server { child, address, ops, http, stderr, stdout };
        let begun = Instant::now();
        while server.get("/readyz").await.is_none_or(|answer| answer.status != 200) {
            let ended = server.child.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "not ready ({ended:?}): {}",
                server.stderr()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server
    }
}

impl Outcome {
    /// The one sentence of a failure.
    pub(super) fn failed(&self, needle: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (1, ""), "{}", self.stderr);
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "{}", self.stderr);
        assert!(self.stderr.starts_with("error: ") && self.stderr.contains(needle), "{}", self.stderr);
    }

    pub(super) fn done(&self) -> &str {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        &self.stdout
    }
}

impl Server {
    pub(super) fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    pub(super) fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap()
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal, by its name without SIG, to a server that others still talk to.
    pub(super) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// No file of the process may grow beyond this.
    pub(super) fn limit_files(&self, bytes: Option<u64>) {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Pid::from_raw(self.child.id().try_into().unwrap()), Resource::Fsize, limit).unwrap();
    }

    /// Ctrl-C, and its exit code.
    pub(super) fn interrupt(&mut self) -> Option<i32> {
        self.signal("INT");
        self.child.wait().unwrap().code()
    }

    /// `None` when there is no answer.
    pub(super) async fn get(&self, path: &str) -> Option<Answer> {
        read(self.http.get(format!("http://{}{path}", self.address)).send().await.ok()?).await
    }

    /// A form, sent with the credentials of a client.
    pub(super) async fn post(&self, client: (&str, &str), path: &str, form: &str) -> Option<Answer> {
        let request = self.http.post(format!("http://{}{path}", self.address));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = request.header("authorization", crate::support::auth::basic(client.0, client.1));
        read(request.body(form.to_owned()).send().await.ok()?).await
    }

    pub(super) async fn issue(&self, client: (&str, &str)) -> Option<Answer> {
        self.post(client, "/token", "grant_type=client_credentials").await
    }

    /// The same as the operator with a DPoP proof.
    pub(super) async fn issue_with_proof(&self, proof: &str) -> Option<Answer> {
        let request = self.http.post(format!("http://{}/token", self.address));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = request.header("authorization", crate::support::auth::basic("operator", SECRET));
        let request = request.header("dpop", proof).body("grant_type=client_credentials");
        read(request.send().await.ok()?).await
    }

    /// A token for a client, which must get one, however long the store takes.
    pub(super) async fn token(&self, client: (&str, &str)) -> String {
        patiently!(self.issue(client).await, Answer::is_put_off).expect("an answer").token()
    }

    pub(super) async fn operator_token(&self) -> String {
        self.token(("operator", SECRET)).await
    }

    pub(super) async fn revoke(&self, token: &str) -> Option<Answer> {
        self.post(("operator", SECRET), "/revoke", &format!("token={token}")).await
    }

    /// Revokes a token, however long the disk takes.
    pub(super) async fn revoked(&self, token: &str) {
        self.revoked_by(("operator", SECRET), token).await;
    }

    pub(super) async fn revoked_by(&self, client: (&str, &str), token: &str) {
        let form = format!("token={token}");
        let answer = patiently!(self.post(client, "/revoke", &form).await, Answer::is_put_off);
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    pub(super) async fn is_active(&self, token: &str) -> bool {
        let form = format!("token={token}");
        let ask = async || self.post(("resource-server", SECRET), "/introspect", &form).await;
        let answer = patiently!(ask().await, Answer::is_put_off).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["active"].as_bool().unwrap()
    }

    /// The kids of the key set, sorted.
    pub(super) async fn kids(&self) -> Vec<String> {
        let answer = self.get("/.well-known/jwks.json").await.expect("an answer").json();
        let keys = answer["keys"].as_array().unwrap().clone();
        let mut kids: Vec<_> = keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect();
        kids.sort();
        assert!(!kids.is_empty());
        kids
    }

    /// The admin service, for who has this token.
    pub(super) async fn admin(&self, token: &str) -> Admin {
        Admin(crate::support::admin::Admin::at(self.ops, token).await)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) struct Admin(crate::support::admin::Admin);

impl Admin {
    /// Registers a client that may have scope `read`.
    pub(super) async fn create(&mut self, client_id: &str) -> Result<Registered, Status> {
        let request = pb::CreateClientRequest { client: Some(client(client_id)), ..Default::default() };
        let response = self.0.create_client(request).await?;
        Ok(Registered { client_id: client_id.to_owned(), secret: response.client_secret })
    }

    /// The same, however long the disk takes.
    pub(super) async fn created(&mut self, client_id: &str) -> Registered {
        let (client, secret) = self.0.create(client(client_id)).await;
        Registered { client_id: client.client_id, secret }
    }
}

fn client(client_id: &str) -> pb::Client {
    pb::Client {
        client_id: client_id.to_owned(),
        scope: "read".to_owned(),
        access_token_signing_alg: "EdDSA".to_owned(),
        ..pb::Client::default()
    }
}

impl Registered {
    pub(super) fn credentials(&self) -> (&str, &str) {
        (&self.client_id, &self.secret)
    }
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// 503: the disk, or the machine, is busy.
    pub(super) fn is_put_off(answer: &Option<Self>) -> bool {
        answer.as_ref().is_some_and(|answer| answer.status == 503)
    }

    fn token(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.body);
        self.json()["access_token"].as_str().unwrap().to_owned()
    }
}

async fn read(response: reqwest::Response) -> Option<Answer> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Some(Answer { status, headers, body: response.text().await.ok()? })
}

/// What SQLite says of a file.
pub(super) fn integrity(path: &Path) -> String {
    let database = rusqlite::Connection::open(path).unwrap();
    database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}
