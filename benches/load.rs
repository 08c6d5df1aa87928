//! Whole-process speed, measured in one run: `cargo bench --bench load [-- SECONDS] [--runs N] [--pin] [--json FILE]`.
//!
//! Starts the release binary as a process of its own and drives it over keep-alive connections of this process. Prints requests
//! per second, latencies and the CPU time that the server alone spends per request; what the cryptography alone costs; the
//! ratios of the two against their goals; latencies at 70 % of capacity (open loop); and what connections and a start cost.
//! Both processes share the machine, so ratios are what counts. `--pin` gives each a core.
//!
//! Each kind of request has thirty short turns, one in each round, and what is compared is compared within a round: several short
//! runs (3 of 1 s for each row) tell more than a long one.
//!
//! The open loop goes on for 5 s, and its goal is judged by the p99 of slices of 250 ms, their median: that the machine stands
//! still now and then, as a virtual one does, does not decide it, while the p99 of the whole run tells of little else. A stall of the
//! server's own that strikes less than half of the slices would not decide it either, so both are told, with the share of the
//! slices above the goal. The first table says what the machine alone makes of the same three.
//!
//! The server recognises tokens that it has verified lately. Where nothing else is said, each is shown to it once.

#[path = "support/mod.rs"]
mod support;

use std::{rc::Rc, sync::Arc, time::Duration};

use rustls::{ClientConfig, client::Resumption};
use tokio::time::sleep;

use support::{
    Result,
    bare::Bare,
    config,
    grpc::{self, Call, Calls, GrpcCaller, TonicCaller},
    http::{self, HttpCaller, Requests, StreamCaller, again, get, get_with_token, introspect, issue},
    load::{CONNECTIONS, Caller, Closed, Latencies, Offer, closed, once, open},
    machine::{self, LOAD},
    options::{DRIVER, Options, SERVER},
    report::{Cell, Table, report},
    server::Server,
    signer::{Signer, with_assertion},
    slices::quantile,
    tls::{Certificates, handshake},
    unknown::Unknown,
};

/// What there is least to do for.
const TRIVIAL: &str = "GET /healthz";
/// How often each kind of request has its turn.
const ROUNDS: u32 = 30;
/// By so much more each round comes later than its turn.
const SHIFT: Duration = Duration::from_millis(40);
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
    let encrypted = certificates.serve("", options.pin)?;
    let mut bench = Bench {
        kinds: Vec::new(),
        duration: options.duration / ROUNDS,
        server: &server,
        encrypted: &encrypted,
        client: certificates.client(false, Resumption::disabled())?,
    };
    let token = server.token("RS256").await?;
    let message = token.rsplit_once('.').ok_or("no JWT")?.0.to_owned();
    let mut bare = Vec::new();
    for round in 0..ROUNDS {
        // What strikes the machine regularly would strike the same kind in each round.
        sleep(SHIFT * round).await;
        bench.rest(&signer).await?;
        bench.grpc().await?;
        bench.tls().await?;
        // Other machines slow down one core more than another: what is compared with the server runs where it does.
        options.move_to(SERVER)?;
        bare.push(Bare::measure(message.as_bytes(), bench.duration).await?);
        options.move_to(DRIVER)?;
    }
    let requests = bench.table()?;
    let ratios = bench.ratios(&bare)?;
    let latency = bench.latency().await?;
    drop((server, encrypted));
    let resources = resources(&certificates, options).await?;
    Ok(vec![machine, requests, bare_table(&bare), ratios, latency, resources])
}

/// By rounds: a name, what it costs, what it must cost anyway, and how many times what it may cost beside that.
type Goal<'a> = (&'a str, Vec<f64>, &'a [f64], &'a [f64], f64);

struct Bench<'a> {
    /// Each kind of request in the order in which they are measured, with what each round measured.
    kinds: Vec<(String, Vec<Closed>)>,
    /// Of one kind in one round.
    duration: Duration,
    server: &'a Server,
    encrypted: &'a Server,
    client: Arc<ClientConfig>,
}

