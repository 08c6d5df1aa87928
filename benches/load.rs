//! Whole-process speed, measured in one run: `cargo bench --bench load [-- SECONDS]`.
//!
//! Starts the release binary as a process of its own, drives it over keep-alive connections of this process, and prints
//! a Markdown table: requests per second, the CPU time the server alone spends per request (from /proc), and that time
//! as a multiple of a trivial route of the same server. Both processes share the machine, so ratios are what counts.

use std::{
    error::Error,
    fs,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use mintage::{
    clock::{Clock, SystemClock},
    grpc::pb::token::{self as pb, token_service_client::TokenServiceClient},
    jose::{JwsAlgorithm, PrivateKey},
};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const CONNECTIONS: usize = 16;
const SECRET: &str = "mint_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

fn main() -> Result<()> {
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(4);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run(Duration::from_secs(seconds)))
}

async fn run(duration: Duration) -> Result<()> {
    let server = Server::start().await?;
    println!("start to ready: {:.0?}; idle RSS: {:.1} MiB\n", server.ready_after, server.rss_mib()?);
    println!("| request | req/s | server CPU us/req | x trivial |");
    println!("|---|---:|---:|---:|");

    let get = |path: &str| server.request("GET", path, "", None);
    let issue =
        |client: &str| server.request("POST", "/token", "grant_type=client_credentials", Some(client));
    let health = get("/healthz")?;
    let trivial = server.measure("GET /healthz (trivial)", again(&health), duration, None).await?;
    for alg in ["HS256", "ES256", "EdDSA", "RS256"] {
        let request = issue(alg)?;
        server.measure(&format!("POST /token {alg}"), again(&request), duration, Some(trivial)).await?;
    }
    let signer = Arc::clone(&server.signer);
    let (plain, own) = (issue("ES256")?, server.request("POST", "/token", "", None)?);
    let with_proof = {
        let signer = Arc::clone(&signer);
        move || signer.add_proof(plain.clone())
    };
    server.measure("POST /token ES256, DPoP proof ES256", with_proof, duration, Some(trivial)).await?;
    let with_assertion = move || signer.authenticate(&own);
    let name = "POST /token ES256, private_key_jwt ES256";
    server.measure(name, with_assertion, duration, Some(trivial)).await?;
    for alg in ["HS256", "RS256"] {
        let token = server.token(alg).await?;
        let body = format!("token={token}");
        let introspect = server.request("POST", "/introspect", &body, Some(alg))?;
        let name = format!("POST /introspect {alg}");
        server.measure(&name, again(&introspect), duration, Some(trivial)).await?;
    }
    for alg in ["HS256", "ES256", "RS256"] {
        server.measure_grpc(alg, duration, trivial).await?;
    }
    println!("\nRSS after the load: {:.1} MiB", server.rss_mib()?);
    Ok(())
}

/// The same request again and again.
fn again(request: &Request<Full<Bytes>>) -> impl Fn() -> Result<Request<Full<Bytes>>> + Clone + use<> {
    let request = request.clone();
    move || Ok(request.clone())
}

/// Makes what is used once: assertions of a client, and DPoP proofs.
struct Signer {
    key: PrivateKey,
    number: AtomicU64,
}

impl Signer {
    fn sign(&self, header: &Value, mut claims: Value) -> Result<String> {
        let now = SystemClock.now().seconds();
        claims["jti"] = format!("jti-{}", self.number.fetch_add(1, Ordering::Relaxed)).into();
        claims["iat"] = now.into();
        claims["exp"] = (now + 60).into();
        let header = header.as_object().cloned().unwrap_or_default();
        Ok(self.key.sign(header, claims.to_string().as_bytes())?)
    }

    fn add_proof(&self, mut request: Request<Full<Bytes>>) -> Result<Request<Full<Bytes>>> {
        let header = json!({ "typ": "dpop+jwt", "jwk": self.key.jwk() });
        let proof = self.sign(&header, json!({ "htm": "POST", "htu": "http://127.0.0.1/token" }))?;
        request.headers_mut().insert("dpop", proof.parse()?);
        Ok(request)
    }

    fn authenticate(&self, request: &Request<Full<Bytes>>) -> Result<Request<Full<Bytes>>> {
        let claims = json!({ "iss": "signs", "sub": "signs", "aud": "http://127.0.0.1" });
        let body = format!(
            "grant_type=client_credentials&client_assertion={}\
             &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer",
            self.sign(&json!({}), claims)?
        );
        let mut request = request.clone().map(|_| Full::new(Bytes::from(body)));
        request.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse()?);
        Ok(request)
    }
}

/// The server under test; it ends with this value.
struct Server {
    child: Child,
    address: SocketAddr,
    ready_after: Duration,
    signer: Arc<Signer>,
    _directory: tempfile::TempDir,
}

