//! Clients that register themselves (RFC 7591) and manage their registration (RFC 7592).

use mintage::grpc::pb::admin as pb;
use serde_json::{Value, json};

mod keys;

use crate::support::{
    admin::{AdminServer, ISSUER, SECRET, client},
    http::{Reply, post},
};

async fn register(server: &AdminServer, token: &str, metadata: &Value) -> Reply {
    server.http("POST", "/register", Some(token), Some(&metadata.to_string())).await
}

/// A registration that must succeed.
async fn registered(server: &AdminServer, metadata: &Value) -> Value {
    let token = server.token("registrar", SECRET).await.unwrap();
    let reply = register(server, &token, metadata).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    reply.json()
}

fn text<'a>(json: &'a Value, member: &str) -> &'a str {
    json[member].as_str().unwrap_or_else(|| panic!("no {member} in {json}"))
}

fn path(json: &Value) -> String {
    text(json, "registration_client_uri").strip_prefix(ISSUER).unwrap().to_owned()
}

// RFC 7591 3.2.1
#[tokio::test(flavor = "multi_thread")]
async fn a_client_registers_itself_and_gets_tokens() {
    let server = AdminServer::start().await;
    let information =
        registered(&server, &json!({ "client_name": "Self", "scope": "read", "logo_uri": "ignored" })).await;
    let id = text(&information, "client_id");
    assert_eq!(
        information,
        json!({
            "client_id": id,
            "client_id_issued_at": crate::support::server::NOW,
            "client_secret": text(&information, "client_secret"),
            "client_secret_expires_at": 0,
            "client_name": "Self",
            "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": ["client_credentials"],
            "scope": "read",
            "audiences": ["https://id.example", "https://api.example"],
            "registration_access_token": text(&information, "registration_access_token"),
            "registration_client_uri": format!("{ISSUER}/register/{id}"),
        })
    );
    let token = server.token(id, text(&information, "client_secret")).await.unwrap();
    assert!(server.is_active(&token).await);
    // It named no method, so that of RFC 7591 §2 and the other one are as good.
    let form = format!(
        "grant_type=client_credentials&client_id={id}&client_secret={}",
        text(&information, "client_secret")
    );
    let reply = post(&server, "/token", &[], &form).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let metadata = server.http("GET", "/.well-known/oauth-authorization-server", None, None).await.json();
    assert_eq!(metadata["registration_endpoint"], format!("{ISSUER}/register"));
}

// RFC 7591 3.1, CHK-34
#[tokio::test(flavor = "multi_thread")]
async fn registering_needs_an_initial_access_token() {
    let server = AdminServer::start().await;
    let reply = server.http("POST", "/register", None, Some("{}")).await;
    assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Bearer realm=\"mintage\"")));
    let reply = register(&server, "x", &json!({})).await;
    assert_eq!(reply.refusal(), (401, "invalid_token".to_owned()));
    for (caller, status) in
        [("plain", 403), ("viewer", 403), ("elsewhere", 401), ("registrar", 201), ("operator", 201)]
    {
        let token = server.token(caller, SECRET).await.unwrap();
        let reply = register(&server, &token, &json!({})).await;
        assert_eq!(reply.status, status, "{caller}");
        if status == 403 {
            assert_eq!(reply.error(), "insufficient_scope");
            assert!(reply.header("www-authenticate").unwrap().contains("error=\"insufficient_scope\""));
            assert!(reply.header("www-authenticate").unwrap().contains("scope=\"mintage:register\""));
        }
    }
}

