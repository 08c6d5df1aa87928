//! Members by which a client proves who it is without a shared secret, over the admin services.

use mintage::grpc::pb::admin as pb;
use prost_types::FieldMask;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::admin::{AdminServer, JWKS, client};

fn violation(status: &Status, member: &str) -> String {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    let found = violations.iter().find(|violation| violation.field == member);
    found.unwrap_or_else(|| panic!("{member}: {violations:?}")).description.clone()
}

/// Every one of them but those that exclude each other.
fn full() -> pb::Client {
    pb::Client {
        token_endpoint_auth_method: "private_key_jwt".to_owned(),
        profile: "compat".to_owned(),
        token_endpoint_auth_signing_alg: vec!["ES256".to_owned(), "PS256".to_owned()],
        // Blanks and order stay as they were written.
        jwks_json: JWKS.replace(":", ": ").into_bytes(),
        tls_client_auth_subject_dn: "CN=billing, O=Example".to_owned(),
        spiffe_id: "spiffe://example.org/billing/*".to_owned(),
        federated: vec![pb::FederatedSubject {
            issuer: "https://cluster.example".to_owned(),
            subject: "system:serviceaccount:prod:*".to_owned(),
        }],
        tls_client_certificate_bound_access_tokens: Some(true),
        dpop_bound_access_tokens: Some(false),
        ..client("billing", "read")
    }
}

// AIP-131, AIP-133
#[tokio::test(flavor = "multi_thread")]
async fn what_is_created_is_read_back_by_every_reader() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let request = pb::CreateClientRequest { client: Some(full()), ..Default::default() };
    let response = admin.create_client(request).await.unwrap();
    let created = response.client.unwrap();
    let expected = pb::Client {
        enabled: Some(true),
        create_time: created.create_time,
        update_time: created.update_time,
        etag: created.etag.clone(),
        source: pb::ClientSource::Store.into(),
        ..full()
    };
    assert_eq!(created, expected);
    let read = admin.get_client(pb::GetClientRequest { client_id: "billing".to_owned() }).await.unwrap();
    assert_eq!(read.client.unwrap(), expected);
    let listed = admin.list_clients(pb::ListClientsRequest::default()).await.unwrap();
    assert_eq!(listed.clients, [expected]);
}

// AIP-134, AIP-161
#[tokio::test(flavor = "multi_thread")]
async fn each_of_them_changes_alone() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let (first, _) = admin.create(full()).await;
    let mut update = async |client: pb::Client, paths: &[&str]| {
        let update_mask = Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
        let client = Some(pb::Client { client_id: "billing".to_owned(), ..client });
        admin
            .update_client(pb::UpdateClientRequest { client, update_mask, validate_only: false })
            .await
            .map(|response| response.client.unwrap())
    };

    let uri = pb::Client { jwks_uri: "https://billing.example/keys".to_owned(), ..Default::default() };
    let refused = update(uri.clone(), &["jwks_uri"]).await.unwrap_err();
    assert!(violation(&refused, "jwks_uri").contains("is set beside jwks"), "{refused:?}");
    let changed = update(uri, &["jwks_uri", "jwks_json"]).await.unwrap();
    assert_eq!((changed.jwks_uri.as_str(), changed.jwks_json.len()), ("https://billing.example/keys", 0));
    let refused = update(pb::Client::default(), &["jwks_uri"]).await.unwrap_err();
    assert!(violation(&refused, "jwks").contains("is missing"), "{refused:?}");

    // CHK-113: exactly one
    let dns = pb::Client { tls_client_auth_san_dns: "billing.example".to_owned(), ..Default::default() };
    let refused = update(dns.clone(), &["tls_client_auth_san_dns"]).await.unwrap_err();
    assert!(violation(&refused, "tls_client_auth_san_dns").contains("exactly one"), "{refused:?}");
    let changed = update(dns, &["tls_client_auth_san_dns", "tls_client_auth_subject_dn"]).await.unwrap();
    assert_eq!(changed.tls_client_auth_subject_dn, "");

    let changed = update(
        pb::Client { dpop_bound_access_tokens: Some(true), ..Default::default() },
        &["dpop_bound_access_tokens", "profile", "federated", "token_endpoint_auth_signing_alg", "spiffe_id"],
    )
    .await
    .unwrap();
    assert_eq!(changed.dpop_bound_access_tokens, Some(true));
    assert_eq!((changed.profile.as_str(), changed.spiffe_id.as_str(), changed.federated.len()), ("", "", 0));
    assert!(changed.token_endpoint_auth_signing_alg.is_empty());
    // What nobody named is as it was.
    assert_eq!(changed.tls_client_certificate_bound_access_tokens, Some(true));
    assert_eq!(
        (changed.scope, changed.token_endpoint_auth_method),
        (first.scope, "private_key_jwt".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_without_secret_has_none() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let request = pb::CreateClientRequest { client: Some(full()), ..Default::default() };
    let created = admin.create_client(request.clone()).await.unwrap();
    assert_eq!((created.client_secret.as_str(), created.secret_id.as_str()), ("", ""));
    let chosen =
        pb::CreateClientRequest { client_secret: "correct horse battery".to_owned(), ..request.clone() };
    let ends = Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 });
    let ending = pb::CreateClientRequest { secret_expire_time: ends, ..request };
    for mut request in [chosen, ending] {
        request.client.as_mut().unwrap().client_id = "other".to_owned();
        let refused = admin.create_client(request).await.unwrap_err();
        assert!(
            violation(&refused, "client_secret").contains("\"private_key_jwt\" uses no secret"),
            "{refused:?}"
        );
    }
    let add = pb::AddClientSecretRequest { client_id: "billing".to_owned(), ..Default::default() };
    let refused = admin.add_client_secret(add).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("\"private_key_jwt\" uses no secret"), "{}", refused.message());

    // Whoever is named by another issuer needs none, and may have one.
    let federated =
        pb::Client { token_endpoint_auth_method: String::new(), client_id: "f".to_owned(), ..full() };
    assert_eq!(admin.create(federated.clone()).await.1, "");
    let add = pb::AddClientSecretRequest { client_id: "f".to_owned(), ..Default::default() };
    assert!(admin.add_client_secret(add).await.unwrap().client_secret.starts_with("mint_"));
}

