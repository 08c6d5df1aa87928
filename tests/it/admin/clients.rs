//! Clients over the admin services: create, read, change, delete, and what is refused.

use mintage::grpc::pb::admin as pb;
use prost_types::FieldMask;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::admin::{AdminServer, ISSUER, client};

/// The members of the violations of a status.
fn violations(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    status
        .get_details_bad_request()
        .unwrap()
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

fn reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().unwrap().reason)
}

fn full() -> pb::Client {
    pb::Client {
        client_id: "billing".to_owned(),
        client_name: "Billing".to_owned(),
        token_endpoint_auth_method: "client_secret_basic".to_owned(),
        grant_types: Some(pb::GrantTypes { values: vec!["client_credentials".to_owned()] }),
        scope: "read write".to_owned(),
        audiences: vec!["https://api.example".to_owned()],
        access_token_signing_alg: "ES256".to_owned(),
        access_token_lifetime: Some(prost_types::Duration { seconds: 300, nanos: 0 }),
        introspect: "any".to_owned(),
        enabled: Some(true),
        claims_json: br#"{"big":12345678901234567890123,"name":"B\u00fc"}"#.to_vec(),
        ..Default::default()
    }
}

// AIP-131, AIP-133
#[tokio::test(flavor = "multi_thread")]
async fn what_is_created_is_read_back_and_used() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let request = pb::CreateClientRequest { client: Some(full()), ..Default::default() };
    let response = admin.create_client(request).await.unwrap();
    let (created, secret) = (response.client.unwrap(), response.client_secret);
    assert!(secret.starts_with("mint_") && secret.len() == 48, "{}", secret.len());
    assert!(!response.secret_id.is_empty() && !response.repeated_request);
    let expected = pb::Client {
        create_time: created.create_time,
        update_time: created.update_time,
        etag: created.etag.clone(),
        source: pb::ClientSource::Store.into(),
        ..full()
    };
    assert_eq!(created, expected);
    let read = admin.get_client(pb::GetClientRequest { client_id: "billing".to_owned() }).await.unwrap();
    assert_eq!(read.client.unwrap(), expected);

    let token = server.token("billing", &secret).await.unwrap();
    assert!(server.is_active(&token).await);
    assert!(server.token("billing", "mint_0000000000000000000000000000000000000000000").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identifier_is_made_when_none_is_given() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let (first, secret) = admin.create(client("", "read")).await;
    let (second, _) = admin.create(client("", "read")).await;
    assert_ne!(first.client_id, second.client_id);
    assert!(server.token(&first.client_id, &secret).await.is_ok());
}