impl Server {
    async fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut config =
            "issuer = \"http://127.0.0.1\"\njwt_secret = \"0123456789abcdef0123456789abcdef\"\n".to_owned();
        for alg in ["HS256", "ES256", "EdDSA", "RS256"] {
            config += &format!(
                "[[clients]]\nclient_id = \"{alg}\"\nclient_secret = \"{SECRET}\"\nscope = \"read write\"\n\
                 access_token_signing_alg = \"{alg}\"\n\
                 claims = {{ name = \"Load\", email = \"load@example.com\", fhirUser = \"Practitioner/1\" }}\n"
            );
        }
        let key = PrivateKey::generate(JwsAlgorithm::ES256)?;
        let jwk = serde_json::to_value(key.jwk())?;
        let members = jwk.as_object().into_iter().flatten().map(|(name, value)| format!("{name} = {value}"));
        config += &format!(
            "[[clients]]\nclient_id = \"signs\"\nscope = \"read write\"\naccess_token_signing_alg = \"ES256\"\n\
             token_endpoint_auth_method = \"private_key_jwt\"\njwks = {{ keys = [{{ {} }}] }}\n\
             claims = {{ name = \"Load\", email = \"load@example.com\", fhirUser = \"Practitioner/1\" }}\n",
            members.collect::<Vec<_>>().join(", ")
        );
        let signer = Arc::new(Signer { key, number: AtomicU64::new(0) });
        let file = directory.path().join("mintage.toml");
        fs::write(&file, config)?;
        let (address, ops) = (free_address()?, free_address()?);
        let started = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_mintage"))
            .args(["serve", "--config"])
            .arg(&file)
            .env(
                "MINTAGE_DATABASE_URL",
                format!("sqlite://{}", directory.path().join("mintage.db").display()),
            )
            .env("MINTAGE_LISTEN", address.to_string())
            .env("MINTAGE_OPS_LISTEN", ops.to_string())
            .env("MINTAGE_LOG", "warn")
            .stdout(Stdio::null())
            .spawn()?;
        let mut server = Self { child, address, ready_after: Duration::ZERO, signer, _directory: directory };
        while std::net::TcpStream::connect(address).is_err() {
            if started.elapsed() > Duration::from_secs(30) || server.child.try_wait()?.is_some() {
                return Err("the server did not start".into());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        server.ready_after = started.elapsed();
        Ok(server)
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        body: &str,
        client: Option<&str>,
    ) -> Result<Request<Full<Bytes>>> {
        let mut request =
            Request::builder().method(method).uri(path).header("host", self.address.to_string());
        if let Some(client) = client {
            use base64::engine::{Engine, general_purpose::STANDARD};

            request = request
                .header("content-type", "application/x-www-form-urlencoded")
                .header("authorization", format!("Basic {}", STANDARD.encode(format!("{client}:{SECRET}"))));
        }
        Ok(request.body(Full::new(Bytes::from(body.to_owned())))?)
    }

    async fn token(&self, client: &str) -> Result<String> {
        let request = self.request("POST", "/token", "grant_type=client_credentials", Some(client))?;
        let mut sender = connect(self.address).await?;
        let body = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
        let json: Value = serde_json::from_slice(&body)?;
        Ok(json["access_token"].as_str().ok_or("no token")?.to_owned())
    }

    /// Makes requests on every connection, one after another; prints a row and returns the CPU microseconds per request.
    async fn measure(
        &self,
        name: &str,
        request: impl Fn() -> Result<Request<Full<Bytes>>> + Clone + Send + 'static,
        duration: Duration,
        trivial: Option<f64>,
    ) -> Result<f64> {
        let load = Load::default();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (mut sender, request, load) = (connect(self.address).await?, request.clone(), load.clone());
            tasks.spawn(async move {
                while load.goes_on() {
                    let response = sender.send_request(request()?).await?;
                    if !response.status().is_success() {
                        return Err(format!("status {}", response.status()).into());
                    }
                    response.into_body().collect().await?;
                    load.count();
                }
                Ok(())
            });
        }
        self.report(name, load, duration, tasks, trivial).await
    }

    async fn measure_grpc(&self, client: &str, duration: Duration, trivial: f64) -> Result<f64> {
        let load = Load::default();
        let mut tasks = tokio::task::JoinSet::new();
        let message = pb::IssueRequest {
            client_authentication: Some(pb::issue_request::ClientAuthentication::ClientSecret(
                pb::ClientSecret { client_id: client.to_owned(), client_secret: SECRET.to_owned() },
            )),
            ..Default::default()
        };
        for _ in 0..CONNECTIONS {
            let channel =
                tonic::transport::Channel::from_shared(format!("http://{}", self.address))?.connect().await?;
            let (message, load) = (message.clone(), load.clone());
            tasks.spawn(async move {
                let mut stub = TokenServiceClient::new(channel);
                while load.goes_on() {
                    stub.issue(message.clone()).await?;
                    load.count();
                }
                Ok(())
            });
        }
        self.report(&format!("gRPC Issue {client}"), load, duration, tasks, Some(trivial)).await
    }

    async fn report(
        &self,
        name: &str,
        load: Load,
        duration: Duration,
        mut tasks: tokio::task::JoinSet<Result<()>>,
        trivial: Option<f64>,
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
        let ratio = trivial.map_or(1.0, |trivial| cpu / trivial);
        println!("| {name} | {:.0} | {cpu:.1} | {ratio:.2} |", count / elapsed.as_secs_f64());
        Ok(cpu)
    }

    /// User and system time of the server so far; the kernel counts in hundredths of a second.
    fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit_once(')').ok_or("stat")?.1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 10))
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

/// Counts requests until it is told to stop.
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

async fn connect(address: SocketAddr) -> Result<http1::SendRequest<Full<Bytes>>> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
