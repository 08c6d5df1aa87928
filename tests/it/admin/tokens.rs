//! Tokens of a client: revoked all at once, and explained.

use std::time::Duration;

use mintage::{
    grpc::pb::admin as pb,
    oauth::{client::ClientId, store::ClientRecord},
};
use prost_types::Timestamp;
use tonic::Code;

use crate::support::{
    admin::{AdminServer, SECRET, client},
    server::NOW,
};

fn at(seconds: u64) -> Option<Timestamp> {
    Some(Timestamp { seconds: i64::try_from(NOW + seconds).unwrap(), nanos: 0 })
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_issued_until_an_instant_are_revoked() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let (_, secret) = admin.create(client("c", "read")).await;
    for (client_id, secret) in [("c", secret.as_str()), ("plain", SECRET)] {
        server.clock.set(NOW);
        let old = server.token(client_id, secret).await.unwrap();
        server.clock.advance(Duration::from_secs(20));
        let new = server.token(client_id, secret).await.unwrap();
        let revoke = |until| pb::RevokeClientTokensRequest {
            client_id: client_id.to_owned(),
            issued_until_time: until,
        };
        let answer = admin.revoke_client_tokens(revoke(at(10))).await.unwrap();
        assert_eq!(answer.issued_until_time, at(10));
        assert_eq!((server.is_active(&old).await, server.is_active(&new).await), (false, true));

        let answer = admin.revoke_client_tokens(revoke(None)).await.unwrap();
        assert_eq!(answer.issued_until_time, at(20));
        assert!(!server.is_active(&new).await);
        server.clock.advance(Duration::from_secs(1));
        let next = server.token(client_id, secret).await.unwrap();
        assert!(server.is_active(&next).await);
        assert_eq!(
            admin.revoke_client_tokens(revoke(at(3600))).await.unwrap_err().code(),
            Code::InvalidArgument
        );
        assert!(server.is_active(&next).await);
    }
    let nobody = pb::RevokeClientTokensRequest { client_id: "nobody".to_owned(), issued_until_time: None };
    assert_eq!(admin.revoke_client_tokens(nobody).await.unwrap_err().code(), Code::NotFound);
}

fn explain(client_id: &str) -> pb::ExplainTokenRequest {
    pb::ExplainTokenRequest { client_id: client_id.to_owned(), ..Default::default() }
}

/// The claims of a token, without its identifier.
fn claims(token: &str) -> serde_json::Value {
    let payload = mintage::jose::base64url_decode(token.split('.').nth(1).unwrap()).unwrap();
    let mut claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    claims.as_object_mut().unwrap().remove("jti");
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_says_what_the_token_says() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let with_claims = pb::Client {
        claims_json: br#"{"name":"C","big":12345678901234567890123}"#.to_vec(),
        audiences: vec!["https://api.example".to_owned(), "https://b.example".to_owned()],
        access_token_lifetime: Some(prost_types::Duration { seconds: 300, nanos: 0 }),
        ..client("c", "read write")
    };
    let (_, secret) = admin.create(with_claims).await;
    for (client_id, secret) in [("c", secret.as_str()), ("plain", SECRET)] {
        let explained = admin.explain_token(explain(client_id)).await.unwrap();
        let token = server.token(client_id, secret).await.unwrap();
        assert!(explained.granted && explained.decisions.iter().all(|decision| !decision.refused));
        let said: serde_json::Value = serde_json::from_slice(&explained.claims_json).unwrap();
        assert_eq!(said, claims(&token));
        assert_eq!(explained.access_token_signing_alg, "ES256");
        assert!(explained.claims.unwrap().fields.contains_key("iss"));
    }
    let explained = admin.explain_token(explain("c")).await.unwrap();
    assert!(String::from_utf8(explained.claims_json).unwrap().contains("12345678901234567890123"));
    assert_eq!(
        (explained.scopes, explained.audiences),
        (vec!["read".to_owned(), "write".to_owned()], vec!["https://api.example".to_owned()])
    );
    assert_eq!(explained.lifetime.unwrap().seconds, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_names_the_rule_that_decided() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    admin.create(client("c", "read")).await;
    admin.create(pb::Client { enabled: Some(false), ..client("disabled", "read") }).await;
    admin
        .create(pb::Client { access_token_signing_alg: "ES384".to_owned(), ..client("keyless", "read") })
        .await;
    // As if the server had lost the JWT_SECRET that it had when this client was registered.
    let clients = &server.core.store.stores.clients;
    let record = clients.get(&ClientId::parse("keyless").unwrap()).await.unwrap().unwrap();
    let document = record.document.replace("ES384", "HS256");
    clients.update(&ClientRecord { document, revision: record.revision + 1, ..record }).await.unwrap();
    admin
        .create(pb::Client { token_endpoint_auth_method: "none".to_owned(), ..client("public", "read") })
        .await;
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    for (request, member, error) in [
        (explain("disabled"), "client", "invalid_client"),
        (explain("public"), "client", "invalid_client"),
        (explain("resource-server"), "grant_type", "unauthorized_client"),
        (
            pb::ExplainTokenRequest { grant_type: "password".to_owned(), ..explain("c") },
            "grant_type",
            "unsupported_grant_type",
        ),
        (pb::ExplainTokenRequest { scopes: texts(&["admin"]), ..explain("c") }, "scope", "invalid_scope"),
        (
            pb::ExplainTokenRequest { audiences: texts(&["https://x.example"]), ..explain("c") },
            "audience",
            "invalid_target",
        ),
        (
            pb::ExplainTokenRequest { resources: texts(&["relative"]), ..explain("c") },
            "audience",
            "invalid_target",
        ),
        (
            pb::ExplainTokenRequest { lifetime: Some(prost_types::Duration::default()), ..explain("c") },
            "access_token_lifetime",
            "invalid_request",
        ),
        (
            pb::ExplainTokenRequest {
                lifetime: Some(prost_types::Duration { seconds: -5, nanos: 0 }),
                ..explain("c")
            },
            "access_token_lifetime",
            "invalid_request",
        ),
        (explain("keyless"), "access_token_signing_alg", "server_error"),
    ] {
        let explained = admin.explain_token(request).await.unwrap();
        let refused: Vec<_> = explained.decisions.iter().filter(|decision| decision.refused).collect();
        let [refused] = refused[..] else { panic!("{refused:?}") };
        assert_eq!((refused.member.as_str(), refused.oauth_error.as_str()), (member, error));
        assert!(!refused.rule.is_empty() && !explained.granted && explained.claims_json.is_empty());
        assert_eq!(explained.decisions.len(), 6);
    }
    assert_eq!(admin.explain_token(explain("nobody")).await.unwrap_err().code(), Code::NotFound);
}