// CHK-94
#[tokio::test(flavor = "multi_thread")]
async fn a_taken_identifier_is_refused() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    admin.create(client("taken", "read")).await;
    for validate_only in [true, false] {
        for taken in ["taken", "operator", "resource-server"] {
            let request = pb::CreateClientRequest {
                client: Some(client(taken, "x")),
                validate_only,
                ..Default::default()
            };
            let status = admin.create_client(request).await.unwrap_err();
            assert_eq!(reason(&status), (Code::AlreadyExists, "ALREADY_EXISTS".to_owned()), "{taken}");
            assert!(status.message().contains(taken), "{}", status.message());
        }
        let client = Some(client(ISSUER, "x"));
        let request = pb::CreateClientRequest { client, validate_only, ..Default::default() };
        assert_eq!(violations(&admin.create_client(request).await.unwrap_err()), ["client_id"]);
    }
    // The client that was there first still has its scope.
    let read = admin.get_client(pb::GetClientRequest { client_id: "taken".to_owned() }).await.unwrap();
    assert_eq!(read.client.unwrap().scope, "read");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_is_listed() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let bad = pb::Client {
        client_id: "bad".to_owned(),
        token_endpoint_auth_method: "private_key_jwt".to_owned(),
        grant_types: Some(pb::GrantTypes { values: vec!["password".to_owned()] }),
        scope: "a  b".to_owned(),
        audiences: vec!["a b".to_owned()],
        access_token_signing_alg: "none".to_owned(),
        access_token_lifetime: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        introspect: "all".to_owned(),
        profile: "loose".to_owned(),
        jwks_json: br#"{"keys":[]}"#.to_vec(),
        tls_client_auth_san_ip: "billing.example".to_owned(),
        tls_client_auth_san_dns: "billing.example".to_owned(),
        claims_json: br#"{"sub":"admin"}"#.to_vec(),
        ..Default::default()
    };
    let request = pb::CreateClientRequest {
        client: Some(bad.clone()),
        client_secret: "short".to_owned(),
        ..Default::default()
    };
    let mut members = violations(&admin.create_client(request).await.unwrap_err());
    members.sort();
    members.dedup();
    let mut expected = [
        "grant_types",
        "scope",
        "audiences",
        "access_token_signing_alg",
        "access_token_lifetime",
        "introspect",
        "profile",
        "jwks",
        "tls_client_auth_san_ip",
        "claims",
        "client_secret",
    ];
    expected.sort_unstable();
    assert_eq!(members, expected);
    assert_eq!(
        admin.get_client(pb::GetClientRequest { client_id: "bad".to_owned() }).await.unwrap_err().code(),
        Code::NotFound
    );

    for (bad, member) in [
        (
            pb::Client { access_token_signing_alg: "HS256".to_owned(), ..client("x", "a") },
            "access_token_signing_alg",
        ),
        (pb::Client { claims_json: b"[1]".to_vec(), ..client("x", "a") }, "claims_json"),
        (pb::Client { claims_json: br#"{"a":1,"a":2}"#.to_vec(), ..client("x", "a") }, "claims_json"),
        (client(&"x".repeat(256), "a"), "client_id"),
        (client("é", "a"), "client_id"),
    ] {
        let request = pb::CreateClientRequest { client: Some(bad), ..Default::default() };
        assert_eq!(violations(&admin.create_client(request).await.unwrap_err()), [member]);
    }
}

// AIP-155
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_creates_nothing_more_and_tells_no_secret() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let request = pb::CreateClientRequest {
        client: Some(client("", "read")),
        request_id: "6d2c2a5e-6a0f-4a7e-8c62-0d6a3b1f9f10".to_owned(),
        ..Default::default()
    };
    let first = admin.create_client(request.clone()).await.unwrap();
    let again = admin.create_client(request.clone()).await.unwrap();
    assert!(!first.client_secret.is_empty() && !first.repeated_request);
    assert_eq!((again.client_secret.as_str(), again.repeated_request), ("", true));
    assert_eq!(again.client, first.client);

    let other = pb::CreateClientRequest { client: Some(client("other", "read")), ..request.clone() };
    assert_eq!(violations(&admin.create_client(other).await.unwrap_err()), ["request_id"]);
    // Once the client is deleted, its request is forgotten with it.
    let client_id = first.client.unwrap().client_id;
    admin.delete_client(pb::DeleteClientRequest { client_id, ..Default::default() }).await.unwrap();
    assert!(!admin.create_client(request.clone()).await.unwrap().repeated_request);
    for request_id in ["a b", "é", &"x".repeat(65)] {
        let request = pb::CreateClientRequest { request_id: request_id.to_owned(), ..request.clone() };
        assert_eq!(violations(&admin.create_client(request).await.unwrap_err()), ["request_id"]);
    }
}

// AIP-155: at once at several replicas
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_race_create_one_client() {
    let server = AdminServer::start().await;
    let token = server.operator().await.token;
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut admin = server.as_bearer(&token).await;
        racing.spawn(async move {
            let client = Some(client("", "read"));
            let request_id = "race".to_owned();
            admin
                .create_client(pb::CreateClientRequest { client, request_id, ..Default::default() })
                .await
                .unwrap()
        });
    }
    let answers = racing.join_all().await;
    let secrets = answers.iter().filter(|answer| !answer.client_secret.is_empty()).count();
    let first = answers[0].client.as_ref().unwrap().client_id.clone();
    assert_eq!(secrets, 1);
    assert!(answers.iter().all(|answer| answer.client.as_ref().unwrap().client_id == first));
}

