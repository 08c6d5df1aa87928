//! Peers that keep to no protocol, against the server as a process of its own: what they cost is read from `/proc`, and a
//! valid caller beside them must succeed every time.
//!
//! Verdicts are counts and bytes: a connection was closed or is held back by its own socket, resident memory stayed where it
//! was. `V-n` and `F-n` name entries of the project's security list. `MINTAGE_ABUSE_SECONDS=3600 cargo test --test it
//! abuse::together` runs everything at once for so long, and `MINTAGE_ABUSE_CGROUP=/sys/fs/cgroup/memory/NAME` has the server do so
//! in that control group, which bounds its memory.

mod connection;
mod descriptors;
mod floods;
mod handshakes;
mod http1;
mod idle;
mod messages;
mod metadata;
mod places;
mod readers;
mod resets;
mod together;
mod unfinished;

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;

use crate::support::process::{Process, SERVICE as TOML};

const MIB: u64 = 1024 * 1024;

/// More than a protected server ever takes for one connection, and far less than any attack here asks it to.
const FLAT: u64 = 8 * MIB;

/// A server, a valid caller beside its attackers, and how much memory it had before them.
struct Target {
    process: Process,
    neighbour: Option<Neighbour>,
    before: u64,
}

impl Target {
    async fn start() -> Self {
        Self::of(Process::start(TOML).await).await
    }

    /// The same with this process.
    async fn of(process: Process) -> Self {
        Self::besides(process, reqwest::Client::new(), "http").await
    }

    /// The same, and the valid caller has this client and uses this scheme.
    async fn besides(process: Process, client: reqwest::Client, scheme: &str) -> Self {
        let neighbour = Neighbour::asking(client, format!("{scheme}://{}/token", process.address));
        // What is allocated once and kept is there before it is measured.
        while neighbour.answered() < 30 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let before = memory(&process, "VmRSS");
        // Makes the peak that of now (proc(5), clear_refs).
        fs::write(format!("/proc/{}/clear_refs", process.id()), "5").unwrap();
        Self { process, neighbour: Some(neighbour), before }
    }

    fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// How many bytes of resident memory there are more than before.
    fn grown(&self) -> u64 {
        memory(&self.process, "VmRSS").saturating_sub(self.before)
    }

    /// The same at the worst moment.
    fn peak(&self) -> u64 {
        memory(&self.process, "VmHWM").saturating_sub(self.before)
    }

    /// The valid caller has had nothing but success, goes on having it, and memory has not grown by more than `most`.
    async fn is_well(&mut self, most: u64) {
        let neighbour = self.neighbour.take().unwrap();
        neighbour.goes_on().await;
        assert!(self.peak() <= most, "{} KiB more than before", self.peak() / 1024);
        assert!(!self.process.stderr().contains("panicked"), "{}", self.process.stderr());
    }

    /// What a metric's line says.
    async fn metric(&self, name: &str) -> u64 {
        let metrics = reqwest::get(format!("http://{}/metrics", self.process.ops)).await.unwrap();
        let text = metrics.text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or(" 0");
        line.trim().parse().unwrap()
    }
}

/// A line of `/proc/PID/status`, in bytes.
fn memory(process: &Process, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// A caller that asks for tokens, one after the other, on a connection that it keeps.
struct Neighbour {
    answered: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Neighbour {
    fn asking(client: reqwest::Client, url: String) -> Self {
        let (answered, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&answered), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            while !end.load(Ordering::SeqCst) {
                let request = client
                    .post(&url)
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body("grant_type=client_credentials&client_id=service&client_secret=secret");
                let answer = request.send().await.unwrap_or_else(|error| panic!("{error:?}"));
                let (status, head) = (answer.status().as_u16(), format!("{:?}", answer.headers()));
                let body = answer.text().await.unwrap();
                assert!(status == 200 && body.contains("access_token"), "{status} {head} {body}");
                count.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        Self { answered, stop, task }
    }

    fn answered(&self) -> u64 {
        assert!(!self.task.is_finished(), "the valid caller was let down");
        self.answered.load(Ordering::SeqCst)
    }

    async fn goes_on(self) {
        let before = self.answered();
        while self.answered() < before + 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
    }
}
