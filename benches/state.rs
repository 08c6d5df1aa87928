//! What the store costs and what its absence does, measured in one run: `cargo bench --bench state [-- SECONDS]`.
//!
//! Starts a PostgreSQL of its own and real servers, each behind a proxy, as the tests of faults do, and prints Markdown
//! tables: statements for 10,000 tokens, how soon three replicas act on a revocation, single uses that are claimed per second, and
//! tokens before, during and after an outage of so many seconds (60). All processes share the machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    dead_code,
    unused_imports,
    reason = "a program that measures, with what the tests share"
)]

#[path = "../tests/it/support/mod.rs"]
mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mintage::{
    clock::Timestamp,
    oauth::store::ReplayStore,
    store::{Location, Options, Store},
};
use support::{
    cluster::{Cluster, Known, Load, Times},
    patience::eventually,
    postgres::Postgres,
};

const TOKENS: usize = 10_000;
const REVOCATIONS: usize = 200;
const NOW: Timestamp = Timestamp::from_seconds(10);
const END: Timestamp = Timestamp::from_seconds(500);

fn main() {
    // `cargo bench` says so; whoever merely builds and runs every target wants nothing measured.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(60);
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let postgres = Postgres::start(true);
        statements(&postgres).await;
        propagation(&postgres).await;
        claims(&postgres).await;
        outage(&postgres, Duration::from_secs(seconds)).await;
    });
}

async fn statements(postgres: &Postgres) {
    let cluster = Cluster::start(postgres, 1, "[store]\npoll_interval = \"15s\"\nnotify = false").await;
    let replica = &cluster.replicas[0];
    let service = replica.create("service").await;
    replica.token(&service).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (begun, before) = (Instant::now(), replica.metric("mintage_store_statements_total").await);
    for _ in 0..TOKENS {
        let token = replica.token(&service).await;
        assert_eq!(replica.introspect(&token).await.active(), Some(true));
    }
    let took = begun.elapsed();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sent = replica.metric("mintage_store_statements_total").await - before;
    println!("| tokens issued and introspected | statements in that time | polls in that time, at most |");
    println!("|---:|---:|---:|");
    println!("| {TOKENS} | {sent} | {} |\n", took.as_secs() / 15 + 1);
}

async fn propagation(postgres: &Postgres) {
    println!("| a revocation is known on three replicas | p50 | p99 | max |");
    println!("|---|---:|---:|---:|");
    for (how, settings) in [("with NOTIFY", ""), ("without NOTIFY", "[store]\nnotify = false")] {
        let cluster = Cluster::start(postgres, 3, settings).await;
        let service = cluster.replicas[0].create("service").await;
        let mut times = Vec::new();
        for round in 0..REVOCATIONS {
            let token = cluster.replicas[round % 3].token(&service).await;
            // At any moment of the others' polls.
            tokio::time::sleep(Duration::from_millis(round as u64 * 37 % 500)).await;
            assert_eq!(cluster.replicas[0].revoke(&service, &token).await.status, 200);
            let acknowledged = Instant::now();
            for replica in &cluster.replicas {
                while replica.introspect(&token).await.active() != Some(false) {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            times.push(acknowledged.elapsed());
        }
        println!("| {how} {}", row(&Times::of(times)));
    }
    println!();
}

/// Assertions and proofs are used once: each is claimed in the store, and those that wait share a commit.
async fn claims(postgres: &Postgres) {
    println!("| claims per second, so many at once | 1 | 8 | 64 | 256 |");
    println!("|---|---:|---:|---:|---:|");
    let directory = tempfile::tempdir().unwrap();
    let file = format!("sqlite://{}", directory.path().join("mintage.db").display());
    let postgres = postgres.new_database();
    for (name, url) in [("SQLite in memory", "sqlite::memory:"), ("SQLite", &file), ("PostgreSQL", &postgres)]
    {
        let store = Store::open(&Location::parse(url).unwrap(), Options::default()).await.unwrap();
        let (mut number, mut row) = (0_u64, format!("| {name} |"));
        for together in [1, 8, 64, 256] {
            let (begun, mut done) = (Instant::now(), 0);
            while begun.elapsed() < Duration::from_secs(2) {
                let claims: Vec<_> = (0..together)
                    .map(|_| {
                        number += 1;
                        let (store, mut key) = (store.clone(), [0; 32]);
                        key[..8].copy_from_slice(&number.to_be_bytes());
                        tokio::spawn(async move { store.claim(&key, END, NOW).await })
                    })
                    .collect();
                for claim in claims {
                    assert_eq!(claim.await.unwrap(), Ok(true));
                    done += 1;
                }
            }
            row += &format!(" {:.0} |", f64::from(done) / begun.elapsed().as_secs_f64());
        }
        println!("{row}");
    }
    println!();
}

async fn outage(postgres: &Postgres, duration: Duration) {
    let cluster = Cluster::start(postgres, 1, "").await;
    let replica = &cluster.replicas[0];
    let service = replica.create("service").await;
    let aside = Duration::from_secs(10);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let load = Load::start(replica, &service);
    tokio::time::sleep(aside).await;
    let begun = Instant::now();
    postgres.kill9();
    tokio::time::sleep(duration).await;
    let ended = Instant::now();
    postgres.start_again();
    let healed = replica.heals(&service).await;
    tokio::time::sleep(aside).await;
    let answers = load.end().await;

    let name = format!("POST /token, database killed for {} s", duration.as_secs());
    println!("| {name} | requests | success | p50 | p99 | max |");
    println!("|---|---:|---:|---:|---:|---:|");
    let phase = |name: &str, is_in: &dyn Fn(Instant) -> bool| {
        let answers: Vec<_> = answers.iter().filter(|(at, ..)| is_in(*at)).collect();
        let good = answers.iter().filter(|(_, status, _)| *status == 200).count();
        let success = 100.0 * good as f64 / answers.len() as f64;
        let times = Times::of(answers.iter().map(|(.., took)| *took));
        println!("| {name} | {} | {success:.3} % {}", answers.len(), row(&times));
    };
    phase("before", &|at| at < begun);
    phase("during", &|at| at >= begun && at < ended);
    phase("after", &|at| at >= ended);
    println!("\nrevocations work again {healed:.2?} after PostgreSQL accepts connections");
}

fn row(times: &Times) -> String {
    let [p50, p99, max] =
        [50, 99, 100].map(|percent| format!("{:.1} ms", times.percentile(percent).as_secs_f64() * 1000.0));
    format!("| {p50} | {p99} | {max} |")
}
