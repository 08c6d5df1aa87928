//! An assertion is used once (RFC 7523 §3, rule 7).

use std::time::Duration;

use super::{AssertionRefusal as R, *};

// CHK-68, CHK-134, V-16: whatever the transport, the endpoint and the rest of it
#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_is_used_once() {
    let key = ClientKey::generate("ES256", "k1");
    let clients = keyed_client("c1", &[&key], "")
        + &keyed_client("smart", &[&key], "profile = \"smart\"")
        + &keyed_client("compat", &[&key], "profile = \"compat\"");
    let server = server_with(&clients).await;
    let [rest, grpc] = Wire::both(&server).await;
    for who in ["c1", "smart", "compat"] {
        for (first, second) in [(&rest, &rest), (&grpc, &grpc), (&rest, &grpc), (&grpc, &rest)] {
            let auth = presented(&key.assertion("ES256", &claims(who)));
            granted(first, &auth).await;
            assert_eq!(error(second.issue(&auth, &Issue::default()).await), "invalid_client");
            assert_eq!(error(second.introspect(&auth, "x").await), "invalid_client");
            assert_eq!(error(second.revoke(&auth, "x", "").await), "invalid_client");
            assert_eq!(reason(&server, &auth).await, ClientRefusal::Assertion(R::Replayed));
        }
    }
    // The same `jti` in an assertion that is otherwise another one.
    for first in [&rest, &grpc] {
        let jti = json!(format!("again {first:?}"));
        granted(first, &presented(&key.assertion("ES256", &claims_with("c1", "jti", jti.clone())))).await;
        let mut again = claims_with("c1", "jti", jti.clone());
        again["exp"] = json!(NOW + 90);
        let refused = refusal(&server, &key.assertion("ES256", &again), "same jti").await;
        assert_eq!(refused, R::Replayed);
        // Of another client it is another one.
        granted(first, &presented(&key.assertion("ES256", &claims_with("compat", "jti", jti)))).await;
    }
}

// V-46: nobody uses up what is not theirs, and a wrong request does
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_not_used_up() {
    let (server, key) = server_of_one("").await;
    let thief = ClientKey::generate("ES256", "k1");
    for wire in Wire::both(&server).await {
        let good = claims("c1");
        assert_eq!(refusal(&server, &thief.assertion("ES256", &good), "stolen").await, R::Signature);
        let mut late = good.clone();
        late["exp"] = json!(NOW - 60);
        assert_eq!(refusal(&server, &key.assertion("ES256", &late), "late").await, R::Expired);
        let auth = presented(&key.assertion("ES256", &good));
        granted(&wire, &auth).await;

        // The client authenticated; that its request is refused for something else changes nothing.
        let auth = presented(&key.assertion("ES256", &claims("c1")));
        assert_eq!(error(wire.issue(&auth, &Issue::scope("admin")).await), "invalid_scope");
        assert_eq!(error(wire.issue(&auth, &Issue::default()).await), "invalid_client");
    }
}

// V-16: the memory of it ends when the assertion does, and not before
#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_that_is_still_accepted_is_still_remembered() {
    let (server, key) = server_of_one("").await;
    let wire = &Wire::both(&server).await[0];
    let auth = presented(&key.assertion("ES256", &claims("c1")));
    granted(wire, &auth).await;
    for (seconds, expected) in [(59, R::Replayed), (10, R::Replayed), (1, R::Expired)] {
        server.clock.advance(Duration::from_secs(seconds));
        assert_eq!(reason(&server, &auth).await, ClientRefusal::Assertion(expected));
    }
}

// V-44: one text as `jti` of an assertion, of a token, and of the same client's next assertion kind
#[tokio::test(flavor = "multi_thread")]
async fn identifiers_of_other_things_are_others() {
    let (server, key) = server_of_one("").await;
    for wire in Wire::both(&server).await {
        let token = wire.granted(&presented(&key.assertion("ES256", &claims("c1"))), &Issue::default()).await;
        let jti = part(&token, 1)["jti"].clone();
        let auth = presented(&key.assertion("ES256", &claims_with("c1", "jti", jti)));
        granted(&wire, &auth).await;
        assert_eq!(
            wire.introspect(&Auth::basic("resource-server", SECRET), &token).await.unwrap()["active"],
            true
        );
        // Revoking the token does not give the assertion back.
        wire.revoke(&presented(&key.assertion("ES256", &claims("c1"))), &token, "").await.unwrap();
        assert_eq!(error(wire.issue(&auth, &Issue::default()).await), "invalid_client");
    }
}

// V-16: many at once on one replica
#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_is_accepted() {
    let (server, key) = server_of_one("").await;
    let wires = Wire::both(&server).await;
    for _ in 0..20 {
        let auth = presented(&key.assertion("ES256", &claims("c1")));
        let attempts = (0..8).map(|n| {
            let (wire, auth) = (wires[n % 2].clone(), auth.clone());
            tokio::spawn(async move { wire.issue(&auth, &Issue::default()).await.is_ok() })
        });
        let mut accepted = 0;
        for attempt in attempts.collect::<Vec<_>>() {
            accepted += usize::from(attempt.await.unwrap());
        }
        assert_eq!(accepted, 1);
    }
}
