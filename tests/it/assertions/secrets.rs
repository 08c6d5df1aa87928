//! client_secret_jwt: the secret is known to both sides, and never sent.

use super::{AssertionRefusal as R, *};

const CHOSEN: &str = "0123456789abcdef0123456789abcdef";

/// A `[[clients]]` table.
fn client(client_id: &str, secret: &str, more: &str) -> String {
    format!(
        "\n[[clients]]\nclient_id = \"{client_id}\"\nclient_secret = \"{secret}\"\n\
         token_endpoint_auth_method = \"client_secret_jwt\"\n{more}\n"
    )
}

// CHK-69, V-2, RFC 7518 §3.2
#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_long_enough_for_the_algorithm() {
    let long = CHOSEN.repeat(2);
    let clients = client("short", CHOSEN, "")
        + &client("long", &long, "")
        + &client("listed", &long, "token_endpoint_auth_signing_alg = [\"HS512\"]");
    let server = server_with(&clients).await;
    for wire in Wire::both(&server).await {
        granted(&wire, &presented(&by_secret("HS256", CHOSEN, &claims("short")))).await;
        for alg in ["HS256", "HS384", "HS512"] {
            granted(&wire, &presented(&by_secret(alg, &long, &claims("long")))).await;
        }
        granted(&wire, &presented(&by_secret("HS512", &long, &claims("listed")))).await;
    }
    for alg in ["HS384", "HS512"] {
        let assertion = by_secret(alg, CHOSEN, &claims("short"));
        assert_eq!(refusal(&server, &assertion, alg).await, R::NoKey, "{alg}");
    }
    let assertion = by_secret("HS256", &long, &claims("listed"));
    assert_eq!(refusal(&server, &assertion, "listed").await, R::Algorithm);
    for wrong in [CHOSEN.to_uppercase(), String::new(), format!("{CHOSEN} "), "short".to_owned()] {
        let assertion = by_secret("HS256", &wrong, &claims("short"));
        assert_eq!(refusal(&server, &assertion, &wrong).await, R::Signature, "{wrong}");
    }
    // A client with a secret has no key, and one that is registered for assertions never sends its secret (CHK-25).
    let key = ClientKey::generate("ES256", "k1");
    let refused = refusal(&server, &key.assertion("ES256", &claims("short")), "ES256").await;
    assert_eq!(refused, R::Algorithm);
    for wire in Wire::both(&server).await {
        for auth in [Auth::basic("short", CHOSEN), Auth::form("short", CHOSEN)] {
            assert_eq!(error(wire.issue(&auth, &Issue::default()).await), "invalid_client");
        }
    }
}

// CHK-28: a secret somebody chose can be guessed; a key cannot
#[tokio::test(flavor = "multi_thread")]
async fn guesses_are_limited_and_forged_signatures_lock_nobody_out() {
    let key = ClientKey::generate("ES256", "k1");
    let clients = client("guessed", CHOSEN, "") + &keyed_client("c1", &[&key], "");
    let text = format!("{SETTINGS}{clients}").replacen("failed_auth_rate = \"off\"", "", 1);
    let server = TestServer::with_environment(&text, &[("JWT_SECRET", "")]).await;
    let forged = ClientKey::generate("ES256", "k1");
    for wire in Wire::both(&server).await {
        let mut limited = 0;
        for _ in 0..60 {
            let guess = presented(&by_secret("HS256", &CHOSEN.to_uppercase(), &claims("guessed")));
            let refused = wire.issue(&guess, &Issue::default()).await.unwrap_err();
            limited += usize::from(refused.error == "temporarily_unavailable");
            let forgery = presented(&forged.assertion("ES256", &claims("c1")));
            assert_eq!(error(wire.issue(&forgery, &Issue::default()).await), "invalid_client");
        }
        assert!(limited >= 20, "{wire:?}: {limited}");
        // Nobody is told whether the next one is right, and an unknown client is limited alike (V-22).
        let right = presented(&by_secret("HS256", CHOSEN, &claims("guessed")));
        assert_eq!(error(wire.issue(&right, &Issue::default()).await), "temporarily_unavailable");
        granted(&wire, &presented(&key.assertion("ES256", &claims("c1")))).await;
        server.clock.advance(std::time::Duration::from_secs(20));
        let now = NOW + if matches!(wire.transport, crate::support::Transport::Rest) { 20 } else { 40 };
        let right = crate::support::assertion::claims_at("guessed", now);
        granted(&wire, &presented(&by_secret("HS256", CHOSEN, &right))).await;
    }
}

// V-25: a reload that changes the secret ends the old one
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_the_secret() {
    let server = server_with(&client("c2", CHOSEN, "")).await;
    let other = CHOSEN.to_uppercase();
    server.reload(&format!("{SETTINGS}{}", client("c2", &other, ""))).await.unwrap();
    assert_eq!(refusal(&server, &by_secret("HS256", CHOSEN, &claims("c2")), "old").await, R::Signature);
    granted(&Wire::both(&server).await[0], &presented(&by_secret("HS256", &other, &claims("c2")))).await;
}