// AIP-163
#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_validated_does_not_happen() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let request = pb::CreateClientRequest {
        client: Some(client("dry", "read")),
        validate_only: true,
        request_id: "dry".to_owned(),
        ..Default::default()
    };
    let response = admin.create_client(request).await.unwrap();
    assert_eq!((response.client.unwrap().scope.as_str(), response.client_secret.as_str()), ("read", ""));
    let get = pb::GetClientRequest { client_id: "dry".to_owned() };
    assert_eq!(admin.get_client(get.clone()).await.unwrap_err().code(), Code::NotFound);

    let (created, _) = admin.create(client("dry", "read")).await;
    let request = pb::UpdateClientRequest {
        client: Some(client("dry", "write")),
        validate_only: true,
        ..Default::default()
    };
    assert_eq!(admin.update_client(request).await.unwrap().client.unwrap().scope, "write");
    let request =
        pb::DeleteClientRequest { client_id: "dry".to_owned(), validate_only: true, ..Default::default() };
    admin.delete_client(request).await.unwrap();
    assert_eq!(admin.get_client(get).await.unwrap().client.unwrap(), created);
}

// AIP-134, AIP-161
#[tokio::test(flavor = "multi_thread")]
async fn an_update_changes_what_its_mask_names() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let (created, secret) = admin.create(full()).await;
    server.clock.advance(std::time::Duration::from_secs(5));
    let mask =
        |paths: &[&str]| Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
    let update = |client, update_mask| pb::UpdateClientRequest {
        client: Some(client),
        update_mask,
        ..Default::default()
    };

    // Without a mask: what is set.
    let request = update(pb::Client { client_name: "New".to_owned(), ..client("billing", "") }, None);
    let updated = admin.update_client(request).await.unwrap().client.unwrap();
    let mut expected = created.clone();
    expected.client_name = "New".to_owned();
    expected.update_time =
        Some(prost_types::Timestamp { seconds: created.create_time.unwrap().seconds + 5, nanos: 0 });
    expected.etag.clone_from(&updated.etag);
    assert_ne!(updated.etag, created.etag);
    assert_eq!(updated, expected);

    // With one: what it names, an empty value taking the member away.
    let request = update(client("billing", "read"), mask(&["scope", "claims_json", "access_token_lifetime"]));
    let updated = admin.update_client(request).await.unwrap().client.unwrap();
    expected.scope = "read".to_owned();
    expected.claims_json = Vec::new();
    expected.access_token_lifetime = None;
    expected.etag.clone_from(&updated.etag);
    assert_eq!(updated, expected);

    // All of it: only the identifier and the secrets stay.
    let updated =
        admin.update_client(update(client("billing", ""), mask(&["*"]))).await.unwrap().client.unwrap();
    assert_eq!((updated.scope.as_str(), updated.audiences.len(), updated.client_name.as_str()), ("", 0, ""));
    assert!(server.token("billing", &secret).await.is_ok());

    for (request, member) in [
        (update(client("billing", ""), mask(&["client_id"])), "update_mask"),
        (update(client("billing", ""), mask(&["secrets"])), "update_mask"),
        (update(client("billing", ""), None), "update_mask"),
        (update(client("billing", "a  b"), None), "scope"),
    ] {
        assert_eq!(violations(&admin.update_client(request).await.unwrap_err()), [member]);
    }
}

// AIP-154
#[tokio::test(flavor = "multi_thread")]
async fn a_change_with_an_old_etag_is_aborted() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let (created, _) = admin.create(client("e", "read")).await;
    let update = |etag: &str| pb::UpdateClientRequest {
        client: Some(pb::Client { etag: etag.to_owned(), ..client("e", "write") }),
        ..Default::default()
    };
    let updated = admin.update_client(update(&created.etag)).await.unwrap().client.unwrap();
    for etag in [created.etag.as_str(), "x", "1"] {
        let status = admin.update_client(update(etag)).await.unwrap_err();
        assert_eq!(reason(&status), (Code::Aborted, "ETAG_MISMATCH".to_owned()));
        let request = pb::DeleteClientRequest {
            client_id: "e".to_owned(),
            etag: etag.to_owned(),
            ..Default::default()
        };
        assert_eq!(admin.delete_client(request).await.unwrap_err().code(), Code::Aborted);
    }
    // A client of the same name that is registered later is another one.
    let delete =
        pb::DeleteClientRequest { client_id: "e".to_owned(), etag: updated.etag, ..Default::default() };
    admin.delete_client(delete).await.unwrap();
    server.clock.advance(std::time::Duration::from_secs(24 * 60 * 60 + 11));
    let mut admin = server.operator().await;
    admin.create(client("e", "read")).await;
    assert_eq!(admin.update_client(update(&created.etag)).await.unwrap_err().code(), Code::Aborted);
}

