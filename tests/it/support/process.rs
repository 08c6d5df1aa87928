//! The real binary as a process of its own, for what only a process shows: signals, exit codes, its standard streams.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::patience::{PATIENCE, free_address};

/// A client whose tokens cost the server little.
pub const SERVICE: &str = r#"
[[clients]]
client_id = "service"
client_secret = "secret"
access_token_signing_alg = "HS256"
"#;

/// A running `mintage serve`. It is killed when dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    pub ops: SocketAddr,
    pub config: PathBuf,
    directory: TempDir,
}

impl Process {
    /// Starts a server with this configuration file and waits until it is ready.
    pub async fn start(toml: &str) -> Self {
        Self::start_through(toml, "exec \"$@\"").await
    }

    /// The same through a shell script, which gets the command as its arguments.
    pub async fn start_through(toml: &str, script: &str) -> Self {
        let mut process = Self::spawn(toml, script, &[]);
        process.ready().await;
        process
    }

    /// Starts a server with more environment and waits for nothing.
    pub fn spawn(toml: &str, script: &str, environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("mintage.toml");
        fs::write(&config, toml).unwrap();
        let (address, ops) = (free_address(), free_address());
        let stream = |name: &str| Stdio::from(File::create(directory.path().join(name)).unwrap());
        let child = Command::new("sh")
            .args(["-c", script, "sh", env!("CARGO_BIN_EXE_mintage"), "serve", "--config"])
            .arg(&config)
            // What a test is told by a variable must not become a setting.
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("ISSUER_URL", format!("http://{address}"))
            .env("JWT_SECRET", super::server::JWT_SECRET)
            .env("MINTAGE_DATABASE_URL", "sqlite::memory:")
            .env("MINTAGE_LISTEN", address.to_string())
            .env("MINTAGE_OPS_LISTEN", ops.to_string())
            .env("MINTAGE_LOG", "info")
            .env("MINTAGE_LIMITS_QUEUE_WAIT", "10s")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(stream("stdout"))
            .stderr(stream("stderr"))
            .spawn()
            .unwrap();
        Self { child, address, ops, config, directory }
    }

    /// Waits until it is ready.
    pub async fn ready(&mut self) {
        let begun = Instant::now();
        while self.get(self.address, "/readyz").await != Some(200) {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "not ready ({ended:?}): {}",
                self.stderr()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The status of a GET, `None` when there is no answer.
    pub async fn get(&self, address: SocketAddr, path: &str) -> Option<u16> {
        reqwest::get(format!("http://{address}{path}")).await.ok().map(|response| response.status().as_u16())
    }

    /// Asks again and again until it is so, or [`PATIENCE`] ends.
    pub async fn eventually(&mut self, is_so: impl AsyncFn(&Self) -> bool) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if is_so(self).await {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// Waits until its log says this: a thread of its own writes it.
    pub async fn says(&mut self, text: &str) {
        let is_said = self.eventually(async |this| this.stderr().contains(text)).await;
        assert!(is_said, "{text} is not in {}", self.stderr());
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, by its name without SIG.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end, for no longer than [`PATIENCE`].
    pub async fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the server did not end: {}", self.stderr());
    }

    pub fn stdout(&self) -> String {
        fs::read_to_string(self.directory.path().join("stdout")).unwrap()
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(self.directory.path().join("stderr")).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