// RFC 7591 3.2.2
#[tokio::test(flavor = "multi_thread")]
async fn the_policy_is_that_nobody_passes_on_more_than_he_has() {
    let server = AdminServer::start().await;
    let token = server.token("registrar", SECRET).await.unwrap();
    for (metadata, error) in [
        (json!({ "scope": "admin" }), "invalid_client_metadata"),
        (json!({ "scope": "read admin" }), "invalid_client_metadata"),
        // V-25: its own right to register, and more
        (json!({ "scope": "mintage:register" }), "invalid_client_metadata"),
        (json!({ "scope": "mintage:admin" }), "invalid_client_metadata"),
        (json!({ "scope": "a  b" }), "invalid_client_metadata"),
        (json!({ "grant_types": ["authorization_code"] }), "invalid_client_metadata"),
        (json!({ "grant_types": ["client_credentials", "password"] }), "invalid_client_metadata"),
        (json!({ "grant_types": [] }), "invalid_client_metadata"),
        (json!({ "response_types": ["code"] }), "invalid_client_metadata"),
        (json!({ "token_endpoint_auth_method": "none" }), "invalid_client_metadata"),
        (json!({ "token_endpoint_auth_method": "private_key_jwt" }), "invalid_client_metadata"),
        (json!({ "token_endpoint_auth_method": "spiffe_jwt" }), "invalid_client_metadata"),
        // Only what the metadata lists: this server has no client certificates.
        (
            json!({ "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example" }),
            "invalid_client_metadata",
        ),
        (json!({ "client_id": "operator" }), "invalid_client_metadata"),
        (json!({ "client_secret": "of my own choice, long" }), "invalid_client_metadata"),
        (json!({ "client_name": "a\u{7}b" }), "invalid_client_metadata"),
        (json!({ "client_name": "a".repeat(256) }), "invalid_client_metadata"),
        (json!({ "scope": 7 }), "invalid_client_metadata"),
        (json!([]), "invalid_client_metadata"),
        (json!({ "redirect_uris": ["https://app.example/cb"] }), "invalid_redirect_uri"),
        (json!({ "software_statement": "e30.e30." }), "unapproved_software_statement"),
    ] {
        let reply = register(&server, &token, &metadata).await;
        assert_eq!(reply.refusal(), (400, error.to_owned()), "{metadata}");
        assert!(!reply.json()["error_description"].as_str().unwrap().is_empty());
    }
    let reply =
        server.http("POST", "/register", Some(&token), Some("{\"scope\":\"read\",\"scope\":\"read\"}")).await;
    assert_eq!(reply.refusal(), (400, "invalid_client_metadata".to_owned()));
    let reply = server.http("POST", "/register", Some(&token), None).await;
    assert_eq!(reply.status, 415);
    let reply = server.http("POST", "/register", Some(&token), Some(&" ".repeat(70_000))).await;
    assert_eq!(reply.status, 413);
    let reply = server.http("GET", "/register", Some(&token), None).await;
    assert_eq!(reply.status, 405);

    // What is not theirs to ask for is ignored.
    let asked = json!({ "profile": "compat", "federated": [{ "issuer": "https://ci.example", "subject": "a" }],
        "spiffe_id": "spiffe://example.org/a", "introspect": "any", "enabled": false, "claims": { "role": "admin" }, "audiences": ["https://x.example"],
        "access_token_lifetime": 86400, "access_token_signing_alg": "HS256" });
    let information = registered(&server, &asked).await;
    let mut admin = server.operator().await;
    let get = pb::GetClientRequest { client_id: text(&information, "client_id").to_owned() };
    let client = admin.get_client(get).await.unwrap().client.unwrap();
    assert_eq!((client.introspect.as_str(), client.enabled, client.claims_json.len()), ("", Some(true), 0));
    assert_eq!(client.audiences, ["https://id.example", "https://api.example"]);
    assert_eq!((client.scope.as_str(), client.access_token_signing_alg.as_str()), ("", ""));
    assert_eq!(client.access_token_lifetime, None);
    assert_eq!((client.profile.as_str(), client.spiffe_id.as_str(), client.federated.len()), ("", "", 0));
}

// RFC 7592 2.1, 2.3
#[tokio::test(flavor = "multi_thread")]
async fn a_registration_is_read_and_deleted_with_its_own_token_alone() {
    let server = AdminServer::start().await;
    let first = registered(&server, &json!({ "scope": "read" })).await;
    let second = registered(&server, &json!({ "scope": "read" })).await;
    let own = text(&first, "registration_access_token");
    let operator = server.operator().await.token;
    let registrar = server.token("registrar", SECRET).await.unwrap();
    let itself = server.token(text(&first, "client_id"), text(&first, "client_secret")).await.unwrap();
    for method in ["GET", "DELETE", "PUT"] {
        let body = (method == "PUT").then(|| json!({ "client_id": first["client_id"] }).to_string());
        for token in [
            text(&second, "registration_access_token"),
            text(&first, "client_secret"),
            &operator,
            &registrar,
            &itself,
            "x",
        ] {
            let reply = server.http(method, &path(&first), Some(token), body.as_deref()).await;
            assert_eq!(reply.refusal(), (401, "invalid_token".to_owned()), "{method}");
        }
        assert_eq!(server.http(method, &path(&first), None, body.as_deref()).await.status, 401);
        // What is no text is no client's identifier either.
        for path in ["/register/nobody", "/register/%FF"] {
            let reply = server.http(method, path, Some(own), body.as_deref()).await;
            assert_eq!(reply.refusal(), (401, "invalid_token".to_owned()), "{method} {path}");
            assert_eq!(reply.header("cache-control"), Some("no-store"), "{method} {path}");
        }
        // Clients that an operator registered have no such token.
        assert_eq!(server.http(method, "/register/plain", Some(own), body.as_deref()).await.status, 401);
    }
    let reply = server.http("GET", &path(&first), Some(own), None).await;
    assert_eq!(reply.status, 200);
    let mut expected = first.clone();
    expected.as_object_mut().unwrap().remove("client_secret");
    expected.as_object_mut().unwrap().remove("client_secret_expires_at");
    assert_eq!(reply.json(), expected);

    let reply = server.http("DELETE", &path(&first), Some(own), None).await;
    assert_eq!((reply.status, reply.body.len()), (204, 0));
    assert!(!server.is_active(&itself).await);
    assert!(server.token(text(&first, "client_id"), text(&first, "client_secret")).await.is_err());
    assert_eq!(server.http("GET", &path(&first), Some(own), None).await.status, 401);
}

