//! How long clients that were read stay usable while the store is away (F-4), with a bound of seconds in place of a day.

use mintage::grpc::pb::admin as pb;

use super::*;
use crate::support::{admin::is_put_off, patience::patiently};

const BOUND: Duration = Duration::from_secs(4);
const MARGIN: Duration = Duration::from_millis(500);
const SETTINGS: &str =
    "[store]\npoll_interval = \"100ms\"\nmax_revocation_age = \"1s\"\nmax_staleness = \"4s\"";

// F-4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_clients_get_tokens_up_to_the_stated_bound() {
    let cluster = Cluster::start(Postgres::shared(), 1, SETTINGS).await;
    let replica = &cluster.replicas[0];
    let service = replica.create("service").await;
    let configured = Known::configured("configured");
    replica.token(&service).await;
    // It has heard of its creation, and read the client again.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        replica.token(&service).await;
    }

    replica.proxy.set(Mode::Refuse);
    replica.proxy.cut();
    let cut = Instant::now();
    let (mut granted, mut refused, mut last) = (0, 0, Duration::ZERO);
    while cut.elapsed() < BOUND + Duration::from_secs(2) || refused <= 20 {
        assert!(cut.elapsed() < PATIENCE, "refused {refused} times");
        let asked = cut.elapsed();
        let answer = replica.issue(&service).await;
        match answer.status {
            200 => {
                assert!(asked < BOUND + MARGIN, "a token after {asked:?}");
                (granted, last) = (granted + 1, asked);
            }
            _ => {
                assert!(answer.is_unavailable(), "{answer:?}");
                if refused == 0 {
                    // The bound, less the time since the last poll before the cut.
                    println!("refused after {:.1?}", cut.elapsed());
                }
                refused += 1;
            }
        }
        // These need no store, ever.
        assert_eq!(replica.issue(&configured).await.status, 200);
        for document in ["/.well-known/jwks.json", "/.well-known/oauth-authorization-server"] {
            assert_eq!(replica.get(document).await.status, 200);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{granted} granted, the last after {last:.1?}, then {refused} refused");
    assert!(granted > 0);
    assert_eq!(replica.get("/readyz").await.status, 503);
    assert_eq!(replica.get("/healthz").await.status, 200);

    replica.proxy.set(Mode::Pass);
    replica.heals(&service).await;
    assert_eq!(replica.get("/readyz").await.status, 200);
}

/// Somebody changes a client just before the outage: what was in memory is out of date, and nobody has asked since.
// F-3, F-4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_was_changed_just_before_is_known_as_it_is() {
    let cluster = Cluster::start(Postgres::shared(), 2, "[store]\npoll_interval = \"100ms\"").await;
    let [here, there] = &cluster.replicas[..] else { unreachable!() };
    let (changed, disabled) = (here.create("changed").await, here.create("disabled").await);
    let marker = here.create("marker").await;
    for client in [&changed, &disabled] {
        there.token(client).await;
    }
    let token = there.token(&marker).await;
    eventually("all are in memory", async || there.metric("mintage_clients_cached").await == 3.0).await;
    let update = |client: &Known, enabled, name: &str| {
        let client = pb::Client {
            client_id: client.client_id.clone(),
            client_name: name.to_owned(),
            enabled: Some(enabled),
            ..Default::default()
        };
        let update_mask =
            Some(prost_types::FieldMask { paths: vec!["enabled".to_owned(), "client_name".to_owned()] });
        pb::UpdateClientRequest { client: Some(client), update_mask, ..Default::default() }
    };
    let mut admin = here.admin().await;
    for update in [update(&changed, true, "another name"), update(&disabled, false, "")] {
        patiently!(admin.update_client(update.clone()).await, is_put_off).unwrap();
    }
    // Changes are heard of in order, so that whoever knows of this one has heard of those; then they are read at once,
    // which the numbers tell two ticks later.
    here.revoked(&marker, &token).await;
    eventually("the change is known", async || there.introspect(&token).await.active() == Some(false)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    eventually("all are in memory", async || there.metric("mintage_clients_cached").await == 3.0).await;
    there.proxy.set(Mode::Refuse);
    there.proxy.cut();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(there.issue(&changed).await.status, 200);
    assert_eq!(there.issue(&disabled).await.status, 401);
}
