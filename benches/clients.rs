//! What clients in the store cost: `cargo bench --bench clients`.
//!
//! Fills an SQLite store with 10, 10,000 and 1,000,000 clients, starts the release binary on it and issues ES256 tokens to
//! at most 10,000 of them in turn. Prints a Markdown table: time to ready, memory of the server after the start and with the
//! hot clients known, requests per second, and the CPU time the server alone spends per token once it knows them.

use std::{
    error::Error,
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use mintage::{
    oauth::{
        client::ClientId,
        store::{ClientRecord, ClientStore, TransferStore},
    },
    store::{Location, Options, Store},
};
use reqwest::Client;
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const COUNTS: [usize; 3] = [10, 10_000, 1_000_000];
const HOT: usize = 10_000;
const TOKENS: usize = 40_000;
const CONNECTIONS: usize = 16;

fn main() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let directory = tempfile::tempdir()?;
        let url = format!("sqlite://{}", directory.path().join("mintage.db").display());
        let secret = first_client(&url)?;
        let store = Store::open(&Location::parse(&url)?, Options::default()).await?;
        let model = store.get(&ClientId::parse("c0")?).await?.ok_or("the first client")?;
        let (mut filled, http) = (1, Client::new());
        println!("| clients | start to ready | RSS at start | RSS with {HOT} hot | tokens/s | server CPU us/token |");
        println!("|---:|---:|---:|---:|---:|---:|");
        for count in COUNTS {
            fill(&store, &model, filled..count).await?;
            filled = count;
            let server = Server::start(&url, directory.path())?;
            let at_start = server.rss_mib()?;
            let hot = count.min(HOT);
            // Every hot client is read once; then the clock starts.
            issue(&http, server.address, &secret, hot, hot).await?;
            let (begun, cpu) = (Instant::now(), server.cpu()?);
            issue(&http, server.address, &secret, hot, TOKENS).await?;
            let (took, cpu) = (begun.elapsed(), server.cpu()? - cpu);
            println!(
                "| {count} | {} ms | {at_start:.1} MiB | {:.1} MiB | {:.0} | {:.1} |",
                server.ready_after.as_millis(),
                server.rss_mib()?,
                TOKENS as f64 / took.as_secs_f64(),
                cpu.as_secs_f64() * 1e6 / TOKENS as f64,
            );
        }
        Ok(())
    })
}

/// Registers `c0` and returns its secret.
fn first_client(url: &str) -> Result<String> {
    let output = mintage(url)
        .args([
            "client",
            "create",
            "--client-id",
            "c0",
            "--alg",
            "ES256",
            "--scope",
            "read",
            "--output",
            "json",
        ])
        .output()?;
    let created: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    Ok(created["client_secret"].as_str().ok_or("the secret")?.to_owned())
}

/// Adds clients that are like the first one, secret included.
async fn fill(store: &Arc<Store>, model: &ClientRecord, numbers: std::ops::Range<usize>) -> Result<()> {
    let clients: Vec<ClientRecord> = numbers
        .map(|number| {
            let client_id = format!("c{number}");
            Ok(ClientRecord {
                document: model.document.replace("\"c0\"", &format!("\"{client_id}\"")),
                client_id: ClientId::parse(&client_id)?,
                ..model.clone()
            })
        })
        .collect::<Result<_>>()?;
    for chunk in clients.chunks(1000) {
        store.import_clients(chunk).await?;
    }
    Ok(())
}

async fn issue(http: &Client, address: SocketAddr, secret: &str, hot: usize, tokens: usize) -> Result<()> {
    let mut callers = JoinSet::new();
    for caller in 0..CONNECTIONS {
        let (http, secret) = (http.clone(), secret.to_owned());
        callers.spawn(async move {
            for number in (caller..tokens).step_by(CONNECTIONS) {
                let response = http
                    .post(format!("http://{address}/token"))
                    .basic_auth(format!("c{}", number % hot), Some(&secret))
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body("grant_type=client_credentials")
                    .send()
                    .await?;
                response.error_for_status()?.bytes().await?;
            }
            Ok::<_, reqwest::Error>(())
        });
    }
    while let Some(done) = callers.join_next().await {
        done??;
    }
    Ok(())
}

fn mintage(url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mintage"));
    command
        .env("ISSUER_URL", "https://id.example")
        .env("MINTAGE_DATABASE_URL", url)
        .env("MINTAGE_LOG", "error");
    command
}

struct Server {
    child: Child,
    address: SocketAddr,
    ready_after: Duration,
}

impl Server {
    fn start(url: &str, directory: &Path) -> Result<Self> {
        let (address, ops) = (free_address()?, free_address()?);
        let begun = Instant::now();
        let child = mintage(url)
            .arg("serve")
            .env("MINTAGE_LISTEN", address.to_string())
            .env("MINTAGE_OPS_LISTEN", ops.to_string())
            .current_dir(directory)
            .stdout(Stdio::null())
            .spawn()?;
        let mut server = Self { child, address, ready_after: Duration::ZERO };
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > Duration::from_secs(60) || server.child.try_wait()?.is_some() {
                return Err("the server did not start".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        server.ready_after = begun.elapsed();
        Ok(server)
    }

    fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit_once(')').ok_or("stat")?.1.split_whitespace().collect();
        Ok(Duration::from_millis((fields[11].parse::<u64>()? + fields[12].parse::<u64>()?) * 10))
    }

    fn rss_mib(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("VmRSS")?;
        Ok(line.split_whitespace().nth(1).ok_or("VmRSS")?.parse::<f64>()? / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
