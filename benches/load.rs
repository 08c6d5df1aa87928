//! Whole-process speed, measured in one run: `cargo bench --bench load [-- SECONDS] [--runs N] [--pin] [--json FILE]`.
//!
//! Starts the release binary as a process of its own and drives it over keep-alive connections of this process. Prints requests
//! per second, latencies and the CPU time that the server alone spends per request; what the cryptography alone costs; the
//! ratios of the two against their goals; latencies at 70 % of capacity (open loop); and what connections and a start cost.
//! Both processes share the machine, so ratios are what counts. `--pin` gives each a core.
//!
//! Several short runs (3 of 1 s for each row) tell more than a long one: what is compared lies closer together in time.
//!
//! The open loop goes on for 5 s, and its goal is judged by the p99 of slices of 250 ms, their median: that the machine stands
//! still now and then, as a virtual one does, does not decide it, while the p99 of the whole run tells of little else. A stall of the
//! server's own that strikes less than half of the slices would not decide it either, so both are told, with the share of the
//! slices above the goal. The first table says what the machine alone makes of the same three.

#[path = "support/mod.rs"]
mod support;

use std::{collections::HashMap, rc::Rc, time::Duration};

use rustls::client::Resumption;
use tokio::time::sleep;

use support::{
    Result,
    bare::Bare,
    config,
    grpc::{Call, GrpcCaller},
    http::{self, HttpCaller, Requests, StreamCaller, again, get, get_with_token, introspect, issue},
    load::{CONNECTIONS, Caller, Closed, Offer, closed, open},
    machine::{self, LOAD},
    options::Options,
    report::{Cell, Table, report},
    server::Server,
    signer::{Signer, with_assertion},
    tls::{Certificates, handshake},
};

/// Idle connections whose memory is measured.
const IDLE: usize = 2_000;
/// Starts whose median is taken.
const STARTS: usize = 5;
/// The open loop goes on for so many times the duration of another figure: the median of 20 slices means something.
const LONGER: u32 = 5;

fn main() -> Result<()> {
    let Some(options) = Options::read(1.0, 3)? else { return Ok(()) };
    support::run(async {
        report(&options, async || run(&options).await).await?;
        Ok(())
    })
}

async fn run(options: &Options) -> Result<Vec<Table>> {
    let machine = machine::table();
    let signer = Rc::new(Signer::new()?);
    let config = config::base() + &signer.client()?;
    let server = Server::start(&config, options.pin)?;
    let certificates = Certificates::new()?;
    let mut bench = Bench {
        requests: Table::new(
            "Requests, closed loop",
            &[
                "request",
                "req/s",
                "p50 ms",
                "p99 ms",
                "p99.9 ms",
                "server CPU us/req",
                "x trivial",
                "RSS MiB",
            ],
        ),
        costs: HashMap::new(),
        duration: options.duration,
        server: &server,
    };
    bench.rest(&signer).await?;
    bench.grpc().await?;
    bench.tls(&certificates, options).await?;
    let token = bench.token("RS256").await?;
    let message = token.rsplit_once('.').ok_or("no JWT")?.0.to_owned();
    let bare = Bare::measure(message.as_bytes(), options.duration.min(Duration::from_secs(2))).await?;
    let latency = bench.latency().await?;
    let Bench { requests, costs, .. } = bench;
    drop(server);
    let resources = resources(&certificates, options).await?;
    Ok(vec![machine, requests, bare_table(&bare), ratios(&costs, &bare)?, latency, resources])
}

struct Bench<'a> {
    requests: Table,
    /// CPU microseconds and rate by request.
    costs: HashMap<String, (f64, f64)>,
    duration: Duration,
    server: &'a Server,
}

