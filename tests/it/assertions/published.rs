//! Clients that publish their keys at a `jwks_uri` (RFC 7591 §2).

use std::time::Duration;

use mintage::jose::JwsAlgorithm;

use super::{AssertionRefusal as R, *};
use crate::support::{assertion::claims_at, issuer::StandInIssuer};

/// Where the stand-in publishes.
fn jwks_uri(publisher: &StandInIssuer) -> String {
    format!("{}/openid/v1/jwks", publisher.issuer())
}

async fn server_that_fetches(publisher: &StandInIssuer, profile: &str) -> TestServer {
    let fetch = format!("\n[jwks_fetch]\nallow_hosts = [\"{}\"]\nallow_http = true\n", publisher.host());
    let client = format!(
        "\n[[clients]]\nclient_id = \"c1\"\ntoken_endpoint_auth_method = \"private_key_jwt\"\nscope = \"read\"\n\
         access_token_signing_alg = \"ES256\"\nprofile = \"{profile}\"\njwks_uri = \"{}\"\n",
        jwks_uri(publisher)
    );
    server_with(&format!("{fetch}{client}")).await
}

// V-34: a new key is found, and an unknown one costs no fetch for each assertion that names it
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_once_and_again_when_an_unknown_one_is_named() {
    let publisher = StandInIssuer::start(JwsAlgorithm::ES256).await;
    let server = server_that_fetches(&publisher, "strict").await;
    let wires = Wire::both(&server).await;
    for wire in wires.iter().chain(&wires) {
        granted(wire, &presented(&publisher.sign(&claims("c1")))).await;
    }
    assert_eq!(publisher.requests(), 1);

    let stranger = ClientKey::generate("ES256", "k1");
    for n in 0..20 {
        let assertion = stranger.sign("ES256", &header("ES256", &n.to_string()), claims("c1").to_string());
        assert_eq!(refusal(&server, &assertion, "an unknown kid").await, R::NoKey);
    }
    let fetched = publisher.requests();
    assert!(fetched <= 2, "{fetched} fetches");
    // The known keys go on working.
    granted(&wires[0], &presented(&publisher.sign(&claims("c1")))).await;

    publisher.rotate(true);
    server.clock.advance(Duration::from_secs(31));
    let now = NOW + 31;
    for wire in &wires {
        granted(wire, &presented(&publisher.sign(&claims_at("c1", now)))).await;
    }
    assert_eq!(publisher.requests(), fetched + 1);
}

// CHK-135: `jku` may name the set that is registered, and no other is looked at
#[tokio::test(flavor = "multi_thread")]
async fn jku_is_the_url_that_is_registered() {
    let (publisher, other) =
        (StandInIssuer::start(JwsAlgorithm::ES384).await, StandInIssuer::start(JwsAlgorithm::ES384).await);
    let server = server_that_fetches(&publisher, "smart").await;
    for wire in Wire::both(&server).await {
        let named = publisher.sign_with(&json!({ "jku": jwks_uri(&publisher) }), &claims("c1"));
        granted(&wire, &presented(&named)).await;
    }
    let fetched = publisher.requests();
    for jku in [jwks_uri(&other), format!("{}#", jwks_uri(&publisher)), jwks_uri(&publisher).to_uppercase()] {
        let assertion = other.sign_with(&json!({ "jku": jku }), &claims("c1"));
        assert_eq!(refusal(&server, &assertion, &jku).await, R::KeySetUrl, "{jku}");
    }
    assert_eq!((publisher.requests(), other.requests()), (fetched, 0));
}

// A key set that cannot be had is told to the log alone
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_had_are_no_keys() {
    let publisher = StandInIssuer::start(JwsAlgorithm::ES256).await;
    let client = format!(
        "\n[[clients]]\nclient_id = \"c1\"\ntoken_endpoint_auth_method = \"private_key_jwt\"\njwks_uri = \"{}\"\n",
        jwks_uri(&publisher).replace("http:", "https:")
    );
    // Nobody allowed an address of this host (V-33).
    let server = server_with(&client).await;
    let refused = refusal(&server, &publisher.sign(&claims("c1")), "no keys").await;
    assert_eq!(refused, R::KeysUnavailable);
    assert_eq!(publisher.requests(), 0);
}
