//! What TLS costs, measured in one run: `cargo bench --bench tls [-- SECONDS]`.
//!
//! Starts the release binary twice, with and without TLS (1.3, an ECDSA P-256 certificate), and drives both from this process:
//! requests on kept connections, and connections that are opened for one request each, with full and with resumed handshakes.
//! Prints a Markdown table: how many per second, and the CPU time the server alone spends on each (from /proc). What a
//! handshake costs is the difference to a connection without TLS. All processes share the machine, so ratios are what counts.

use std::{
    error::Error,
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const CALLERS: usize = 16;
const SECRET: &str = "mint_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

fn main() -> Result<()> {
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(4);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run(Duration::from_secs(seconds)))
}

async fn run(duration: Duration) -> Result<()> {
    let certificates = Certificates::new()?;
    let (plain, encrypted) = (Server::start(None)?, Server::start(Some(&certificates))?);
    let config = |resumption: Resumption, with_certificate: bool| -> Result<Arc<ClientConfig>> {
        let mut config = certificates.client(with_certificate)?;
        config.resumption = resumption;
        Ok(Arc::new(config))
    };
    let fresh = config(Resumption::disabled(), false)?;
    let mutual = config(Resumption::disabled(), true)?;

    println!("| what | /s | server CPU us each | beyond the same without TLS |");
    println!("|---|---:|---:|---:|");
    for (name, request) in [("GET /healthz", get()), ("POST /token ES256", issue())] {
        let without = plain.kept(&format!("{name}, kept"), &request, None, duration, None).await?;
        encrypted
            .kept(&format!("{name}, kept, TLS"), &request, Some(&fresh), duration, Some(without))
            .await?;
    }
    let without = plain.opened("connection + GET /healthz", Callers::Plain, duration, None).await?;
    let measure = async |name: &str, callers| {
        encrypted
            .opened(&format!("connection + GET /healthz, {name}"), callers, duration, Some(without))
            .await
    };
    measure("TLS, full handshake", Callers::Full(fresh)).await?;
    measure("TLS, full handshake with a client certificate", Callers::Full(mutual)).await?;
    // Each caller has sessions of its own, as separate clients do.
    let resuming =
        (0..CALLERS).map(|_| config(Resumption::in_memory_sessions(8), false)).collect::<Result<Vec<_>>>()?;
    measure("TLS, resumed", Callers::Resumed(resuming)).await?;
    Ok(())
}

fn get() -> String {
    "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned()
}

fn issue() -> String {
    let body = format!("grant_type=client_credentials&client_id=es256&client_secret={SECRET}");
    format!(
        "POST /token HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// How connections are opened.
enum Callers {
    Plain,
    /// Each with a handshake from nothing.
    Full(Arc<ClientConfig>),
    /// Each caller with the sessions of its earlier connections.
    Resumed(Vec<Arc<ClientConfig>>),
}

/// An authority, the server's certificate and a client's.
struct Certificates {
    authority: CertificateDer<'static>,
    server: (String, String),
    client: (CertificateDer<'static>, Vec<u8>),
}

impl Certificates {
    fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let (server_key, client_key) = (KeyPair::generate()?, KeyPair::generate()?);
        let names = ["localhost".to_owned()];
        let server = CertificateParams::new(names.clone())?.signed_by(&server_key, &authority)?;
        let client = CertificateParams::new(names)?.signed_by(&client_key, &authority)?;
        Ok(Self {
            authority: authority.der().clone(),
            server: (server.pem(), server_key.serialize_pem()),
            client: (client.der().clone(), client_key.serialize_der()),
        })
    }

    fn client(&self, with_certificate: bool) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone())?;
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots);
        if !with_certificate {
            return Ok(builder.with_no_client_auth());
        }
        let (certificate, key) = self.client.clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
        Ok(builder.with_client_auth_cert(vec![certificate], key)?)
    }
}

