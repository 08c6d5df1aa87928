//! One replica alone is cut off from the database (F-14, I2): beyond the bound it never calls a token active that was
//! revoked elsewhere.

use super::*;

/// `store.max_revocation_age` below.
const BOUND: Duration = Duration::from_secs(3);
const SETTINGS: &str = "[store]\npoll_interval = \"100ms\"\nmax_revocation_age = \"3s\"";

/// Between the answer of one replica and the question to the other, clocks and scheduling included.
const MARGIN: Duration = Duration::from_millis(500);

async fn is_partitioned(cut: Mode) {
    let cluster = Cluster::start(Postgres::shared(), 2, SETTINGS).await;
    let [here, cut_off] = &cluster.replicas[..] else { unreachable!() };
    let service = here.create("service").await;
    let (revoked, kept) = (here.token(&service).await, here.token(&service).await);
    cut_off.token(&service).await;
    for token in [&revoked, &kept] {
        eventually("the token is active", async || cut_off.introspect(token).await.active() == Some(true))
            .await;
    }

    cut_off.proxy.set(cut);
    if cut == Mode::Refuse {
        cut_off.proxy.cut();
    }
    here.revoked(&service, &revoked).await;
    let acknowledged = Instant::now();

    let (mut last_active, mut refused) = (Duration::ZERO, 0);
    while acknowledged.elapsed() < BOUND + Duration::from_secs(3) || refused <= 10 {
        assert!(acknowledged.elapsed() < PATIENCE, "refused {refused} times");
        let asked = acknowledged.elapsed();
        let answer = cut_off.introspect(&revoked).await;
        if answer.active() == Some(true) {
            last_active = asked;
            assert!(asked < BOUND + MARGIN, "a revoked token is active {asked:?} after its revocation");
        } else if asked > BOUND + MARGIN {
            // 503, also for a token that nobody revoked; never an answer made up.
            assert!(answer.is_unavailable(), "{answer:?}");
            assert!(cut_off.introspect(&kept).await.is_unavailable());
            assert!(cut_off.get("/userinfo").await.status != 200);
            refused += 1;
        }
        // Tokens are issued all along, to clients of the store and of the file.
        assert_eq!(cut_off.issue(&service).await.status, 200);
        assert_eq!(cut_off.issue(&Known::configured("configured")).await.status, 200);
        // The other replica knows all along.
        assert_eq!(here.introspect(&revoked).await.active(), Some(false));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "{cut:?}: last called active {last_active:.1?} after the revocation, then refused {refused} times"
    );
    assert!(cut_off.store_state().await.contains("introspection is refused"));
    // What it never had to know is refused at once, too: garbage is no token, whatever the store says.
    assert_eq!(cut_off.introspect("garbage").await.active(), Some(false));

    cut_off.proxy.set(Mode::Pass);
    let healed = eventually("it follows again", async || {
        let answer = cut_off.introspect(&revoked).await;
        assert_ne!(answer.active(), Some(true), "stale news are taken for fresh");
        answer.active() == Some(false)
    })
    .await;
    println!("{cut:?}: healthy after {healed:.1?}");
    eventually("the other one is active", async || cut_off.introspect(&kept).await.active() == Some(true))
        .await;
    cut_off.heals(&service).await;
}

// F-14, I2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_packets_are_dropped_tells_nobody_that_a_revoked_token_is_active() {
    is_partitioned(Mode::Blackhole).await;
}

// F-14, I2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_connections_are_refused_tells_nobody_that_a_revoked_token_is_active() {
    is_partitioned(Mode::Refuse).await;
}
