//! Which key it is: those that are registered, and no other.

use tokio::net::TcpListener;

use super::{AssertionRefusal as R, *};

// CHK-82, CHK-136
#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_key_must_fit() {
    let [one, two] = ["one", "two"].map(|kid| ClientKey::generate("ES256", kid));
    let rsa = ClientKey::generate("RS256", "one");
    let mut twin = ClientKey::generate("ES256", "one");
    let clients = keyed_client("two", &[&one, &two], "")
        + &keyed_client("twins", &[&one, &twin], "")
        + &keyed_client("types", &[&one, &rsa], "");
    let server = server_with(&clients).await;
    let without = |key: &ClientKey, alg: &str, who: &str| {
        key.sign(alg, &json!({ "alg": alg }).to_string(), claims(who).to_string())
    };
    assert_eq!(refusal(&server, &without(&one, "ES256", "two"), "no kid").await, R::AmbiguousKey);
    assert_eq!(refusal(&server, &one.assertion("ES256", &claims("twins")), "twins").await, R::AmbiguousKey);
    assert_eq!(refusal(&server, &twin.assertion("ES256", &claims("twins")), "twins").await, R::AmbiguousKey);
    twin.kid = "three".to_owned();
    assert_eq!(refusal(&server, &twin.assertion("ES256", &claims("two")), "none").await, R::NoKey);
    for wire in Wire::both(&server).await {
        granted(&wire, &presented(&one.assertion("ES256", &claims("two")))).await;
        granted(&wire, &presented(&two.assertion("ES256", &claims("two")))).await;
        granted(&wire, &presented(&one.assertion("ES256", &claims("types")))).await;
        granted(&wire, &presented(&rsa.assertion("PS256", &claims("types")))).await;
        granted(&wire, &presented(&without(&one, "ES256", "types"))).await;
    }
    let swapped = two.sign("ES256", &header("ES256", "one"), claims("two").to_string());
    assert_eq!(refusal(&server, &swapped, "swapped").await, R::Signature);
}

// V-3, V-4, CHK-75: nothing that comes with the assertion is a key, and nothing it points at is fetched
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_along_is_none() {
    let (server, _key) = server_of_one("").await;
    let evil = ClientKey::generate("ES256", "k1");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    for header in [
        json!({ "jwk": evil.jwk() }),
        json!({ "jwk": evil.jwk(), "kid": "k1" }),
        json!({ "jku": url }),
        json!({ "jku": url, "kid": "evil" }),
        json!({ "x5u": url, "kid": "k1" }),
        json!({ "x5c": [b64("certificate")], "kid": "k1" }),
    ] {
        let mut header = header;
        header["alg"] = json!("ES256");
        let assertion = evil.sign("ES256", &header.to_string(), claims("c1").to_string());
        let refused = refusal(&server, &assertion, &header.to_string()).await;
        assert!(matches!(refused, R::Signature | R::NoKey), "{header}: {refused:?}");
    }
    // Identifiers that something might take for a path, a statement, or the end of a text.
    for kid in ["../../dev/null", "/etc/passwd", "' OR 1=1--", "\0", "", &"k".repeat(8000), &url] {
        let assertion = evil.sign("ES256", &header("ES256", kid), claims("c1").to_string());
        assert_eq!(refusal(&server, &assertion, kid).await, R::NoKey, "{kid}");
    }
    let nobody_called = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
    assert!(nobody_called.is_err(), "somebody fetched {url}");
}

// CHK-135
#[tokio::test(flavor = "multi_thread")]
async fn a_smart_assertion_names_no_other_key_set() {
    let key = ClientKey::generate("ES384", "k1");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let server = server_with(
        &(keyed_client("smart", &[&key], "profile = \"smart\"") + &keyed_client("strict", &[&key], "")),
    )
    .await;
    let with_jku = |who: &str| {
        let header = json!({ "alg": "ES384", "kid": "k1", "jku": url }).to_string();
        key.sign("ES384", &header, claims(who).to_string())
    };
    assert_eq!(refusal(&server, &with_jku("smart"), "jku").await, R::KeySetUrl);
    for wire in Wire::both(&server).await {
        granted(&wire, &presented(&key.assertion("ES384", &claims("smart")))).await;
        granted(&wire, &presented(&with_jku("strict"))).await;
    }
    assert!(tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await.is_err());
}

// V-2: the keys of the server are no keys of a client
#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_the_server_make_no_assertion() {
    let key = ClientKey::generate("RS256", "k1");
    let (server, forge) = crate::support::forge::Forge::with_server(&keyed_client("c1", &[&key], "")).await;
    for kid in ["k1", &forge.rsa_kid] {
        let assertion =
            crate::support::forge::rs256(&forge.rsa, &header("RS256", kid), claims("c1").to_string());
        let refused = refusal(&server, &assertion, kid).await;
        assert!(matches!(refused, R::Signature | R::NoKey), "{refused:?}");
    }
    let by_jwt_secret = by_secret("HS256", crate::support::server::JWT_SECRET, &claims("c1"));
    assert_eq!(refusal(&server, &by_jwt_secret, "JWT_SECRET").await, R::Algorithm);
}