/// The server under test; it ends with this value.
struct Server {
    child: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Server {
    fn start(certificates: Option<&Certificates>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let file = |name: &str| directory.path().join(name).display().to_string();
        let mut config = format!(
            "issuer = \"http://127.0.0.1\"\ndatabase_url = \"sqlite::memory:\"\nlog = \"warn\"\n\
             [[clients]]\nclient_id = \"es256\"\nclient_secret = \"{SECRET}\"\naccess_token_signing_alg = \"ES256\"\n"
        );
        if let Some(certificates) = certificates {
            let (certificate, key) = &certificates.server;
            fs::write(file("cert.pem"), certificate)?;
            fs::write(file("key.pem"), key)?;
            config += &format!(
                "[tls]\ncert_file = {:?}\nkey_file = {:?}\nclient_auth = \"optional\"\n",
                file("cert.pem"),
                file("key.pem")
            );
        }
        fs::write(file("mintage.toml"), config)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(env!("CARGO_BIN_EXE_mintage"))
            .args(["serve", "--config"])
            .arg(Path::new(&file("mintage.toml")))
            .env("MINTAGE_LISTEN", address.to_string())
            .env("MINTAGE_OPS_LISTEN", "127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut server = Self { child, address, _directory: directory };
        let started = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            if started.elapsed() > Duration::from_secs(30) || server.child.try_wait()?.is_some() {
                return Err("the server did not start".into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(server)
    }

    /// Repeats one request on connections that stay open.
    async fn kept(
        &self,
        name: &str,
        request: &str,
        tls: Option<&Arc<ClientConfig>>,
        duration: Duration,
        without: Option<f64>,
    ) -> Result<f64> {
        let load = Load::default();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..CALLERS {
            let stream = connect(self.address).await?;
            let (request, load, tls) = (request.to_owned(), load.clone(), tls.cloned());
            tasks.spawn(async move {
                match tls {
                    None => repeat(stream, &request, &load).await,
                    Some(config) => repeat(handshake(stream, &config).await?.0, &request, &load).await,
                }
            });
        }
        self.report(name, load, duration, tasks, without).await
    }

    /// Opens a connection for every request.
    async fn opened(
        &self,
        name: &str,
        callers: Callers,
        duration: Duration,
        without: Option<f64>,
    ) -> Result<f64> {
        let load = Load::default();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..CALLERS {
            let (address, load) = (self.address, load.clone());
            let (config, kind) = match &callers {
                Callers::Plain => (None, None),
                Callers::Full(config) => (Some(Arc::clone(config)), Some(HandshakeKind::Full)),
                Callers::Resumed(configs) => {
                    (Some(Arc::clone(&configs[number])), Some(HandshakeKind::Resumed))
                }
            };
            tasks.spawn(async move {
                let mut first = true;
                while load.goes_on() {
                    let stream = connect(address).await?;
                    let last = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
                    match &config {
                        None => ask(stream, last).await?,
                        Some(config) => {
                            let (stream, happened) = handshake(stream, config).await?;
                            // The first connection of a caller has nothing to resume.
                            if !first && happened != kind {
                                return Err(format!("{happened:?} instead of {kind:?}").into());
                            }
                            ask(stream, last).await?;
                        }
                    }
                    first = false;
                    load.count();
                }
                Ok(())
            });
        }
        self.report(name, load, duration, tasks, without).await
    }

    async fn report(
        &self,
        name: &str,
        load: Load,
        duration: Duration,
        mut tasks: tokio::task::JoinSet<Result<()>>,
        without: Option<f64>,
    ) -> Result<f64> {
        // The first part warms up; only what follows is counted.
        tokio::time::sleep(duration / 4).await;
        let (before, cpu_before, started) = (load.done(), self.cpu()?, Instant::now());
        tokio::time::sleep(duration).await;
        let (after, cpu_after, elapsed) = (load.done(), self.cpu()?, started.elapsed());
        load.stop();
        while let Some(result) = tasks.join_next().await {
            result??;
        }
        let count = (after - before) as f64;
        let cpu = (cpu_after - cpu_before).as_secs_f64() * 1e6 / count;
        let beyond = without.map_or("".to_owned(), |without| format!("{:.1}", cpu - without));
        println!("| {name} | {:.0} | {cpu:.1} | {beyond} |", count / elapsed.as_secs_f64());
        Ok(cpu)
    }

    /// User and system time of the server so far; the kernel counts in hundredths of a second.
    fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit_once(')').ok_or("stat")?.1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 10))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Counts until it is told to stop.
#[derive(Clone, Default)]
struct Load(Arc<(AtomicU64, AtomicBool)>);

impl Load {
    fn count(&self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }

    fn done(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }

    fn stop(&self) {
        self.0.1.store(true, Ordering::Relaxed);
    }

    fn goes_on(&self) -> bool {
        !self.0.1.load(Ordering::Relaxed)
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn handshake(
    stream: TcpStream,
    config: &Arc<ClientConfig>,
) -> Result<(tokio_rustls::client::TlsStream<TcpStream>, Option<HandshakeKind>)> {
    let name = ServerName::try_from("localhost")?;
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
    let kind = stream.get_ref().1.handshake_kind();
    Ok((stream, kind))
}

/// Asks until the load ends.
async fn repeat(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str, load: &Load) -> Result<()> {
    let mut answer = Vec::new();
    while load.goes_on() {
        stream.write_all(request.as_bytes()).await?;
        answer.clear();
        while !is_whole(&answer) {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("the connection ended".into());
            }
        }
        check(&answer)?;
        load.count();
    }
    Ok(())
}

/// Asks once, until the server ends the connection.
async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Result<()> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    check(&answer)
}

/// Whether an answer with a content length is there whole.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    answer.len() >= end + 4 + length.unwrap_or(0)
}

fn check(answer: &[u8]) -> Result<()> {
    if answer.starts_with(b"HTTP/1.1 200") {
        return Ok(());
    }
    Err(String::from_utf8_lossy(answer).into_owned().into())
}
