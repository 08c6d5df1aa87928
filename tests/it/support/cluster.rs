//! Several `mintage serve` processes on one PostgreSQL, each behind a proxy of its own, so that one alone can be cut off.

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use mintage::grpc::pb::{
    admin as pb,
    token::{self as token_pb, token_service_client::TokenServiceClient},
};
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};
use tonic::{Request, Status, transport::Channel};

use super::{
    admin::{Admin, SECRET},
    auth::basic,
    patience::{PATIENCE, eventually, patiently},
    postgres::Postgres,
    process::Process,
    proxy::Proxy,
};

const ISSUER: &str = "https://id.example";
const MASTER_KEY: &str = "bWFzdGVyIGtleSBvZiB0aGUgdGVzdHMsIDMyIGJ5dGU=";

/// The clients every replica has in its file: who administers, who asks, and who gets tokens whatever the store does.
const CONFIGURED: &str = r#"
[limits]
failed_auth_rate = "off"

[tokens]
signing_alg = "ES256"

[[clients]]
client_id = "operator"
client_secret = "mint_0000000000000000000000000000000000000000000"
scope = "mintage:admin mintage:admin.read"

[[clients]]
client_id = "resource-server"
client_secret = "mint_0000000000000000000000000000000000000000000"
grant_types = []
introspect = "any"

[[clients]]
client_id = "configured"
client_secret = "mint_0000000000000000000000000000000000000000000"
"#;

/// A client and its secret.
#[derive(Clone, Debug)]
pub struct Known {
    pub client_id: String,
    pub secret: String,
}

impl Known {
    /// A client of every replica's configuration.
    pub fn configured(client_id: &str) -> Self {
        Self { client_id: client_id.to_owned(), secret: SECRET.to_owned() }
    }
}

/// What came back, and how long it took.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Value,
    pub took: Duration,
}

impl Answer {
    /// `true` or `false` of an introspection that was answered.
    pub fn active(&self) -> Option<bool> {
        (self.status == 200).then(|| self.body["active"].as_bool().unwrap())
    }

    /// 503 with a time to come back.
    pub fn is_unavailable(&self) -> bool {
        assert!(self.status != 503 || self.retry_after.is_some(), "503 without Retry-After: {self:?}");
        self.status == 503
    }
}

/// One process.
pub struct Replica {
    pub process: Process,
    pub proxy: Proxy,
    http: reqwest::Client,
}

impl Replica {
    /// Starts a process on a database, with these lines before its clients, and waits for nothing.
    pub async fn spawn(postgres: &Postgres, database: &str, settings: &str) -> Self {
        Self::behind(Proxy::start(postgres.port()).await, postgres, database, settings)
    }

    /// The same behind a proxy of which one knows what it does.
    pub fn behind(proxy: Proxy, postgres: &Postgres, database: &str, settings: &str) -> Self {
        let process = Self::process(postgres, database, settings, &proxy);
        Self { process, proxy, http: reqwest::Client::new() }
    }

    fn process(postgres: &Postgres, database: &str, settings: &str, proxy: &Proxy) -> Process {
        Process::spawn(
            &format!("{settings}\n{CONFIGURED}"),
            "exec \"$@\"",
            &[
                ("ISSUER_URL", ISSUER),
                ("MINTAGE_DATABASE_URL", &postgres.url_through(proxy.port(), database)),
                ("MINTAGE_MASTER_KEY", MASTER_KEY),
            ],
        )
    }

    /// Another process in its place, behind the same proxy. The old one is ended when it is not yet.
    pub fn respawn(&mut self, postgres: &Postgres, database: &str, settings: &str) {
        self.process = Self::process(postgres, database, settings, &self.proxy);
    }

