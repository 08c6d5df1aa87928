//! What happens when more is asked than can be done: `cargo bench --bench overload [-- SECONDS] [--pin] [--json FILE] [--svg FILE]`.
//!
//! Finds out how many RS256 tokens the server can issue (closed loop), then offers 0.5 to 10 times as many (open loop), each between
//! two measurements of what it can at the moment, and measures what was answered, what was refused and how soon, how long a health
//! check takes meanwhile, and how soon everything is normal afterwards (F-16). Then what others feel of it: other endpoints
//! (F-19), clients that ask again at once (F-17), a thousand quiet clients beside a noisy one (F-18), and what floods of requests
//! that must fail cost (F-24).
//!
//! A token that comes later than a second after it was wanted counts for nothing. The first table says what the machine does by
//! itself: of latencies of some tens of milliseconds a part may be its own.

mod floods;
#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use support::{
    Result,
    chart::{self, Curve},
    config,
    http::{HttpCaller, Request, again, get, introspect, issue},
    load::{Beside, CONNECTIONS, Latencies, Offer, Open, beside, closed, open},
    machine,
    options::Options,
    report::{Cell, Table, report},
    server::Server,
};

const FACTORS: [f64; 6] = [0.5, 0.7, 1.0, 1.5, 3.0, 10.0];
/// Connections of an open loop: more requests than these are not under way at once.
const CALLERS: usize = 2_000;
const QUIET: usize = 1_000;
/// Where floods come from; the others come from 127.0.0.1.
const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));
/// How many requests per second whoever is watched makes.
const BESIDE: f64 = 100.0;

fn main() -> Result<()> {
    let Some(options) = Options::read(5.0, 1)? else { return Ok(()) };
    support::run(async {
        let mut curves = Curves::default();
        report(&options, async || run(&options, &mut curves).await).await?;
        if let Some(file) = &options.svg {
            fs::write(file, curves.draw())?;
        }
        Ok(())
    })
}

async fn run(options: &Options, curves: &mut Curves) -> Result<Vec<Table>> {
    let machine = machine::table();
    let mut config = config::base() + &config::client("noisy", "RS256");
    for number in 0..QUIET {
        config += &config::client(&format!("quiet{number}"), "RS256");
    }
    let server = Server::start(&config, options.pin)?;
    let capacity = capacity(&server, options.duration).await?;
    let bench = Bench { server, capacity, duration: options.duration };
    let overload = bench.overload(curves).await?;
    let others = bench.others().await?;
    let retries = bench.retries().await?;
    let noise = bench.noise().await?;
    let floods = floods::measure(bench.capacity, options).await?;
    Ok(vec![machine, overload, others, retries, noise, floods])
}

/// Goodput and refusals against the load; the last run counts.
#[derive(Default)]
struct Curves {
    capacity: f64,
    goodput: Vec<(f64, f64)>,
    refused: Vec<(f64, f64)>,
    lost: Vec<(f64, f64)>,
}

impl Curves {
    fn draw(&self) -> String {
        let ends = [(FACTORS[0], self.capacity), (FACTORS[FACTORS.len() - 1], self.capacity)];
        chart::draw(
            "POST /token RS256: goodput against offered load",
            "offered load, times capacity",
            "requests per second",
            &FACTORS,
            self.capacity * 1.6,
            &[
                Curve { name: "capacity", colour: "#888", points: &ends },
                Curve { name: "goodput: 200 within 1 s", colour: "#087", points: &self.goodput },
                Curve { name: "refused: 503 or 429", colour: "#c60", points: &self.refused },
                Curve { name: "late or unanswered", colour: "#c04", points: &self.lost },
            ],
        )
    }
}

struct Bench {
    server: Server,
    /// RS256 tokens per second.
    capacity: f64,
    duration: Duration,
}

