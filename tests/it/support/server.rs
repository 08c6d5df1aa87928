//! A whole server on a free port, in this process: real configuration, real sockets, a clock that stands still.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use mintage::{
    app::{self, Core},
    clock::TestClock,
    config::{self, Config, ConfigErrors, Environment, Sources},
    readiness::Readiness,
    serve::{self, Limits, Listener, Shutdown, overload::Overload, router::Routes, tls::ClientAuth},
    telemetry::{Metrics, Telemetry},
};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    runtime::Handle,
    sync::{OnceCell, oneshot},
    task::{JoinHandle, JoinSet},
};

use super::{patience::PATIENCE, tls::TestCa};

/// The instant every test begins at.
pub const NOW: u64 = 1_800_000_000;

/// What most tests use as the issuer. It is not the address of the server: nothing may depend on that.
pub const ISSUER: &str = "https://id.example";

/// The HS256 key of the tests.
pub const JWT_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Clients for most tests: one per algorithm, and one for each kind of permission.
pub const CLIENTS: &str = r#"
[limits]
failed_auth_rate = "off"

[[clients]]
client_id = "rs256"
client_secret = "secret-of-rs256"
scope = "read write admin"
claims = { name = "Service", email = "service@example.com", fhirUser = "Practitioner/1", level = 7, big = 12345678901234567890123, ratio = 1.10, nested = { list = [1, "two", true] } }

[[clients]]
client_id = "ps256"
client_secret = "secret-of-ps256"
access_token_signing_alg = "PS256"

[[clients]]
client_id = "es256"
client_secret = "secret-of-es256"
access_token_signing_alg = "ES256"
scope = "read write"
audiences = ["https://api.example", "https://other.example", "billing"]
access_token_lifetime = "5m"

[[clients]]
client_id = "es384"
client_secret = "secret-of-es384"
access_token_signing_alg = "ES384"

[[clients]]
client_id = "eddsa"
client_secret = "secret-of-eddsa"
access_token_signing_alg = "EdDSA"
audiences = ["es384"]

[[clients]]
client_id = "hs256"
client_secret = "secret-of-hs256"
access_token_signing_alg = "HS256"
scope = "read"

[[clients]]
client_id = "a:b c"
client_secret = "p%+:/= x"
access_token_signing_alg = "ES256"

[[clients]]
client_id = "generated"
client_secret = "mint_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
access_token_signing_alg = "ES256"

[[clients]]
client_id = "resource-server"
client_secret = "rs-secret"
grant_types = []
introspect = "any"

[[clients]]
client_id = "disabled"
client_secret = "secret-of-disabled"
enabled = false

[[clients]]
client_id = "basic-only"
client_secret = "secret-of-basic-only"
token_endpoint_auth_method = "client_secret_basic"
access_token_signing_alg = "ES256"

[[clients]]
client_id = "post-only"
client_secret = "secret-of-post-only"
token_endpoint_auth_method = "client_secret_post"
access_token_signing_alg = "ES256"

[[clients]]
client_id = "public"
token_endpoint_auth_method = "none"
"#;

/// A running server. It ends when dropped.
pub struct TestServer {
    pub address: SocketAddr,
    /// The ops listener.
    pub ops: SocketAddr,
    pub clock: Arc<TestClock>,
    pub core: Arc<Core>,
    pub config: Config,
    pub readiness: Readiness,
    /// What keeps its public port steady.
    pub overload: Arc<Overload>,
    metrics: Metrics,
    shutdown: Shutdown,
    tasks: [JoinHandle<usize>; 2],
    directory: TempDir,
    _beside: JoinSet<()>,
}