    /// The command line on the store of this replica, which need not run.
    pub fn command(&self, postgres: &Postgres, database: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mintage"));
        command.args(arguments).arg("--config").arg(&self.process.config);
        command.env("ISSUER_URL", ISSUER).env("MINTAGE_MASTER_KEY", MASTER_KEY);
        command.env("MINTAGE_DATABASE_URL", postgres.url_through(postgres.port(), database));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.process.address)
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Answer {
        let begun = Instant::now();
        let response = request.timeout(PATIENCE).send().await.unwrap();
        let status = response.status().as_u16();
        let retry_after =
            response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let text = response.text().await.unwrap();
        let took = begun.elapsed();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status, retry_after, body, took }
    }

    async fn post(&self, path: &str, who: &Known, form: String) -> Answer {
        let request = self
            .http
            .post(self.url(path))
            .header("authorization", basic(&who.client_id, &who.secret))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        self.answer(request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.answer(self.http.get(self.url(path))).await
    }

    pub async fn issue(&self, who: &Known) -> Answer {
        self.post("/token", who, "grant_type=client_credentials".to_owned()).await
    }

    /// A token that must be granted, and is as soon as the store has told of the client in time.
    pub async fn token(&self, who: &Known) -> String {
        let answer = patiently!(self.issue(who).await, Answer::is_unavailable);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["access_token"].as_str().unwrap().to_owned()
    }

    /// A token request with this form and, unless it is empty, this DPoP proof; a client that is not named is in the form.
    pub async fn prove(&self, who: Option<&Known>, form: &str, proof: &str) -> Answer {
        let request = self.http.post(self.url("/token")).body(form.to_owned());
        let mut request = request.header("content-type", "application/x-www-form-urlencoded");
        if let Some(who) = who {
            request = request.header("authorization", basic(&who.client_id, &who.secret));
        }
        if !proof.is_empty() {
            request = request.header("dpop", proof);
        }
        self.answer(request).await
    }

    /// What the resource server is told.
    pub async fn introspect(&self, token: &str) -> Answer {
        self.post("/introspect", &Known::configured("resource-server"), format!("token={token}")).await
    }

    pub async fn revoke(&self, who: &Known, token: &str) -> Answer {
        self.post("/revoke", who, format!("token={token}")).await
    }

    /// Revokes a token, however long the store takes.
    pub async fn revoked(&self, who: &Known, token: &str) {
        let answer = patiently!(self.revoke(who, token).await, Answer::is_unavailable);
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// The same as [`Self::revoke`] over gRPC.
    pub async fn grpc_revoke(&self, who: &Known, token: &str) -> Result<(), Status> {
        let channel = Channel::from_shared(self.url("")).unwrap().connect().await.unwrap();
        let mut request =
            Request::new(token_pb::RevokeRequest { token: token.to_owned(), ..Default::default() });
        request.metadata_mut().insert("authorization", basic(&who.client_id, &who.secret).parse().unwrap());
        TokenServiceClient::new(channel).revoke(request).await.map(|_| ())
    }

    /// The admin services.
    pub async fn admin(&self) -> Admin {
        let operator = Known::configured("operator");
        Admin::at(self.process.ops, &self.token(&operator).await).await
    }

    /// A new client of the store.
    pub async fn create(&self, client_id: &str) -> Known {
        let client = pb::Client { client_id: client_id.to_owned(), ..Default::default() };
        let (client, secret) = self.admin().await.create(client).await;
        Known { client_id: client.client_id, secret }
    }

    /// A number of `/metrics`.
    pub async fn metric(&self, name: &str) -> f64 {
        let url = format!("http://{}/metrics", self.process.ops);
        let text = self.http.get(url).send().await.unwrap().text().await.unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// What `/readyz` says of the store; empty while all is well.
    pub async fn store_state(&self) -> String {
        self.get("/readyz").await.body["store"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until tokens can be revoked and the store is followed; how long that took.
    pub async fn heals(&self, who: &Known) -> Duration {
        eventually("the replica is healthy", async || {
            let issued = self.issue(who).await;
            let Some(token) = issued.body["access_token"].as_str() else { return false };
            self.revoke(who, token).await.status == 200
                && self.introspect(token).await.active() == Some(false)
                && self.store_state().await.is_empty()
        })
        .await
    }
}

/// Replicas of one service.
pub struct Cluster {
    /// PostgreSQL's name of their database.
    pub database: String,
    pub replicas: Vec<Arc<Replica>>,
}

impl Cluster {
    /// So many replicas on a new database, all of them ready.
    pub async fn start(postgres: &Postgres, count: usize, settings: &str) -> Self {
        let database = Postgres::new_name();
        postgres.url(&database);
        let mut replicas = Vec::new();
        for _ in 0..count {
            replicas.push(Replica::spawn(postgres, &database, settings).await);
        }
        for replica in &mut replicas {
            replica.process.ready().await;
        }
        Self { database, replicas: replicas.into_iter().map(Arc::new).collect() }
    }
}

/// Requests for tokens without end, one after another.
pub struct Load {
    stop: watch::Sender<bool>,
    task: JoinHandle<Vec<(Instant, u16, Duration)>>,
}

impl Load {
    pub fn start(replica: &Arc<Replica>, who: &Known) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (replica, who) = (Arc::clone(replica), who.clone());
        let task = tokio::spawn(async move {
            let mut answers = Vec::new();
            while !*stopped.borrow() {
                let at = Instant::now();
                let answer = replica.issue(&who).await;
                answers.push((at, answer.status, answer.took));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            answers
        });
        Self { stop, task }
    }

    /// When each was sent, its status, and how long it took.
    pub async fn end(self) -> Vec<(Instant, u16, Duration)> {
        self.stop.send_replace(true);
        self.task.await.unwrap()
    }
}

/// Times in order.
pub struct Times(Vec<Duration>);

impl Times {
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        assert!(!times.is_empty());
        times.sort();
        Self(times)
    }

    pub fn percentile(&self, percent: usize) -> Duration {
        self.0[(self.0.len() - 1) * percent / 100]
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99, max] = [50, 99, 100].map(|percent| self.percentile(percent));
        write!(f, "{} times, p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?}", self.0.len())
    }
}
