//! What the log says of an assertion: why it was refused, and nothing of what was sent.

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;
use crate::support::{assertion::claims_at, process::Process};

#[expect(clippy::disallowed_methods, reason = "the server is a process, which has no other clock")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

// V-71, and API.md: "the log says so by name"
#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_why_and_what_would_help() {
    const HS: &str = "canary-0123456789abcdef0123456789abcdef";
    let key = ClientKey::generate("ES256", "k1");
    let clients = format!(
        "{SETTINGS}{}\n[[clients]]\nclient_id = \"c2\"\nclient_secret = \"{HS}\"\n\
         token_endpoint_auth_method = \"client_secret_jwt\"\n",
        keyed_client("c1", &[&key], ""),
    );
    let issuer = [("ISSUER_URL", ISSUER)];
    let mut process = Process::spawn(&clients, "exec \"$@\"", &issuer);
    process.ready().await;
    let mut sent = Vec::new();
    for wire in Wire::at(&format!("http://{}", process.address)).await {
        let good = claims_at("c1", now());
        let mut for_the_token_url = claims_at("c1", now());
        for_the_token_url["aud"] = json!(format!("{ISSUER}/token"));
        let mut long = claims_at("c1", now());
        long["exp"] = json!(now() + 1800);
        let by_hmac = by_secret("HS256", HS, &claims_at("c2", now()));
        let good = key.assertion("ES256", &good);
        for (assertion, accepted) in [
            (good.clone(), true),
            (good, false),
            (key.assertion("ES256", &for_the_token_url), false),
            (key.assertion("ES256", &long), false),
            (by_hmac, true),
        ] {
            let issued = wire.issue(&presented(&assertion), &Issue::default()).await;
            assert_eq!(issued.is_ok(), accepted, "{wire:?} {issued:?}");
            sent.push(assertion);
        }
    }
    process.signal("TERM");
    assert!(process.ended().await.success());
    let log = process.stderr() + &process.stdout();
    for told in [
        "the assertion was used before",
        "aud of the assertion is not what the client's profile demands; profile \\\"compat\\\" would accept it",
        "lives longer than the client's profile allows; profile \\\"compat\\\" would accept it",
    ] {
        let found = log.matches(told).count() + log.matches(&told.replace('\\', "")).count();
        assert!(found >= 2, "{told}: {log}");
    }
    for assertion in sent {
        let [header, payload, signature] = crate::support::jwt::parts(&assertion);
        for part in [payload, signature] {
            assert!(!log.contains(part), "{log}");
        }
        let _ = header;
    }
    assert!(!log.contains("canary"), "{log}");
}
