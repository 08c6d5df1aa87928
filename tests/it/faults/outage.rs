//! The database is killed, frozen or slow (F-3, F-5, V-69): who is known goes on getting tokens, nobody waits for the
//! database, nothing is acknowledged that was not kept, and all is well again by itself.

use tonic::Code;
use tonic_types::StatusExt;

use super::*;

/// Soon called unreachable, and news that stay fresh for as long as a slow machine needs to ask all that is asked here.
const SETTINGS: &str = "[store]\npoll_interval = \"100ms\"\nmax_revocation_age = \"1h\"";

/// A cluster of one with two clients of the store: one that was in use before the outage, and one that was not.
struct Outage {
    replica: Arc<Replica>,
    known: Known,
    stranger: Known,
    token: String,
}

impl Outage {
    async fn prepare(postgres: &Postgres) -> Self {
        let cluster = Cluster::start(postgres, 1, SETTINGS).await;
        let replica = Arc::clone(&cluster.replicas[0]);
        let (known, stranger) = (replica.create("known").await, replica.create("stranger").await);
        let token = replica.token(&known).await;
        Self { replica, known, stranger, token }
    }

    /// What must be so while the outage lasts.
    async fn is_survived(&self) {
        let Self { replica, known, stranger, token } = self;
        // The store is told to be unreachable, which is no reason to send requests elsewhere.
        eventually("/readyz tells of it", async || {
            let ready = replica.get("/readyz").await;
            assert_eq!(ready.status, 200);
            ready.body["store"].as_str().is_some_and(|text| text.starts_with("unreachable"))
        })
        .await;
        let (mut reads, mut writes, mut calls) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..3 {
            // Nobody knows whether this one exists: 503, not 401, and no waiting.
            let answer = replica.issue(stranger).await;
            assert!(answer.is_unavailable(), "{answer:?}");
            reads.push(answer.took);
            // Nothing was kept, so nothing is acknowledged.
            let answer = replica.revoke(known, token).await;
            assert!(answer.is_unavailable(), "{answer:?}");
            assert_eq!(answer.body["error"], "temporarily_unavailable");
            writes.push(answer.took);
            let begun = Instant::now();
            let status = replica.grpc_revoke(known, token).await.unwrap_err();
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
            calls.push(begun.elapsed());
            // The news is younger than store.max_revocation_age: it is still relied on.
            assert_eq!(replica.introspect(token).await.active(), Some(true));
            assert_eq!(replica.get("/.well-known/jwks.json").await.status, 200);
        }
        for (what, took) in [("reads", reads), ("writes", writes), ("calls", calls)] {
            let took = Times::of(took);
            println!("refused {what}: {took}");
            assert!(took.percentile(0) < NO_WAIT, "{what}: {took}");
        }
    }

    /// Tokens are asked for all the time, before, during and after; `fault` makes the outage and ends it.
    async fn run(&self, name: &str, fault: impl AsyncFnOnce(&Self)) {
        let load = Load::start(&self.replica, &self.known);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        fault(self).await;
        let ended = Instant::now();
        let healed = self.replica.heals(&self.known).await;
        self.replica.revoked(&self.known, &self.token).await;
        assert_eq!(self.replica.introspect(&self.token).await.active(), Some(false));
        self.replica.token(&self.stranger).await;

        let answers = load.end().await;
        let failed: Vec<_> = answers.iter().filter(|(_, status, _)| *status != 200).collect();
        assert!(failed.is_empty(), "{name}: {} of {} failed", failed.len(), answers.len());
        let phase = |is_in: &dyn Fn(Instant) -> bool| {
            Times::of(answers.iter().filter(|(at, ..)| is_in(*at)).map(|(.., took)| *took))
        };
        let before = phase(&|at| at < begun);
        let during = phase(&|at| at >= begun && at < ended);
        println!("{name}: before: {before}\n{name}: during: {during}\n{name}: healthy after {healed:.1?}");
        // Half of them waiting for nobody is no luck; how many of the others did is printed, for a quiet machine to be judged.
        assert!(during.percentile(50) < NO_WAIT, "{name}: {before} and then {during}");
    }
}

// F-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_database_stops_no_token() {
    let postgres = Postgres::start(true);
    let outage = Outage::prepare(&postgres).await;
    outage
        .run("killed", async |outage| {
            postgres.kill9();
            outage.is_survived().await;
            postgres.start_again();
        })
        .await;
    // An orderly restart and an immediate one, from which nobody but the log need learn.
    for restart in [Postgres::restart as fn(&Postgres), |postgres| {
        postgres.stop_immediate();
        postgres.start_again();
    }] {
        restart(&postgres);
        outage.replica.heals(&outage.known).await;
    }
}

// F-5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_database_stops_no_token() {
    let postgres = Postgres::start(false);
    let outage = Outage::prepare(&postgres).await;
    outage
        .run("frozen", async |outage| {
            let frozen = postgres.freeze();
            outage.is_survived().await;
            frozen.thaw();
        })
        .await;
}

// F-5, V-69
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_database_stops_no_token() {
    let outage = Outage::prepare(Postgres::shared()).await;
    outage
        .run("3 s late", async |outage| {
            outage.replica.proxy.set(Mode::Delay(Duration::from_secs(3)));
            outage.is_survived().await;
            outage.replica.proxy.set(Mode::Pass);
        })
        .await;
}

// F-5: half-open connections
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_drops_packets_stops_no_token() {
    let outage = Outage::prepare(Postgres::shared()).await;
    outage
        .run("cut off", async |outage| {
            outage.replica.proxy.set(Mode::Blackhole);
            outage.is_survived().await;
            outage.replica.proxy.set(Mode::Pass);
        })
        .await;
}

/// The first requests of an outage, of which nobody knows yet.
// F-5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_to_notice_do_not_wait_for_long() {
    let Outage { replica, known, stranger, token } = Outage::prepare(Postgres::shared()).await;
    replica.proxy.set(Mode::Blackhole);
    let (read, write, issued) =
        tokio::join!(replica.issue(&stranger), replica.revoke(&known, &token), replica.issue(&known));
    // A write is given the time that a write may take, 2 s; it is not known yet that it is in vain.
    println!("read {:.1?}, write {:.1?}, issued {:.1?}", read.took, write.took, issued.took);
    assert!(read.is_unavailable() && read.took < PATIENCE, "{read:?}");
    assert!(write.is_unavailable() && write.took < PATIENCE, "{write:?}");
    assert_eq!(issued.status, 200);
}