// V-25
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_method_ends_the_secrets_it_does_not_use() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let (_, secret) = admin.create(client("c", "read")).await;
    assert!(server.token("c", &secret).await.is_ok());
    let jwks_json = JWKS.as_bytes().to_vec();
    let to = |method: &str| pb::Client {
        token_endpoint_auth_method: method.to_owned(),
        jwks_json: jwks_json.clone(),
        ..client("c", "")
    };
    for validate_only in [true, false] {
        let client = Some(to("private_key_jwt"));
        let request = pb::UpdateClientRequest { client, validate_only, ..Default::default() };
        admin.update_client(request).await.unwrap();
        assert_eq!(server.token("c", &secret).await.is_ok(), validate_only);
    }
    let list = pb::ListClientSecretsRequest { client_id: "c".to_owned() };
    let listed = admin.list_client_secrets(list.clone()).await.unwrap().secrets;
    assert_eq!(listed.len(), 1);
    assert!(listed[0].expire_time.is_some());

    let request = pb::UpdateClientRequest { client: Some(to("client_secret_basic")), ..Default::default() };
    admin.update_client(request).await.unwrap();
    assert!(server.token("c", &secret).await.is_err());
    let add = pb::AddClientSecretRequest { client_id: "c".to_owned(), ..Default::default() };
    let again = admin.add_client_secret(add).await.unwrap().client_secret;
    assert!(server.token("c", &again).await.is_ok());

    // Basic and post use the same secrets.
    let request = pb::UpdateClientRequest { client: Some(to("client_secret_post")), ..Default::default() };
    admin.update_client(request).await.unwrap();
    let listed = admin.list_client_secrets(list.clone()).await.unwrap().secrets;
    assert_eq!(listed.iter().filter(|secret| secret.expire_time.is_none()).count(), 1);
    // An HMAC needs the secret itself, of which a hash is kept.
    let request = pb::UpdateClientRequest { client: Some(to("client_secret_jwt")), ..Default::default() };
    admin.update_client(request).await.unwrap();
    let listed = admin.list_client_secrets(list).await.unwrap().secrets;
    assert!(listed.iter().all(|secret| secret.expire_time.is_some()), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_key_set_is_refused() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    for (jwks, member) in [
        ("[]", "jwks_json"),
        ("{\"keys\":[],\"keys\":[]}", "jwks_json"),
        ("{}", "jwks"),
        ("{\"keys\":[]}", "jwks"),
        // A private key in a registration is a secret that leaked.
        (&JWKS.replace("\"kty\"", "\"d\":\"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE\",\"kty\""), "jwks"),
    ] {
        let client = pb::Client { jwks_json: jwks.as_bytes().to_vec(), ..client("c", "read") };
        let request = pb::CreateClientRequest { client: Some(client), ..Default::default() };
        let refused = admin.create_client(request).await.unwrap_err();
        let description = violation(&refused, member);
        assert!(!description.contains("870MB6"), "{description}");
    }
}