impl Bench<'_> {
    async fn rest(&mut self, signer: &Rc<Signer>) -> Result<()> {
        self.http("GET /healthz", &again(&get("/healthz"))).await?;
        for alg in config::ALGORITHMS {
            self.http(&format!("POST /token {alg}"), &again(&issue(alg))).await?;
        }
        let by = Rc::clone(signer);
        let requests: Requests = Rc::new(move || Ok(with_assertion(&by.assertion()?)));
        self.http("POST /token ES256, private_key_jwt ES256", &requests).await?;
        let by = Rc::clone(signer);
        let requests: Requests = Rc::new(move || by.with_proof());
        self.http("POST /token ES256, DPoP proof ES256", &requests).await?;
        for alg in ["HS256", "ES256", "RS256"] {
            let request = introspect(alg, &self.token(alg).await?);
            self.http(&format!("POST /introspect {alg}"), &again(&request)).await?;
        }
        let request = get_with_token("/userinfo", &self.token("RS256").await?);
        self.http("GET /userinfo RS256", &again(&request)).await
    }

    async fn grpc(&mut self) -> Result<()> {
        for alg in ["HS256", "ES256", "RS256"] {
            self.rpc(&format!("gRPC Issue {alg}"), &Call::issue(alg)).await?;
        }
        let token = self.token("RS256").await?;
        self.rpc("gRPC Introspect RS256", &Call::introspect("RS256", &token)).await?;
        self.rpc("gRPC UserInfo RS256", &Call::userinfo(&token)).await
    }

    async fn tls(&mut self, certificates: &Certificates, options: &Options) -> Result<()> {
        let server = certificates.serve("", options.pin)?;
        let client = certificates.client(false, Resumption::disabled())?;
        for (name, request) in [("GET /healthz", get("/healthz")), ("POST /token ES256", issue("ES256"))] {
            let mut callers = Vec::new();
            for _ in 0..CONNECTIONS {
                let stream = server.connect().await?.into_stream();
                callers.push(StreamCaller::new(handshake(stream, &client).await?.0, &request));
            }
            let measured = closed(&server, callers, 200, self.duration).await?;
            self.enter(&format!("{name}, TLS 1.3"), &measured);
        }
        Ok(())
    }

    async fn token(&self, client_id: &str) -> Result<String> {
        let mut connection = self.server.connect().await?;
        connection.ask(&issue(client_id)).await?;
        connection.token()
    }

    async fn http(&mut self, name: &str, requests: &Requests) -> Result<()> {
        let callers = HttpCaller::many(CONNECTIONS, self.server.address, requests).await?;
        self.measure(name, callers).await
    }

    async fn rpc(&mut self, name: &str, call: &Call) -> Result<()> {
        let callers = GrpcCaller::many(CONNECTIONS, self.server.address, call).await?;
        self.measure(name, callers).await
    }

    async fn measure(&mut self, name: &str, callers: Vec<impl Caller>) -> Result<()> {
        let measured = closed(self.server, callers, 200, self.duration)
            .await
            .map_err(|error| format!("{name}: {error}"))?;
        self.enter(name, &measured);
        Ok(())
    }

    fn enter(&mut self, name: &str, measured: &Closed) {
        let Closed { rate, cpu, latencies, rss_kib } = measured;
        let trivial = self.costs.get("GET /healthz").map_or(*cpu, |(cpu, _)| *cpu);
        self.costs.insert(name.to_owned(), (*cpu, *rate));
        let quantile = |quantile| Cell::Number(latencies.quantile(quantile), 2);
        let cells = [
            Cell::Number(*rate, 0),
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
            Cell::Number(*cpu, 1),
            Cell::Number(cpu / trivial, 2),
            Cell::Number(rss_kib / 1024.0, 1),
        ];
        self.requests.add(name, cells);
    }

    /// Latencies at 70 % of what the closed loop found the server to be able to do.
    async fn latency(&self) -> Result<Table> {
        let columns = [
            "request",
            "req/s",
            "served %",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "slice p99 ms",
            "goal",
            "reached",
            "slices above %",
            "driver's cores",
        ];
        let mut table = Table::new("Latency at 70 % of capacity, open loop", &columns);
        for (alg, goal) in [("RS256", 5.0), ("ES256", 2.0)] {
            let name = format!("POST /token {alg}");
            let (_, rate) = self.costs.get(&name).ok_or("no rate")?;
            let callers = HttpCaller::many(200, self.server.address, &again(&issue(alg))).await?;
            let measured = open(callers, Offer::new(rate * LOAD, self.duration * LONGER)).await?;
            let quantile = |quantile| Cell::Number(measured.accepted.quantile(quantile), 2);
            let p99 = measured.slices.median();
            let cells = [
                Cell::Number(measured.offered, 0),
                Cell::Number(measured.served * 100.0, 2),
                quantile(0.5),
                quantile(0.99),
                quantile(0.999),
                Cell::Number(p99, 2),
                Cell::Number(goal, 0),
                Cell::AtMost(p99, goal),
                Cell::Number(measured.slices.above(goal), 0),
                Cell::Number(measured.driver, 2),
            ];
            table.add(&name, cells);
        }
        Ok(table)
    }
}

fn bare_table(bare: &Bare) -> Table {
    let mut table =
        Table::new("The cryptography alone (aws-lc, parsed keys, one thread)", &["operation", "CPU us"]);
    table.add("RS256 signature", [Cell::Number(bare.rs256_signature, 1)]);
    table.add("RS256 verification", [Cell::Number(bare.rs256_verification, 1)]);
    table.add("ES256 signature", [Cell::Number(bare.es256_signature, 1)]);
    table.add("ES256 verification", [Cell::Number(bare.es256_verification, 1)]);
    table
}

