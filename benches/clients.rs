//! What clients in the store cost: `cargo bench --bench clients [-- SECONDS] [--runs N] [--pin] [--json FILE]`.
//!
//! Fills an SQLite store with 10, 10,000 and 1,000,000 clients, starts the release binary on it and issues ES256 tokens to
//! at most 10,000 of them in turn. Prints a Markdown table: time to ready, memory of the server after the start and with the
//! hot clients known, requests per second, and the CPU time the server alone spends per token once it knows them.

#[path = "support/mod.rs"]
mod support;

use std::{cell::Cell as Counter, process::Command, rc::Rc, sync::Arc};

use mintage::{
    oauth::{
        client::ClientId,
        store::{ClientRecord, ClientStore, TransferStore},
    },
    store::{Location, Options as StoreOptions, Store},
};

use support::{
    Result,
    http::{HttpCaller, Requests, form_with_secret},
    load::{CONNECTIONS, closed},
    options::Options,
    report::{Cell, Table, report},
    server::{Server, binary, file},
};

const COUNTS: [usize; 3] = [10, 10_000, 1_000_000];
const HOT: usize = 10_000;

fn main() -> Result<()> {
    let Some(options) = Options::read(2.0, 1)? else { return Ok(()) };
    support::run(async {
        report(&options, async || Ok(vec![clients(&options).await?])).await?;
        Ok(())
    })
}

async fn clients(options: &Options) -> Result<Table> {
    let columns = [
        "clients",
        "start to ready, ms",
        "RSS at start, MiB",
        "RSS with the hot clients, MiB",
        "tokens/s",
        "server CPU us/token",
    ];
    let mut table = Table::new(&format!("Clients in the store, of which {HOT} are hot"), &columns);
    let directory = Arc::new(tempfile::tempdir()?);
    let url = format!("sqlite://{}", file(&directory, "mintage.db").display());
    let secret = first_client(&url)?;
    let store = Store::open(&Location::parse(&url)?, StoreOptions::default()).await?;
    let model = store.get(&ClientId::parse("c0")?).await?.ok_or("the first client")?;
    let mut filled = 1;
    for count in COUNTS {
        fill(&store, &model, filled..count).await?;
        filled = count;
        let config = format!("issuer = \"https://id.example\"\ndatabase_url = \"{url}\"\nlog = \"error\"\n");
        let server = Server::start_in(Arc::clone(&directory), &config, options.pin)?;
        let at_start = server.rss_kib()?;
        let requests = each_in_turn(count.min(HOT), &secret);
        // Every hot client is read once; then the clock starts.
        let mut connection = server.connect().await?;
        for _ in 0..count.min(HOT) {
            if connection.ask(&requests()?).await?.status != 200 {
                return Err("a client got no token".into());
            }
        }
        let callers = HttpCaller::many(CONNECTIONS, server.address, &requests).await?;
        let measured = closed(&server, callers, 200, options.duration).await?;
        let cells = [
            Cell::Number(server.ready_after.as_secs_f64() * 1000.0, 0),
            Cell::Number(at_start / 1024.0, 1),
            Cell::Number(measured.rss_kib / 1024.0, 1),
            Cell::Number(measured.rate, 0),
            Cell::Number(measured.cpu, 1),
        ];
        table.add(&count.to_string(), cells);
    }
    Ok(table)
}

/// Requests for tokens of so many clients, one after another.
fn each_in_turn(clients: usize, secret: &str) -> Requests {
    let form =
        |number| form_with_secret("/token", &format!("c{number}"), secret, "grant_type=client_credentials");
    let (forms, next): (Vec<_>, _) = ((0..clients).map(form).collect(), Counter::new(0));
    Rc::new(move || {
        let number = next.replace((next.get() + 1) % forms.len());
        Ok(Arc::clone(&forms[number]))
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

fn mintage(url: &str) -> Command {
    let mut command = Command::new(binary());
    command
        .env("ISSUER_URL", "https://id.example")
        .env("MINTAGE_DATABASE_URL", url)
        .env("MINTAGE_LOG", "error");
    command
}
