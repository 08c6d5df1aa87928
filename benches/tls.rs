//! What TLS connections cost, measured in one run: `cargo bench --bench tls [-- SECONDS] [--runs N] [--pin] [--json FILE]`.
//!
//! Starts the release binary twice, with and without TLS (1.3, an ECDSA P-256 certificate), and opens a connection for each
//! request, with full and with resumed handshakes. Prints how many per second, and the CPU time that the server alone spends on
//! each. What a handshake costs is the difference to a connection without TLS. `--bench load` has the figures of TLS on kept
//! connections.

#[path = "support/mod.rs"]
mod support;

use std::{net::SocketAddr, sync::Arc};

use rustls::{ClientConfig, HandshakeKind, client::Resumption};

use support::{
    Result, config,
    http::{Answer, Connection},
    load::{CONNECTIONS, Caller, closed},
    options::Options,
    report::{Cell, Table, report},
    server::Server,
    tls::{Certificates, handshake},
};

fn main() -> Result<()> {
    let Some(options) = Options::read(2.0, 1)? else { return Ok(()) };
    support::run(async {
        report(&options, async || run(&options).await).await?;
        Ok(())
    })
}

async fn run(options: &Options) -> Result<Vec<Table>> {
    let certificates = Certificates::new()?;
    let (plain, encrypted) =
        (Server::start(&config::base(), options.pin)?, certificates.serve("", options.pin)?);
    let columns = ["connection + GET /healthz", "/s", "p99 ms", "server CPU us each", "beyond plain"];
    let mut table = Table::new("Connections, closed loop", &columns);
    let mut without = None;
    for (name, server, how) in [
        ("plain", &plain, How::Plain),
        ("TLS, full handshake", &encrypted, How::Full { certificate: false }),
        ("TLS, full handshake with a client certificate", &encrypted, How::Full { certificate: true }),
        ("TLS, resumed", &encrypted, How::Resumed),
    ] {
        let callers = (0..CONNECTIONS).map(|_| Opener::new(server.address, how, &certificates));
        let measured = closed(server, callers.collect::<Result<Vec<_>>>()?, 200, options.duration).await?;
        let plain = *without.get_or_insert(measured.cpu);
        let cells = [
            Cell::Number(measured.rate, 0),
            Cell::Number(measured.latencies.quantile(0.99), 2),
            Cell::Number(measured.cpu, 1),
            Cell::Number(measured.cpu - plain, 1),
        ];
        table.add(name, cells);
    }
    Ok(vec![table])
}

/// How connections are opened.
#[derive(Clone, Copy)]
enum How {
    Plain,
    /// Each with a handshake from nothing.
    Full {
        certificate: bool,
    },
    /// Each caller with the sessions of its earlier connections, as separate clients do.
    Resumed,
}

/// Opens a connection for every request.
struct Opener {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    /// The handshake that there must be; the first of a caller has nothing to resume.
    expected: Option<HandshakeKind>,
    first: bool,
}

impl Opener {
    fn new(address: SocketAddr, how: How, certificates: &Certificates) -> Result<Self> {
        let (tls, expected) = match how {
            How::Plain => (None, None),
            How::Full { certificate } => {
                (Some(certificates.client(certificate, Resumption::disabled())?), Some(HandshakeKind::Full))
            }
            How::Resumed => {
                let sessions = Resumption::in_memory_sessions(8);
                (Some(certificates.client(false, sessions)?), Some(HandshakeKind::Resumed))
            }
        };
        Ok(Self { address, tls, expected, first: true })
    }
}

impl Caller for Opener {
    async fn call(&mut self) -> Result<Answer> {
        const LAST: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
        let mut plain = Connection::open(self.address, None).await?;
        let Some(tls) = &self.tls else { return plain.ask(LAST).await };
        let (stream, kind) = handshake(plain.into_stream(), tls).await?;
        if !std::mem::take(&mut self.first) && kind != self.expected {
            return Err(format!("{kind:?} instead of {:?}", self.expected).into());
        }
        Connection::new(stream).ask(LAST).await
    }
}
