//! How long clients that were read stay usable while the store is away (F-4), with a bound of seconds in place of a day.

use mintage::grpc::pb::admin as pb;

use super::*;

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
    assert_eq!(replica.issue(&service).await.status, 200);
    // It has heard of its creation, and read the client again.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(replica.issue(&service).await.status, 200);
    }

    let before_cut = Instant::now();
    replica.proxy.set(Mode::Refuse);
    replica.proxy.cut();
    let cut = Instant::now();
    let (mut granted, mut refused, mut last) = (0, 0, Duration::ZERO);
    while cut.elapsed() < BOUND + Duration::from_secs(2) {
        let asked = before_cut.elapsed();
        let answer = replica.issue(&service).await;
        match answer.status {
            200 => {
                assert!(asked < BOUND + MARGIN, "a token after {asked:?}");
                (granted, last) = (granted + 1, asked);
            }
            _ => {
                assert!(answer.is_unavailable(), "{answer:?}");
                // The last sync was one poll before at the earliest, or two on a busy machine.
                assert!(cut.elapsed() > BOUND - Duration::from_secs(1), "refused after {:?}", cut.elapsed());
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
    assert!(granted > 20 && refused > 20);
    assert_eq!(replica.get("/readyz").await.status, 503);
    assert_eq!(replica.get("/healthz").await.status, 200);

    replica.proxy.set(Mode::Pass);
    replica.heals(&service, HEALED).await;
    assert_eq!(replica.get("/readyz").await.status, 200);
}

/// Somebody changes a client just before the outage: what was in memory is out of date, and nobody has asked since.
// F-3, F-4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_was_changed_just_before_is_known_as_it_is() {
    let cluster = Cluster::start(Postgres::shared(), 2, "[store]\npoll_interval = \"100ms\"").await;
    let [here, there] = &cluster.replicas[..] else { unreachable!() };
    let (changed, disabled) = (here.create("changed").await, here.create("disabled").await);
    for client in [&changed, &disabled] {
        assert_eq!(there.issue(client).await.status, 200);
    }
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
    admin.update_client(update(&changed, true, "another name")).await.unwrap();
    admin.update_client(update(&disabled, false, "")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    there.proxy.set(Mode::Refuse);
    there.proxy.cut();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(there.issue(&changed).await.status, 200);
    assert_eq!(there.issue(&disabled).await.status, 401);
}
