//! Clients that register their keys, and change how they prove who they are.

use serde_json::{Value, json};

use super::{path, register, registered, text};
use crate::support::admin::{AdminServer, JWKS, SECRET};

fn jwks() -> Value {
    serde_json::from_str(JWKS).unwrap()
}

fn private_key_jwt() -> Value {
    json!({
        "client_name": "Keys",
        "scope": "read",
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        "jwks": jwks(),
        "dpop_bound_access_tokens": true,
    })
}

// RFC 7591 3.2.1: all that is registered comes back, and no secret
#[tokio::test(flavor = "multi_thread")]
async fn a_client_registers_its_keys() {
    let server = AdminServer::start().await;
    let information = registered(&server, &private_key_jwt()).await;
    for (member, value) in private_key_jwt().as_object().unwrap() {
        assert_eq!(&information[member], value, "{member}");
    }
    assert!(
        information.get("client_secret").is_none() && information.get("client_secret_expires_at").is_none()
    );
    let own = text(&information, "registration_access_token");
    let read = server.http("GET", &path(&information), Some(own), None).await;
    assert_eq!(read.json(), information);
    let id = text(&information, "client_id").to_owned();
    let mut admin = server.operator().await;
    let request = mintage::grpc::pb::admin::ListClientSecretsRequest { client_id: id };
    assert!(admin.list_client_secrets(request).await.unwrap().secrets.is_empty());

    let uri =
        json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://a.example/keys" });
    assert_eq!(registered(&server, &uri).await["jwks_uri"], "https://a.example/keys");
    let jwt = registered(&server, &json!({ "token_endpoint_auth_method": "client_secret_jwt" })).await;
    assert!(text(&jwt, "client_secret").starts_with("mint_"));
}

// RFC 7591 3.2.2
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_prove_nothing_are_refused() {
    let server = AdminServer::start().await;
    let token = server.token("registrar", SECRET).await.unwrap();
    let with = |members: Value| {
        let mut metadata = private_key_jwt();
        metadata.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        metadata
    };
    for (metadata, says) in [
        (with(json!({ "jwks_uri": "https://a.example/keys" })), "jwks_uri"),
        (with(json!({ "jwks": null })), "jwks"),
        (with(json!({ "jwks": { "keys": [] } })), "jwks"),
        (with(json!({ "jwks": [] })), "jwks"),
        // V-33
        (with(json!({ "jwks": null, "jwks_uri": "http://a.example/keys" })), "https"),
        (with(json!({ "jwks": null, "jwks_uri": "file:///etc/passwd" })), "https"),
        (with(json!({ "token_endpoint_auth_signing_alg": "none" })), "token_endpoint_auth_signing_alg"),
        // CHK-69
        (with(json!({ "token_endpoint_auth_signing_alg": "HS256" })), "token_endpoint_auth_signing_alg"),
        (
            with(json!({ "tls_client_auth_san_dns": "a.example", "tls_client_auth_san_ip": "::1" })),
            "exactly one",
        ),
        (with(json!({ "dpop_bound_access_tokens": "yes" })), "of its type"),
        (with(json!({ "tls_client_certificate_bound_access_tokens": true })), "no client certificate"),
    ] {
        let reply = register(&server, &token, &metadata).await;
        assert_eq!(reply.refusal(), (400, "invalid_client_metadata".to_owned()), "{metadata}");
        let json = reply.json();
        assert!(text(&json, "error_description").contains(says), "{metadata}: {json}");
    }
}

// RFC 8705 2.1.2, 2.2, 3.4: where certificates reach the server, here by way of a proxy
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_registered_where_they_are_offered() {
    let proxy = [("MINTAGE_PROXY_TRUSTED", "192.0.2.1"), ("MINTAGE_PROXY_CLIENT_CERT_HEADER", "client-cert")];
    let server = AdminServer::with_environment(&proxy).await;
    let self_signed = json!({
        "scope": "read",
        "token_endpoint_auth_method": "self_signed_tls_client_auth",
        "jwks": jwks(),
        "tls_client_certificate_bound_access_tokens": true,
    });
    let information = registered(&server, &self_signed).await;
    for (member, value) in self_signed.as_object().unwrap() {
        assert_eq!(&information[member], value, "{member}");
    }
    assert!(information.get("client_secret").is_none());
    // Without authorities nobody vouches for a name in a certificate.
    let token = server.token("registrar", SECRET).await.unwrap();
    let by_name =
        json!({ "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example" });
    assert_eq!(
        register(&server, &token, &by_name).await.refusal(),
        (400, "invalid_client_metadata".to_owned())
    );
}

// RFC 7592 2.2, V-25: a secret is told once, and no other method revives it
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_method_ends_the_secret_and_makes_another() {
    let server = AdminServer::start().await;
    let first = registered(&server, &json!({ "scope": "read" })).await;
    let (id, own) = (text(&first, "client_id"), text(&first, "registration_access_token"));
    let put = async |members: Value| {
        let mut metadata = json!({ "client_id": id, "scope": "read" });
        metadata.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let reply = server.http("PUT", &path(&first), Some(own), Some(&metadata.to_string())).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    };
    let secret = text(&first, "client_secret");
    assert!(server.token(id, secret).await.is_ok());
    // What stays as it is makes no secret.
    assert!(put(json!({ "client_secret": secret })).await.get("client_secret").is_none());

    let keyed = put(private_key_jwt()).await;
    assert!(keyed.get("client_secret").is_none());
    assert!(server.token(id, secret).await.is_err());

    let back = put(json!({})).await;
    assert!(back.get("jwks").is_none() && back.get("dpop_bound_access_tokens").is_none());
    assert_eq!(back["client_secret_expires_at"], 0);
    assert!(server.token(id, secret).await.is_err());
    assert!(server.token(id, text(&back, "client_secret")).await.is_ok());

    // A secret that keys an HMAC is kept in another form, and is another.
    let jwt = put(json!({ "token_endpoint_auth_method": "client_secret_jwt" })).await;
    assert_ne!(text(&jwt, "client_secret"), text(&back, "client_secret"));
    let same =
        json!({ "token_endpoint_auth_method": "client_secret_jwt", "client_secret": jwt["client_secret"] });
    assert!(put(same).await.get("client_secret").is_none());
    let stale = json!({ "client_id": id, "client_secret": back["client_secret"] }).to_string();
    let reply = server.http("PUT", &path(&first), Some(own), Some(&stale)).await;
    assert_eq!(reply.error(), "invalid_client_metadata");
}