impl Bench {
    async fn overload(&self, curves: &mut Curves) -> Result<Table> {
        let columns = [
            "load",
            "offered/s",
            "capacity/s",
            "goodput/s",
            "of capacity",
            "503/s",
            "429/s",
            "late or lost/s",
            "accepted p50 ms",
            "accepted p99 ms",
            "refused p50 ms",
            "refused p99 ms",
            "without retry-after",
            "health p99 ms",
            "normal after ms",
            "server's cores",
            "sent late, p99 ms",
            "goodput >= 90 %",
        ];

        let mut table = Table::new("POST /token RS256 under load", &columns);
        eprintln!("  capacity: {:.0} per second", self.capacity);
        *curves = Curves { capacity: self.capacity, ..Curves::default() };
        let alone = open(&self.server, self.crowd("RS256").await?, self.times(0.5)).await?;
        // What is slower is not normal. Scheduling alone takes some milliseconds now and then.
        let normal = (alone.slices.median() * 2.0).max(20.0);
        let mut before = capacity(&self.server, self.duration).await?;
        for factor in FACTORS {
            let crowd = self.crowd("RS256").await?;
            let health = self.watched(&get("/healthz")).await?;
            let calm = self.calm().await?;
            let (cpu, begun) = (self.server.cpu()?, Instant::now());
            let measured = open(&self.server, crowd, self.times(factor)).await?;
            let cores = (self.server.cpu()? - cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
            let (health, calm) = (health.end().await?, calm.end().await?);
            let after = capacity(&self.server, self.duration).await?;
            let around = f64::midpoint(before, after);
            before = after;
            let share = measured.goodput / around;
            curves.goodput.push((factor, measured.goodput));
            curves.refused.push((factor, measured.unavailable + measured.limited));
            curves.lost.push((factor, measured.lost));
            let cells = [
                Cell::Number(measured.offered, 0),
                Cell::Number(around, 0),
                Cell::Number(measured.goodput, 0),
                Cell::Number(share, 2),
                Cell::Number(measured.unavailable, 0),
                Cell::Number(measured.limited, 0),
                Cell::Number(measured.lost, 0),
                latency(&measured.accepted, 0.5),
                latency(&measured.accepted, 0.99),
                latency(&measured.refused, 0.5),
                latency(&measured.refused, 0.99),
                Cell::Number(measured.without_retry_after as f64, 0),
                latency(&health.accepted, 0.99),
                Cell::Number(self.normal_after(&calm, normal) * 1000.0, 0),
                Cell::Number(cores, 2),
                Cell::Number(measured.sent.quantile(0.99), 2),
                if factor > 1.0 { Cell::AtLeast(share, 0.9) } else { Cell::Nothing },
            ];
            table.add(&format!("{factor} x"), cells);
        }
        Ok(table)
    }

    /// Callers of one client, from elsewhere. They are connected before the clock starts.
    async fn crowd(&self, client_id: &str) -> Result<Vec<HttpCaller>> {
        HttpCaller::many_from(CALLERS, self.server.address, Some(ELSEWHERE), &again(&issue(client_id))).await
    }

    /// So many times as many requests as can be served.
    fn times(&self, factor: f64) -> Offer {
        Offer::new(self.capacity * factor, self.duration)
    }

    /// Requests that are watched while something else goes on.
    async fn watched(&self, request: &Request) -> Result<Beside> {
        let (address, request) = (self.server.address, Arc::clone(request));
        let connect = async move || HttpCaller::many(CONNECTIONS, address, &again(&request)).await;
        beside(connect, Duration::ZERO, Offer::new(BESIDE, self.duration)).await
    }

    /// Half of what the server can do, as soon as the flood that begins now has ended.
    async fn calm(&self) -> Result<Beside> {
        let address = self.server.address;
        let connect = async move || HttpCaller::many(CALLERS / 10, address, &again(&issue("RS256"))).await;
        beside(connect, self.duration, self.times(0.5)).await
    }

    /// After how many seconds a calm load had its first slice with a p99 of at most so many milliseconds.
    fn normal_after(&self, calm: &Open, limit: f64) -> f64 {
        calm.slices.first_within(limit).unwrap_or(self.duration).as_secs_f64()
    }

    /// What is cheap, while ten times as many RS256 tokens are wanted as there can be.
    async fn others(&self) -> Result<Table> {
        let columns = [
            "request",
            "alone p50 ms",
            "alone p99 ms",
            "flooded p50 ms",
            "flooded p99 ms",
            "answered with 200",
        ];
        let mut table = Table::new("Others while 10 x as many RS256 tokens are wanted as can be", &columns);
        let token = self.server.token("HS256").await?;
        for (name, request) in [
            ("GET /healthz", get("/healthz")),
            ("GET /.well-known/jwks.json", get("/.well-known/jwks.json")),
            ("POST /introspect HS256", introspect("HS256", &token)),
            ("POST /token ES256", issue("ES256")),
        ] {
            let alone = self.watched(&request).await?.end().await?;
            let crowd = self.crowd("RS256").await?;
            let watched = self.watched(&request).await?;
            open(&self.server, crowd, self.times(10.0)).await?;
            let flooded = watched.end().await?;
            let cells = [
                latency(&alone.accepted, 0.5),
                latency(&alone.accepted, 0.99),
                latency(&flooded.accepted, 0.5),
                latency(&flooded.accepted, 0.99),
                Cell::Number(flooded.served, 3),
            ];
            table.add(name, cells);
        }
        Ok(table)
    }

    /// Clients that ask again three times, at once, whatever they are told.
    async fn retries(&self) -> Result<Table> {
        let columns = [
            "load",
            "offered/s",
            "goodput/s",
            "refused/s",
            "late or lost/s",
            "normal after ms",
            "within 10 s",
        ];
        let mut table = Table::new("Retry storm: refused clients ask three times more, at once", &columns);
        for factor in [1.5, 3.0] {
            let crowd = self.crowd("RS256").await?;
            let calm = self.calm().await?;
            let measured = open(&self.server, crowd, Offer { retries: 3, ..self.times(factor) }).await?;
            let after = self.normal_after(&calm.end().await?, 100.0);
            let cells = [
                Cell::Number(measured.offered, 0),
                Cell::Number(measured.goodput, 0),
                Cell::Number(measured.unavailable + measured.limited, 0),
                Cell::Number(measured.lost, 0),
                Cell::Number(after * 1000.0, 0),
                Cell::AtMost(after, 10.0),
            ];
            table.add(&format!("{factor} x"), cells);
        }
        Ok(table)
    }

    /// A thousand clients that together want 30 % of what can be had, beside one that wants ten times all of it.
    async fn noise(&self) -> Result<Table> {
        let columns = [
            "who",
            "offered/s",
            "goodput/s",
            "503/s",
            "429/s",
            "late or lost/s",
            "p50 ms",
            "p99 ms",
            "sent late, p99 ms",
        ];
        let mut table = Table::new("One noisy client and a thousand quiet ones", &columns);
        let mut enter = |name: &str, measured: &Open| {
            let cells = [
                Cell::Number(measured.offered, 0),
                Cell::Number(measured.goodput, 0),
                Cell::Number(measured.unavailable, 0),
                Cell::Number(measured.limited, 0),
                Cell::Number(measured.lost, 0),
                latency(&measured.accepted, 0.5),
                latency(&measured.accepted, 0.99),
                Cell::Number(measured.sent.quantile(0.99), 2),
            ];
            table.add(name, cells);
        };
        enter("quiet, alone", &open(&self.server, quiet(self.server.address).await?, self.times(0.3)).await?);
        let crowd = self.crowd("noisy").await?;
        let address = self.server.address;
        let quiet = beside(async move || quiet(address).await, Duration::ZERO, self.times(0.3)).await?;
        let noisy = open(&self.server, crowd, self.times(10.0)).await?;
        enter("quiet, beside the noisy one", &quiet.end().await?);
        enter("the noisy one", &noisy);
        Ok(table)
    }
}

/// RS256 tokens per second, at the moment.
async fn capacity(server: &Server, duration: Duration) -> Result<f64> {
    let callers = HttpCaller::many(CONNECTIONS, server.address, &again(&issue("RS256"))).await?;
    Ok(closed(server, callers, 200, duration / 2).await?.rate)
}

/// Milliseconds, if there was anything that took time.
fn latency(latencies: &Latencies, quantile: f64) -> Cell {
    if latencies.is_empty() { Cell::Nothing } else { Cell::Number(latencies.quantile(quantile), 2) }
}

/// A thousand clients, each on a connection of its own.
async fn quiet(address: SocketAddr) -> Result<Vec<HttpCaller>> {
    let mut callers = Vec::new();
    for number in 0..QUIET {
        callers.extend(HttpCaller::many(1, address, &again(&issue(&format!("quiet{number}")))).await?);
    }
    Ok(callers)
}
