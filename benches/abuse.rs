//! What connections that only take cost: `cargo bench --bench abuse [-- SECONDS] [--pin] [--json FILE]`.
//!
//! Has a server hold 10,000 idle connections (plain, and TLS), 5,000 half-open ones, 1,000 clients that do not read and a flood
//! of TLS handshakes (F-20, F-21, F-22), and prints its memory before, at the worst and afterwards, and how long valid requests
//! took meanwhile. Attacks by frames are tests: `tests/it/abuse`. SECONDS is how long each is held; the server gives up on a peer
//! that does not read after 15.

#[path = "support/mod.rs"]
mod support;

use std::{cell::Cell as Counter, net::IpAddr, rc::Rc, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::client::Resumption;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::sleep,
};

use support::{
    Result, config,
    http::{Connection, HttpCaller, StreamCaller, again, get, issue},
    load::{Beside, Offer, beside},
    options::Options,
    report::{Cell, Table, report},
    server::Server,
    tls::{Certificates, handshake},
};

const IDLE: usize = 10_000;
const HALF_OPEN: usize = 5_000;
const SLOW: usize = 1_000;
const FLOODERS: usize = 64;
/// Valid requests per second, and the connections they come on.
const VALID: f64 = 500.0;
const CALLERS: usize = 50;
/// Loopback addresses that connections come from: one address has ports for some 28,000.
const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

fn main() -> Result<()> {
    let Some(options) = Options::read(20.0, 1)? else { return Ok(()) };
    // As many descriptors as there may be; the server inherits that.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let descriptors = limit.maximum.map_or(usize::MAX, |count| count as usize);
    support::run(async {
        report(&options, async || Ok(vec![run(&options, descriptors.saturating_sub(500)).await?])).await?;
        Ok(())
    })
}

async fn run(options: &Options, descriptors: usize) -> Result<Table> {
    let columns = [
        "what",
        "connections",
        "RSS before MiB",
        "peak MiB",
        "after MiB",
        "peak KiB each",
        "closed by the server",
        "valid p99 before ms",
        "meanwhile ms",
        "valid answered",
    ];
    let mut table = Table::new("Connections that only take", &columns);
    let certificates = Certificates::new()?;
    let settings = "[limits]\nmax_connections = 20000\n";
    let plain = || Server::start(&format!("{}{settings}", config::base()), options.pin);
    let encrypted = || certificates.serve(settings, options.pin);
    let (idle, half_open) = (IDLE.min(descriptors), HALF_OPEN.min(descriptors));
    let health = get("/healthz");

    let server = plain()?;
    let scenario = Scenario { name: "idle, plain", server: &server, tls: None, options };
    let attack = async || {
        let mut held = Vec::with_capacity(idle);
        for _ in 0..idle {
            let mut connection = server.connect_from(ELSEWHERE).await?;
            connection.ask(&health).await?;
            held.push(connection.into_stream());
        }
        Ok(Held { streams: held, ..Held::default() })
    };
    scenario.run(&mut table, attack).await?;
    drop(server);

    let server = encrypted()?;
    let scenario = Scenario { name: "idle, TLS", server: &server, tls: Some(&certificates), options };
    let client = certificates.client(false, Resumption::disabled())?;
    let attack = async || {
        let mut held = Vec::with_capacity(idle);
        for _ in 0..idle {
            let stream = server.connect_from(ELSEWHERE).await?.into_stream();
            let mut connection = Connection::new(handshake(stream, &client).await?.0);
            connection.ask(&health).await?;
            // The session of the client is not needed any more, which saves this process some memory.
            held.push(connection.into_stream().into_inner().0);
        }
        Ok(Held { streams: held, ..Held::default() })
    };
    scenario.run(&mut table, attack).await?;
    drop(server);

    // The beginning of a request, and of a TLS record.
    for (name, server, tls, beginning) in [
        ("half-open, plain", plain()?, None, &b"GET /healthz HT"[..]),
        ("half-open, TLS", encrypted()?, Some(&certificates), &b"\x16\x03\x01\x02\x00\x01"[..]),
    ] {
        let attack = async || {
            let mut held = Vec::with_capacity(half_open);
            for _ in 0..half_open {
                let mut stream = server.connect_from(ELSEWHERE).await?.into_stream();
                stream.write_all(beginning).await?;
                held.push(stream);
            }
            Ok(Held { streams: held, ..Held::default() })
        };
        Scenario { name, server: &server, tls, options }.run(&mut table, attack).await?;
    }

    let server = plain()?;
    let scenario = Scenario { name: "clients that do not read", server: &server, tls: None, options };
    let jwks = get("/.well-known/jwks.json").repeat(500);
    let attack = async || {
        let mut held = Vec::with_capacity(SLOW);
        for _ in 0..SLOW {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(4096)?;
            let stream = socket.connect(server.address).await?;
            // As much as the server is ready to take: it stops reading when nobody reads its answers.
            stream.writable().await?;
            let _ = stream.try_write(&jwks);
            held.push(stream);
        }
        Ok(Held { streams: held, ..Held::default() })
    };
    scenario.run(&mut table, attack).await?;
    drop(server);

    let server = encrypted()?;
    let scenario = Scenario { name: "handshakes", server: &server, tls: Some(&certificates), options };
    let attack = async || {
        let mut held = Held::default();
        for _ in 0..FLOODERS {
            let (address, client, made) = (server.address, client.clone(), Rc::clone(&held.made));
            held.flood.spawn_local(async move {
                loop {
                    let Ok(plain) = Connection::open(address, Some(ELSEWHERE)).await else { continue };
                    if handshake(plain.into_stream(), &client).await.is_ok() {
                        made.set(made.get() + 1);
                    }
                }
            });
        }
        Ok(held)
    };
    scenario.run(&mut table, attack).await?;
    Ok(table)
}

