//! Whom a token is for: `resource` (RFC 8707), `audience`, and the default.

use serde_json::json;

use crate::support::{
    Auth, Issue, TestServer, Wire, error,
    jwt::claims,
    server::{CLIENTS, ISSUER},
};

// CHK-92, CHK-129
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_for_whom_was_asked_or_for_the_default() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        for (client_id, issue, aud) in [
            ("rs256", Issue::default(), json!(ISSUER)),
            ("rs256", Issue::resources(&[ISSUER]), json!(ISSUER)),
            ("rs256", Issue::audiences(&[ISSUER]), json!(ISSUER)),
            ("es256", Issue::default(), json!("https://api.example")),
            ("es256", Issue::resources(&["https://other.example"]), json!("https://other.example")),
            ("es256", Issue::audiences(&["billing"]), json!("billing")),
            ("es256", Issue::audiences(&["https://other.example"]), json!("https://other.example")),
            ("eddsa", Issue::default(), json!("es384")),
        ] {
            let token = wire.granted(&Auth::of(client_id), &issue).await;
            assert_eq!(claims(&token)["aud"], aud, "{wire:?} {client_id} {issue:?}");
        }
    }
}

// CHK-96: documented. Several targets end up in one `aud` array, each once, in the order asked for, and the scope is the
// same for each of them.
#[tokio::test(flavor = "multi_thread")]
async fn several_targets_share_one_token() {
    let server = TestServer::shared().await;
    let issue = Issue {
        scope: Some("read".to_owned()),
        resources: vec!["https://other.example".to_owned(), "https://api.example".to_owned()],
        audiences: vec!["billing".to_owned(), "https://api.example".to_owned()],
    };
    for wire in Wire::both(server).await {
        let token = wire.granted(&Auth::of("es256"), &issue).await;
        let claims = claims(&token);
        assert_eq!(claims["aud"], json!(["https://other.example", "https://api.example", "billing"]));
        assert_eq!(claims["scope"], "read");
    }
}

// CHK-95, V-35: what is relative, has a fragment or is not the client's is no target
#[tokio::test(flavor = "multi_thread")]
async fn an_unlisted_or_malformed_target_is_refused() {
    let server = TestServer::shared().await;
    let many: Vec<&str> = std::iter::repeat_n("https://api.example", 33).collect();
    for wire in Wire::both(server).await {
        for issue in [
            Issue::resources(&["https://unlisted.example"]),
            Issue::resources(&["https://api.example", "https://unlisted.example"]),
            Issue::resources(&["https://api.example/"]),
            Issue::resources(&["https://api.example/v1"]),
            Issue::resources(&["https://API.example"]),
            Issue::resources(&["https://api.exampl"]),
            Issue::resources(&["https://api.example#"]),
            Issue::resources(&["https://api.example#fragment"]),
            Issue::resources(&["/api"]),
            Issue::resources(&["api.example"]),
            // Listed, but an audience and no URI.
            Issue::resources(&["billing"]),
            Issue::resources(&["https://api.example https://other.example"]),
            Issue::resources(&["*"]),
            // The issuer is the default of clients without a list, not an audience of everybody.
            Issue::resources(&[ISSUER]),
            Issue::audiences(&["unlisted"]),
            Issue::audiences(&["billing", "unlisted"]),
            Issue::audiences(&["Billing"]),
            Issue::audiences(&["bill"]),
            Issue::audiences(&[ISSUER]),
            Issue::resources(&many),
        ] {
            let outcome = wire.issue(&Auth::of("es256"), &issue).await;
            assert_eq!(error(outcome), "invalid_target", "{wire:?} {issue:?}");
        }
        for target in ["https://api.example", "https://id.example/", "https://id.exampl"] {
            let outcome = wire.issue(&Auth::of("rs256"), &Issue::resources(&[target])).await;
            assert_eq!(error(outcome), "invalid_target", "{wire:?} {target}");
        }
    }
}

// A token that this server would not read back is not issued; its client is told what to ask for instead.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_would_be_too_long_is_not_issued() {
    let audiences: Vec<String> = (0..32).map(|n| format!("https://{}{n:02}", "x".repeat(490))).collect();
    let client = format!(
        "{CLIENTS}\n[[clients]]\nclient_id = \"wide\"\nclient_secret = \"{}\"\naccess_token_signing_alg = \"ES256\"\n\
         scope = \"read\"\naudiences = {audiences:?}",
        crate::support::auth::secret_of("generated"),
    );
    let server = TestServer::with(&client).await;
    let auth = Auth::basic("wide", &crate::support::auth::secret_of("generated"));
    for wire in Wire::both(&server).await {
        let all = Issue { resources: audiences.clone(), ..Issue::default() };
        assert_eq!(error(wire.issue(&auth, &all).await), "invalid_request", "{wire:?}");
        let some = Issue { resources: audiences[..8].to_vec(), ..Issue::default() };
        assert!(wire.is_active(&wire.granted(&auth, &some).await).await);
    }
}