/// What the server spends beside what it must.
fn ratios(costs: &HashMap<String, (f64, f64)>, bare: &Bare) -> Result<Table> {
    let cost = |name: &str| costs.get(name).map(|(cpu, _)| *cpu).ok_or(format!("no figure for {name}"));
    let columns = ["goal", "measured us", "allowed us", "measured factor", "allowed factor", "reached"];
    let mut table = Table::new("Ratios, server CPU of this run", &columns);
    let trivial = cost("GET /healthz")?;
    let rest = cost("POST /token HS256")?;
    let userinfo = cost("GET /userinfo RS256")?;
    let issue = |alg: &str| cost(&format!("POST /token {alg}"));
    // Name, cost, what it must cost anyway, and how many times what it may cost beside that.
    let goals = [
        ("RS256 issue <= 1.12 x signature", issue("RS256")?, 0.0, bare.rs256_signature, 1.12),
        ("ES256 issue <= signature + 1.7 x trivial", issue("ES256")?, bare.es256_signature, trivial, 1.7),
        ("HS256 issue <= 1.9 x trivial", rest, 0.0, trivial, 1.9),
        (
            "introspection RS256 <= verification + 1.8 x trivial",
            cost("POST /introspect RS256")?,
            bare.rs256_verification,
            trivial,
            1.8,
        ),
        ("userinfo RS256 <= verification + 1.8 x trivial", userinfo, bare.rs256_verification, trivial, 1.8),
        ("gRPC Issue HS256 <= 1.35 x REST", cost("gRPC Issue HS256")?, 0.0, rest, 1.35),
        ("gRPC UserInfo <= 1.35 x REST", cost("gRPC UserInfo RS256")?, 0.0, userinfo, 1.35),
        ("TLS 1.3, trivial <= 1.15 x plain", cost("GET /healthz, TLS 1.3")?, 0.0, trivial, 1.15),
        (
            "TLS 1.3, ES256 issue <= 1.15 x plain",
            cost("POST /token ES256, TLS 1.3")?,
            0.0,
            issue("ES256")?,
            1.15,
        ),
    ];
    for (name, measured, fixed, unit, allowed) in goals {
        let factor = (measured - fixed) / unit;
        let cells = [
            Cell::Number(measured, 1),
            Cell::Number(fixed + unit * allowed, 1),
            Cell::Number(factor, 2),
            Cell::Number(allowed, 2),
            Cell::AtMost(factor, allowed),
        ];
        table.add(name, cells);
    }
    Ok(table)
}

/// What a start, and connections that do nothing, cost.
async fn resources(certificates: &Certificates, options: &Options) -> Result<Table> {
    let mut table = Table::new("Start and memory", &["what", "measured", "goal", "reached"]);
    let mut enter = |name: &str, value: f64, goal: f64| {
        table.add(name, [Cell::Number(value, 1), Cell::Number(goal, 0), Cell::AtMost(value, goal)]);
    };
    let mut server = Server::start(&config::base(), options.pin)?;
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        server = server.restart()?;
        starts.push(server.ready_after.as_secs_f64() * 1000.0);
    }
    starts.sort_by(f64::total_cmp);
    enter("start to ready with existing keys, ms", starts[STARTS / 2], 100.0);
    sleep(Duration::from_millis(500)).await;
    enter("idle RSS, MiB", server.rss_kib()? / 1024.0, 20.0);

    // Each connection has made a request: what that leaves behind belongs to it.
    let request = get("/healthz");
    server.connect().await?.ask(&request).await?;
    let before = server.rss_kib()?;
    let mut connections = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        let mut connection = server.connect().await?;
        connection.ask(&request).await?;
        connections.push(connection);
    }
    enter("RSS per idle connection, KiB", (server.rss_kib()? - before) / IDLE as f64, 16.0);
    drop((connections, server));

    let server = certificates.serve("", options.pin)?;
    let client = certificates.client(false, Resumption::disabled())?;
    let connect = async || {
        let stream = server.connect().await?.into_stream();
        let mut connection = http::Connection::new(handshake(stream, &client).await?.0);
        connection.ask(&request).await?;
        Result::Ok(connection)
    };
    let first = connect().await?;
    let before = server.rss_kib()?;
    let mut connections = vec![first];
    for _ in 0..IDLE {
        connections.push(connect().await?);
    }
    enter("RSS per idle TLS connection, KiB", (server.rss_kib()? - before) / IDLE as f64, 40.0);
    Ok(table)
}