impl TestServer {
    /// The one server that all tests share which neither move its clock nor reload its clients: it has [`CLIENTS`], and
    /// what one test has verified another need not compute again. It runs on a runtime of its own until the process ends.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<TestServer> = OnceCell::const_new();
        let start = || async {
            let (sender, receiver) = oneshot::channel();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
                let _ = sender.send(runtime.block_on(Self::start()));
                runtime.block_on(std::future::pending::<()>());
            });
            receiver.await.expect("the shared server starts")
        };
        SHARED.get_or_init(start).await
    }

    /// A server with [`CLIENTS`].
    pub async fn start() -> Self {
        Self::with(CLIENTS).await
    }

    /// A server with this configuration file; issuer and JWT_SECRET come from the environment.
    pub async fn with(toml: &str) -> Self {
        Self::with_environment(toml, &[]).await
    }

    /// A server with this configuration file and environment on top of the usual one, of which an empty value takes away.
    pub async fn with_environment(toml: &str, environment: &[(&str, &str)]) -> Self {
        Self::build(tempfile::tempdir().unwrap(), toml, environment).await
    }

    /// A server with this configuration file that speaks TLS on its public port. `ca` signed its certificate and is its client
    /// CA. The files `cert.pem`, `key.pem` and `ca.pem` in its directory may be
    /// replaced: they are looked at all the time.
    pub async fn with_tls(toml: &str, ca: &TestCa, client_auth: ClientAuth) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pair = ca.server();
        let client_auth = match client_auth {
            ClientAuth::Off => "off",
            ClientAuth::Optional => "optional",
            ClientAuth::Required => "required",
        };
        let mut environment = vec![("MINTAGE_TLS_CLIENT_AUTH".to_owned(), client_auth.to_owned())];
        for (setting, name, text) in [
            ("CERT_FILE", "cert.pem", pair.certificates),
            ("KEY_FILE", "key.pem", pair.key),
            ("CLIENT_CA_FILE", "ca.pem", ca.pem()),
        ] {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            environment.push((format!("MINTAGE_TLS_{setting}"), path.to_str().unwrap().to_owned()));
        }
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Self::build(directory, toml, &environment).await
    }

    async fn build(directory: TempDir, toml: &str, environment: &[(&str, &str)]) -> Self {
        let file = directory.path().join("mintage.toml");
        std::fs::write(&file, toml).unwrap();
        let mut variables = BTreeMap::from([
            ("ISSUER_URL", ISSUER),
            ("JWT_SECRET", JWT_SECRET),
            ("MINTAGE_REFLECTION_ENABLED", "true"),
            ("MINTAGE_DATABASE_URL", "sqlite::memory:"),
            // Where waiting is not the subject, a slow machine may take its time.
            ("MINTAGE_LIMITS_QUEUE_WAIT", "10s"),
        ]);
        variables.extend(environment.iter().copied());
        let environment: Environment = variables.into_iter().collect();
        let sources = Sources { config_file: Some(file), environment, ..Sources::default() };
        let config = config::load(&sources).unwrap_or_else(|errors| panic!("{errors}"));

        let clock = Arc::new(TestClock::at(NOW));
        let core = Core::build(&config, Arc::<TestClock>::clone(&clock), directory.path()).await;
        let mut core = core.unwrap_or_else(|error| panic!("{error}"));
        let mut watched = std::mem::take(&mut core.watched);
        let core = Arc::new(core);
        let (shutdown, readiness) = (Shutdown::new(), Readiness::default());
        let telemetry = Telemetry::new(Metrics::new("test", std::time::UNIX_EPOCH));
        let (routes, health) = core.routes(&config, &readiness).unwrap();
        let ops_routes = core.ops_routes(&config, telemetry.metrics().clone(), &readiness, &health).unwrap();
        health.set_serving(true).await;
        readiness.set(true);
        let mut beside = app::follow(&core, &config, &readiness, telemetry.metrics());
        let metrics = telemetry.metrics().clone();
        let tls = app::tls::open(&config, 0, Arc::<TestClock>::clone(&clock), &metrics);
        let (public, files, _) = tls.unwrap_or_else(|error| panic!("{error}")).on(bind().await);
        watched.extend(files);
        beside.spawn(app::watch::watch(watched, metrics.clone(), Duration::from_millis(10)));
        let public = app::proxy::behind(&config, public);
        let (public, overload) = app::overload::guard(&config, &core, public);
        beside.spawn(Arc::clone(&overload).watch());
        let (address, public) = listen(public, routes, &telemetry, &shutdown);
        let (ops, admin) = listen(bind().await.into(), ops_routes, &telemetry, &shutdown);
        let tasks = [public, admin];
        Self {
            address,
            ops,
            clock,
            core,
            config,
            readiness,
            metrics,
            overload,
            shutdown,
            tasks,
            directory,
            _beside: beside,
        }
    }

    /// What a metric's line says.
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.metrics.encode().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or(" 0");
        line.trim().parse().unwrap()
    }

    /// The URL of a path on this server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Where its configuration and its generated key files lie.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Replaces the configuration file and reloads the clients, as SIGHUP does.
    pub async fn reload(&self, toml: &str) -> Result<usize, ConfigErrors> {
        std::fs::write(self.directory.path().join("mintage.toml"), toml).unwrap();
        tokio::task::block_in_place(|| self.core.reload(&self.config))
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.shutdown.force();
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn listen(
    listener: Listener,
    routes: Routes,
    telemetry: &Telemetry,
    shutdown: &Shutdown,
) -> (SocketAddr, JoinHandle<usize>) {
    let address = listener.local_addr().unwrap();
    // The deadlines of connections have tests of their own; here a slow machine may take its time.
    let limits = Limits { max_header_bytes: 16 * 1024, request: PATIENCE, ..Limits::default() };
    let serving = serve::serve(listener, routes, limits, telemetry.clone(), shutdown.clone());
    (address, Handle::current().spawn(serving))
}