/// What an attack holds until it ends.
#[derive(Default)]
struct Held {
    streams: Vec<TcpStream>,
    flood: JoinSet<()>,
    made: Rc<Counter<usize>>,
}

impl Held {
    /// Connections that the server has ended.
    fn closed(&self) -> usize {
        let mut buffer = vec![0; 64 * 1024];
        let is_closed = |stream: &&TcpStream| {
            loop {
                match stream.try_read(&mut buffer) {
                    Ok(0) => return true,
                    Ok(_) => {}
                    Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
                }
            }
        };
        self.streams.iter().filter(is_closed).count()
    }
}

struct Scenario<'a> {
    name: &'a str,
    server: &'a Server,
    /// What valid clients need, when the server speaks TLS.
    tls: Option<&'a Certificates>,
    options: &'a Options,
}

impl Scenario<'_> {
    async fn run(&self, table: &mut Table, attack: impl AsyncFnOnce() -> Result<Held>) -> Result<()> {
        let duration = self.options.duration;
        let alone = self.valid(duration / 4).await?.end().await?;
        let before = self.server.rss_kib()?;
        let valid = self.valid(duration).await?;
        let held = attack().await?;
        let meanwhile = valid.end().await?;
        let (peak, closed) = (self.server.peak_kib()?, held.closed());
        let count = held.streams.len() + held.made.get();
        drop(held);
        sleep(Duration::from_secs(2)).await;
        let after = self.server.rss_kib()?;
        let cells = [
            Cell::Number(count as f64, 0),
            Cell::Number(before / 1024.0, 1),
            Cell::Number(peak / 1024.0, 1),
            Cell::Number(after / 1024.0, 1),
            Cell::Number((peak - before) / count.max(1) as f64, 1),
            Cell::Number(closed as f64, 0),
            Cell::Number(alone.accepted.quantile(0.99), 2),
            Cell::Number(meanwhile.accepted.quantile(0.99), 2),
            Cell::Number(meanwhile.served, 4),
        ];
        table.add(self.name, cells);
        Ok(())
    }
    /// Requests that must be answered whatever happens, on connections that are open before it does.
    async fn valid(&self, duration: Duration) -> Result<Beside> {
        let (offer, address, request) = (Offer::new(VALID, duration), self.server.address, issue("ES256"));
        let Some(certificates) = self.tls else {
            let connect = async move || HttpCaller::many(CALLERS, address, &again(&request)).await;
            return beside(connect, Duration::ZERO, offer).await;
        };
        let client = certificates.client(false, Resumption::disabled())?;
        let connect = async move || {
            let mut callers = Vec::new();
            for _ in 0..CALLERS {
                let stream = Connection::open(address, None).await?.into_stream();
                callers.push(StreamCaller::new(handshake(stream, &client).await?.0, &request));
            }
            Ok(callers)
        };
        beside(connect, Duration::ZERO, offer).await
    }
}