// V-25
#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_client_gets_nothing_and_its_tokens_are_inactive() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let (_, secret) = admin.create(client("d", "read")).await;
    let token = server.token("d", &secret).await.unwrap();
    assert!(server.is_active(&token).await);
    let enable = |enabled| pb::UpdateClientRequest {
        client: Some(pb::Client { enabled: Some(enabled), ..client("d", "") }),
        ..Default::default()
    };
    admin.update_client(enable(false)).await.unwrap();
    assert!(!server.is_active(&token).await);
    assert_eq!(server.token("d", &secret).await.unwrap_err().code(), Code::Unauthenticated);
    admin.update_client(enable(true)).await.unwrap();
    assert!(server.token("d", &secret).await.is_ok());
}

// V-25: another client of the same name does not revive the tokens
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_client_is_gone_with_its_tokens() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let (_, secret) = admin.create(client("gone", "read")).await;
    let token = server.token("gone", &secret).await.unwrap();
    let delete = pb::DeleteClientRequest { client_id: "gone".to_owned(), ..Default::default() };
    admin.delete_client(delete.clone()).await.unwrap();
    assert!(!server.is_active(&token).await);
    assert!(server.token("gone", &secret).await.is_err());
    assert_eq!(admin.delete_client(delete).await.unwrap_err().code(), Code::NotFound);

    // A replica that has not heard of it may issue tokens for a day: nobody may inherit those.
    let again = pb::CreateClientRequest { client: Some(client("gone", "read")), ..Default::default() };
    let refused = admin.create_client(again).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    server.clock.advance(std::time::Duration::from_secs(24 * 60 * 60 + 11));
    let mut admin = server.operator().await;
    let (_, new_secret) = admin.create(client("gone", "read")).await;
    assert!(!server.is_active(&token).await);
    assert!(server.token("gone", &secret).await.is_err());
    let new_token = server.token("gone", &new_secret).await.unwrap();
    assert!(server.is_active(&new_token).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_the_configuration_are_read_only() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let get = pb::GetClientRequest { client_id: "registrar".to_owned() };
    let configured = admin.get_client(get).await.unwrap().client.unwrap();
    assert_eq!(configured.source(), pb::ClientSource::Configuration);
    assert_eq!(configured.scope, "mintage:register read write");
    assert_eq!((configured.etag.as_str(), configured.create_time), ("", None));
    let id = || "registrar".to_owned();
    for status in [
        admin
            .update_client(pb::UpdateClientRequest {
                client: Some(client("registrar", "x")),
                ..Default::default()
            })
            .await
            .unwrap_err(),
        admin
            .delete_client(pb::DeleteClientRequest { client_id: id(), ..Default::default() })
            .await
            .unwrap_err(),
        admin
            .add_client_secret(pb::AddClientSecretRequest { client_id: id(), ..Default::default() })
            .await
            .unwrap_err(),
        admin.list_client_secrets(pb::ListClientSecretsRequest { client_id: id() }).await.unwrap_err(),
        admin
            .retire_client_secret(pb::RetireClientSecretRequest { client_id: id(), ..Default::default() })
            .await
            .unwrap_err(),
    ] {
        assert_eq!(reason(&status), (Code::FailedPrecondition, "FAILED_PRECONDITION".to_owned()));
        assert!(status.message().contains("configuration file"), "{}", status.message());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_grants_differs_from_one_with_the_default() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let none = Some(pb::GrantTypes::default());
    let (created, secret) = admin.create(pb::Client { grant_types: none.clone(), ..client("rs", "") }).await;
    assert_eq!(created.grant_types, none);
    assert_eq!(server.token("rs", &secret).await.unwrap_err().code(), Code::PermissionDenied);
    let (created, secret) = admin.create(client("default", "")).await;
    assert_eq!(created.grant_types, None);
    assert!(server.token("default", &secret).await.is_ok());
}
