//! Tokens of a client: revoked all at once, and explained.

use std::time::Duration;

use mintage::{
    grpc::pb::admin as pb,
    oauth::{client::ClientId, store::ClientRecord},
};
use prost_types::Timestamp;
use tonic::Code;

use crate::support::{
    admin::{AdminServer, JWKS, SECRET, client},
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
        assert_eq!(explained.decisions.len(), 8);
    }
    assert_eq!(admin.explain_token(explain("nobody")).await.unwrap_err().code(), Code::NotFound);
}

/// The sentence about one part.
fn rule(explained: &pb::ExplainTokenResponse, member: &str) -> String {
    explained.decisions.iter().find(|decision| decision.member == member).unwrap().rule.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn binding_profile_and_the_cap_of_the_lifetime_are_explained() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let keyed = |client_id: &str, profile: &str| pb::Client {
        token_endpoint_auth_method: "private_key_jwt".to_owned(),
        jwks_json: JWKS.as_bytes().to_vec(),
        profile: profile.to_owned(),
        ..client(client_id, "read")
    };
    admin.create(client("plain-one", "read")).await;
    admin.create(pb::Client { dpop_bound_access_tokens: Some(true), ..keyed("dpop", "compat") }).await;
    let certificate = Some(true);
    admin
        .create(pb::Client {
            tls_client_certificate_bound_access_tokens: certificate,
            ..client("mtls", "read")
        })
        .await;
    admin.create(keyed("fapi2", "fapi2")).await;
    admin
        .create(pb::Client { access_token_signing_alg: "ES256".to_owned(), ..keyed("smart", "smart") })
        .await;
    for (client_id, profile, cnf, lifetime, means) in [
        (
            "plain-one",
            "profile \"strict\"",
            "no binding is demanded",
            "the client's own, 3600s",
            "client_secret_basic or",
        ),
        (
            "dpop",
            "lives 3600s at most",
            "must have (RFC 9449 section 5.2): jkt",
            "the client's own",
            "private_key_jwt",
        ),
        (
            "mtls",
            "profile \"strict\"",
            "(RFC 8705 section 3.4): x5t#S256",
            "the client's own",
            "client_secret_basic",
        ),
        ("fapi2", "FAPI 2.0", "the profile binds every token", "the client's own, 3600s", "private_key_jwt"),
        (
            "smart",
            "SMART App Launch 2.2",
            "no binding",
            "the longest of profile \"smart\", 300s",
            "private_key_jwt",
        ),
    ] {
        let explained = admin.explain_token(explain(client_id)).await.unwrap();
        for (member, needle) in
            [("profile", profile), ("cnf", cnf), ("access_token_lifetime", lifetime), ("client", means)]
        {
            let rule = rule(&explained, member);
            assert!(rule.contains(needle), "{client_id} {member}: {rule}");
        }
        assert!(explained.granted, "{client_id}");
    }
    let wish = Some(prost_types::Duration { seconds: 4000, nanos: 0 });
    let explained =
        admin.explain_token(pb::ExplainTokenRequest { lifetime: wish, ..explain("smart") }).await.unwrap();
    assert_eq!(
        rule(&explained, "access_token_lifetime"),
        "the wish is capped by the longest of profile \"smart\", 300s"
    );
    assert_eq!(explained.lifetime.unwrap().seconds, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_can_prove_nothing_is_told_why() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    // This server asks nobody for a certificate.
    let certificate = pb::Client {
        token_endpoint_auth_method: "tls_client_auth".to_owned(),
        tls_client_auth_san_dns: "billing.example".to_owned(),
        ..client("certificate", "read")
    };
    admin.create(certificate).await;
    let (_, secret) = admin.create(client("retired", "read")).await;
    assert!(server.token("retired", &secret).await.is_ok());
    let list = pb::ListClientSecretsRequest { client_id: "retired".to_owned() };
    let secret_id = admin.list_client_secrets(list).await.unwrap().secrets.remove(0).secret_id;
    let retire =
        pb::RetireClientSecretRequest { client_id: "retired".to_owned(), secret_id, expire_time: None };
    admin.retire_client_secret(retire).await.unwrap();
    for (client_id, needle) in [
        ("certificate", "does not offer token_endpoint_auth_method \"tls_client_auth\""),
        ("retired", "the client has none that is valid now"),
    ] {
        let explained = admin.explain_token(explain(client_id)).await.unwrap();
        let refused: Vec<_> = explained.decisions.iter().filter(|decision| decision.refused).collect();
        let [refused] = refused[..] else { panic!("{refused:?}") };
        assert_eq!((refused.member.as_str(), refused.oauth_error.as_str()), ("client", "invalid_client"));
        assert!(refused.rule.contains(needle), "{}", refused.rule);
    }
}