// RFC 7592 2.2
#[tokio::test(flavor = "multi_thread")]
async fn an_update_replaces_metadata_and_never_widens_the_scope() {
    let server = AdminServer::start().await;
    let first = registered(&server, &json!({ "scope": "read write", "client_name": "Old" })).await;
    let own = text(&first, "registration_access_token");
    let put = async |metadata: Value| {
        server.http("PUT", &path(&first), Some(own), Some(&metadata.to_string())).await
    };
    let id = text(&first, "client_id");
    let reply = put(json!({ "client_id": id, "client_secret": first["client_secret"], "scope": "read",
        "token_endpoint_auth_method": "client_secret_post" }))
    .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let json = reply.json();
    assert_eq!(
        (text(&json, "scope"), text(&json, "token_endpoint_auth_method")),
        ("read", "client_secret_post")
    );
    assert!(json.get("client_name").is_none() && json.get("client_secret").is_none());
    for metadata in [
        json!({ "scope": "read" }),
        json!({ "client_id": "operator", "scope": "read" }),
        json!({ "client_id": id, "scope": "read write" }),
        json!({ "client_id": id, "scope": "mintage:admin" }),
        json!({ "client_id": id, "client_secret": "mint_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG" }),
        json!({ "client_id": id, "client_secret": "chosen by somebody" }),
        json!({ "client_id": id, "grant_types": ["password"] }),
    ] {
        let reply = put(metadata.clone()).await;
        assert_eq!(reply.refusal(), (400, "invalid_client_metadata".to_owned()), "{metadata}");
    }
    let reply = put(json!({ "client_id": id, "redirect_uris": ["https://a.example"] })).await;
    assert_eq!(reply.error(), "invalid_redirect_uri");
}

// V-25
#[tokio::test(flavor = "multi_thread")]
async fn nothing_self_service_enables_a_disabled_client() {
    let server = AdminServer::start().await;
    let first = registered(&server, &json!({ "scope": "read" })).await;
    let (id, own) = (text(&first, "client_id"), text(&first, "registration_access_token"));
    let mut admin = server.operator().await;
    let disabled = pb::Client { enabled: Some(false), ..client(id, "") };
    admin
        .update_client(pb::UpdateClientRequest { client: Some(disabled), ..Default::default() })
        .await
        .unwrap();
    let body = json!({ "client_id": id, "enabled": true }).to_string();
    for method in ["GET", "PUT", "DELETE"] {
        let reply = server.http(method, &path(&first), Some(own), (method == "PUT").then_some(&body)).await;
        assert_eq!(reply.refusal(), (401, "invalid_token".to_owned()), "{method}");
    }
    let got = admin.get_client(pb::GetClientRequest { client_id: id.to_owned() }).await.unwrap();
    assert_eq!(got.client.unwrap().enabled, Some(false));
    assert!(server.token(id, text(&first, "client_secret")).await.is_err());
}

// V-73
#[tokio::test(flavor = "multi_thread")]
async fn the_store_holds_neither_the_secret_nor_the_management_token() {
    let server = AdminServer::start().await;
    let first = registered(&server, &json!({})).await;
    let id = mintage::oauth::client::ClientId::parse(text(&first, "client_id")).unwrap();
    let record = server.core.store.stores.clients.get(&id).await.unwrap().unwrap();
    for member in ["client_secret", "registration_access_token"] {
        assert!(!record.document.contains(text(&first, member)));
    }
}