impl Bench<'_> {
    async fn rest(&mut self, signer: &Rc<Signer>) -> Result<()> {
        self.http(TRIVIAL, &again(&get("/healthz"))).await?;
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
            let seen = if alg == "HS256" { "" } else { ", seen before" };
            let request = introspect(alg, &self.server.token(alg).await?);
            self.http(&format!("POST /introspect {alg}{seen}"), &again(&request)).await?;
        }
        let tokens = Unknown::get(self.server, "RS256").await?;
        let requests: Requests = Rc::new(move || Ok(introspect("RS256", &tokens.next()?)));
        self.once("POST /introspect RS256", self.http_callers(&requests).await?).await?;
        let request = get_with_token("/userinfo", &self.server.token("RS256").await?);
        self.http("GET /userinfo RS256, seen before", &again(&request)).await?;
        let tokens = Unknown::get(self.server, "RS256").await?;
        let requests: Requests = Rc::new(move || Ok(get_with_token("/userinfo", &tokens.next()?)));
        self.once("GET /userinfo RS256", self.http_callers(&requests).await?).await
    }

    async fn grpc(&mut self) -> Result<()> {
        for alg in ["HS256", "ES256", "RS256"] {
            self.rpc(&format!("gRPC Issue {alg}"), &grpc::again(Call::issue(alg))).await?;
        }
        let calls = grpc::again(Call::issue("HS256"));
        let callers = TonicCaller::many(CONNECTIONS, self.server.address, &calls).await?;
        self.measure("gRPC Issue HS256, tonic's client", callers).await?;
        let tokens = Unknown::get(self.server, "RS256").await?;
        let calls: Calls = Rc::new(move || Ok(Call::introspect("RS256", &tokens.next()?)));
        self.once("gRPC Introspect RS256", self.grpc_callers(&calls).await?).await?;
        let tokens = Unknown::get(self.server, "RS256").await?;
        let calls: Calls = Rc::new(move || Ok(Call::userinfo(&tokens.next()?)));
        self.once("gRPC UserInfo RS256", self.grpc_callers(&calls).await?).await
    }

    async fn tls(&mut self) -> Result<()> {
        for (name, request) in [("GET /healthz", get("/healthz")), ("POST /token ES256", issue("ES256"))] {
            let mut callers = Vec::new();
            for _ in 0..CONNECTIONS {
                let stream = self.encrypted.connect().await?.into_stream();
                callers.push(StreamCaller::new(handshake(stream, &self.client).await?.0, &request));
            }
            let measured = closed(self.encrypted, callers, 200, self.duration).await?;
            self.enter(&format!("{name}, TLS 1.3"), measured);
        }
        Ok(())
    }

    async fn http(&mut self, name: &str, requests: &Requests) -> Result<()> {
        let callers = self.http_callers(requests).await?;
        self.measure(name, callers).await
    }

    async fn rpc(&mut self, name: &str, calls: &Calls) -> Result<()> {
        let callers = self.grpc_callers(calls).await?;
        self.measure(name, callers).await
    }

    async fn http_callers(&self, requests: &Requests) -> Result<Vec<HttpCaller>> {
        HttpCaller::many(CONNECTIONS, self.server.address, requests).await
    }

    async fn grpc_callers(&self, calls: &Calls) -> Result<Vec<GrpcCaller>> {
        GrpcCaller::many(CONNECTIONS, self.server.address, calls).await
    }

    async fn once(&mut self, name: &str, callers: Vec<impl Caller>) -> Result<()> {
        let measured = once(self.server, callers).await.map_err(|error| format!("{name}: {error}"))?;
        self.enter(name, measured);
        Ok(())
    }

    async fn measure(&mut self, name: &str, callers: Vec<impl Caller>) -> Result<()> {
        let measured = closed(self.server, callers, 200, self.duration)
            .await
            .map_err(|error| format!("{name}: {error}"))?;
        self.enter(name, measured);
        Ok(())
    }

    fn enter(&mut self, name: &str, measured: Closed) {
        match self.kinds.iter_mut().find(|(kind, _)| kind == name) {
            Some((_, rounds)) => rounds.push(measured),
            None => self.kinds.push((name.to_owned(), vec![measured])),
        }
    }

    fn rounds(&self, name: &str) -> Result<&[Closed]> {
        let kind = self.kinds.iter().find(|(kind, _)| kind == name);
        Ok(kind.map(|(_, rounds)| &rounds[..]).ok_or(format!("no figure for {name}"))?)
    }

    /// Medians of the rounds; latencies are those of all.
    fn table(&self) -> Result<Table> {
        let mut table = Table::new(
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
        );
        let trivial = self.rounds(TRIVIAL)?;
        for (name, rounds) in &self.kinds {
            let mut latencies = Latencies::new();
            rounds.iter().for_each(|round| latencies.extend(&round.latencies));
            let latency = |quantile| Cell::Number(latencies.quantile(quantile), 2);
            let cells = [
                Cell::Number(median(rounds.iter().map(|round| round.rate)), 0),
                latency(0.5),
                latency(0.99),
                latency(0.999),
                Cell::Number(median(rounds.iter().map(|round| round.cpu)), 1),
                Cell::Number(
                    median(rounds.iter().zip(trivial).map(|(this, trivial)| this.cpu / trivial.cpu)),
                    2,
                ),
                Cell::Number(median(rounds.iter().map(|round| round.rss_kib)) / 1024.0, 1),
            ];
            table.add(name, cells);
        }
        Ok(table)
    }

    /// What the server spends beside what it must: of each round, and of those the median. The speed of a machine that others use
    /// as well changes by the second, and what lies close together in time is slowed down together.
    fn ratios(&self, bare: &[Bare]) -> Result<Table> {
        let cpu = |name: &str| -> Result<Vec<f64>> {
            Ok(self.rounds(name)?.iter().map(|round| round.cpu).collect())
        };
        let nothing = vec![0.0; bare.len()];
        let of_bare = |cost: fn(&Bare) -> f64| bare.iter().map(cost).collect::<Vec<_>>();
        let (signature, verification) =
            (of_bare(|bare| bare.es256_signature), of_bare(|bare| bare.rs256_verification));
        let (trivial, rest, userinfo) =
            (cpu(TRIVIAL)?, cpu("POST /token HS256")?, cpu("GET /userinfo RS256")?);
        let es256 = cpu("POST /token ES256")?;
        let goals: [Goal<'_>; 11] = [
            (
                "RS256 issue <= 1.12 x signature",
                cpu("POST /token RS256")?,
                &nothing,
                &of_bare(|bare| bare.rs256_signature),
                1.12,
            ),
            ("ES256 issue <= signature + 1.7 x trivial", es256.clone(), &signature, &trivial, 1.7),
            ("HS256 issue <= 1.9 x trivial", rest.clone(), &nothing, &trivial, 1.9),
            (
                "introspection RS256 <= verification + 1.8 x trivial",
                cpu("POST /introspect RS256")?,
                &verification,
                &trivial,
                1.8,
            ),
            (
                "the same, token seen before",
                cpu("POST /introspect RS256, seen before")?,
                &verification,
                &trivial,
                1.8,
            ),
            (
                "userinfo RS256 <= verification + 1.8 x trivial",
                userinfo.clone(),
                &verification,
                &trivial,
                1.8,
            ),
            (
                "the same, token seen before",
                cpu("GET /userinfo RS256, seen before")?,
                &verification,
                &trivial,
                1.8,
            ),
            ("gRPC Issue HS256 <= 1.35 x REST", cpu("gRPC Issue HS256")?, &nothing, &rest, 1.35),
            ("gRPC UserInfo <= 1.35 x REST", cpu("gRPC UserInfo RS256")?, &nothing, &userinfo, 1.35),
            ("TLS 1.3, trivial <= 1.15 x plain", cpu("GET /healthz, TLS 1.3")?, &nothing, &trivial, 1.15),
            (
                "TLS 1.3, ES256 issue <= 1.15 x plain",
                cpu("POST /token ES256, TLS 1.3")?,
                &nothing,
                &es256,
                1.15,
            ),
        ];
        let columns = ["goal", "measured us", "allowed us", "measured factor", "allowed factor", "reached"];
        let mut table = Table::new("Ratios, server CPU, of rounds that lie close together", &columns);
        for (name, measured, fixed, unit, allowed) in goals {
            let rounds = || measured.iter().zip(fixed).zip(unit);
            let factor = median(rounds().map(|((measured, fixed), unit)| (measured - fixed) / unit));
            let cells = [
                Cell::Number(median(measured.iter().copied()), 1),
                Cell::Number(median(rounds().map(|((_, fixed), unit)| fixed + unit * allowed)), 1),
                Cell::Number(factor, 2),
                Cell::Number(allowed, 2),
                Cell::AtMost(factor, allowed),
            ];
            table.add(name, cells);
        }
        Ok(table)
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
            "sent late, p99 ms",
        ];
        let mut table = Table::new("Latency at 70 % of capacity, open loop", &columns);
        for (alg, goal) in [("RS256", 5.0), ("ES256", 2.0)] {
            let name = format!("POST /token {alg}");
            let duration = self.duration * ROUNDS;
            let callers =
                async |count| HttpCaller::many(count, self.server.address, &again(&issue(alg))).await;
            let rate = closed(self.server, callers(CONNECTIONS).await?, 200, duration).await?.rate;
            let offer = Offer::new(rate * LOAD, duration * LONGER);
            let measured = open(self.server, callers(200).await?, offer).await?;
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
                Cell::Number(measured.sent.quantile(0.99), 2),
            ];
            table.add(&name, cells);
        }
        Ok(table)
    }
}

/// The value in the middle.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    quantile(&mut values.collect::<Vec<_>>(), 0.5).unwrap_or(f64::NAN)
}

fn bare_table(bare: &[Bare]) -> Table {
    let of = |cost: fn(&Bare) -> f64| Cell::Number(median(bare.iter().map(cost)), 1);
    let mut table =
        Table::new("The cryptography alone (aws-lc, parsed keys, one thread)", &["operation", "CPU us"]);
    table.add("RS256 signature", [of(|bare| bare.rs256_signature)]);
    table.add("RS256 verification", [of(|bare| bare.rs256_verification)]);
    table.add("ES256 signature", [of(|bare| bare.es256_signature)]);
    table.add("ES256 verification", [of(|bare| bare.es256_verification)]);
    table
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
