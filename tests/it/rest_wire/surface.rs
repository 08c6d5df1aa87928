//! What the public port answers to whom: methods, paths, CORS, health, and headers that change nothing.

use crate::support::{
    TestServer, Wire,
    auth::{basic, secret_of},
    forge::part,
    http::{FORM, get, post_as, send, token},
    server::{CLIENTS, ISSUER},
};

const GRANT: &str = "grant_type=client_credentials";

// CHK-1, CHK-38
#[tokio::test(flavor = "multi_thread")]
async fn the_endpoints_for_clients_are_posts() {
    let server = TestServer::start().await;
    let authorization = basic("rs256", &secret_of("rs256"));
    for target in ["/token", "/introspect", "/revoke"] {
        for method in ["GET", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "BREW"] {
            let headers = [FORM, ("authorization", authorization.as_str())];
            let reply = send(&server, method, target, &headers, GRANT.as_bytes()).await;
            assert_eq!(reply.status, 405, "{method} {target}");
            assert_eq!(reply.header("allow"), Some("POST"), "{method} {target}");
            assert_eq!(reply.header("cache-control"), Some("no-store"));
            if method == "HEAD" {
                assert!(reply.body.is_empty());
            } else {
                assert_eq!(reply.error(), "invalid_request");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_answers_head_as_get_without_its_body() {
    let server = TestServer::start().await;
    for path in ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/healthz", "/readyz"] {
        let (get, head) = (get(&server, path).await, send(&server, "HEAD", path, &[], b"").await);
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        for name in ["content-type", "content-length", "etag", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
        for method in ["POST", "PUT", "DELETE"] {
            let reply = send(&server, method, path, &[], b"").await;
            assert_eq!((reply.status, reply.header("allow")), (405, Some("GET,HEAD")), "{method} {path}");
        }
    }
}

// V-64, V-62
#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_is_served() {
    let server = TestServer::start().await;
    for path in [
        "/",
        "/metrics",
        "/Token",
        "/token/",
        "//token",
        "/token;x",
        "/%74oken/x",
        "/introspect/",
        "/.well-known/",
        "/.well-known/other",
        "/.well-known/openid-configuration/",
        "/.well-known/openid-configuration/tenant",
        "/.well-known/oauth-authorization-server/tenant",
        "/.well-known/oauth-protected-resource",
        "/admin",
        "/mintage.admin.v1.ClientService/ListClients",
        "/debug/pprof",
        "/revoke/",
        "/register",
        "/../etc/passwd",
    ] {
        for method in ["GET", "POST"] {
            let reply = send(&server, method, path, &[FORM], b"").await;
            assert_eq!(reply.refusal(), (404, "not_found".to_owned()), "{method} {path}");
            assert_eq!(reply.header("content-type"), Some("application/json"), "{path}");
            assert_eq!(reply.header("grpc-status"), None, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn authorize_explains_itself() {
    let server = TestServer::start().await;
    for (method, target) in [
        ("GET", "/authorize"),
        ("POST", "/authorize"),
        ("GET", "/authorize?redirect_uri=https://evil.example"),
    ] {
        let reply = send(&server, method, target, &[], b"").await;
        assert_eq!(reply.status, 400);
        assert_eq!(reply.header("location"), None, "no redirect");
        assert!(reply.text().contains("machines"), "{}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_readiness_are_different_questions() {
    let server = TestServer::start().await;
    assert_eq!(get(&server, "/readyz").await.text(), r#"{"status":"ready"}"#);
    server.readiness.set(false);
    let reply = get(&server, "/readyz").await;
    assert_eq!((reply.status, reply.text()), (503, r#"{"status":"not ready"}"#));
    let reply = get(&server, "/healthz").await;
    assert_eq!((reply.status, reply.text()), (200, r#"{"status":"ok"}"#));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(post_as(&server, "rs256", "/token", GRANT).await.status, 200, "requests under way are served");
}

// CHK-131, V-41
#[tokio::test(flavor = "multi_thread")]
async fn only_public_documents_are_open_to_web_pages() {
    let server = TestServer::start().await;
    let token = token(&server, "rs256").await;
    let (authorization, bearer) = (basic("rs256", &secret_of("rs256")), format!("Bearer {token}"));
    let origin = ("origin", "https://evil.example");
    let ask = format!("token={token}");
    for (method, target, authorization, body) in [
        ("POST", "/token", authorization.as_str(), GRANT),
        ("POST", "/introspect", &authorization, &ask),
        ("POST", "/revoke", &authorization, "token=x"),
        ("GET", "/userinfo", &bearer, ""),
        ("POST", "/userinfo", &bearer, ""),
        ("POST", "/token", "Basic ?", GRANT),
        ("GET", "/token", "", ""),
        ("GET", "/authorize", "", ""),
        ("GET", "/nothing", "", ""),
        ("GET", "/healthz", "", ""),
    ] {
        let headers = [FORM, origin, ("authorization", authorization)];
        let reply = send(&server, method, target, &headers, body.as_bytes()).await;
        assert!(!reply.has_header_like("access-control-"), "{method} {target}: {:?}", reply.headers);
    }
    let preflight = [
        origin,
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    for target in ["/token", "/introspect", "/revoke", "/userinfo", "/authorize"] {
        let reply = send(&server, "OPTIONS", target, &preflight, b"").await;
        assert!(!reply.has_header_like("access-control-"), "{target}: {:?}", reply.headers);
        assert!(reply.status >= 400, "{target}");
    }
    for target in [
        "/.well-known/jwks.json",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    ] {
        let reply = send(&server, "GET", target, &[origin], b"").await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some("*")), "{target}");
        assert_eq!(reply.header("access-control-allow-credentials"), None, "{target}");
        let preflight = [origin, ("access-control-request-method", "GET")];
        let reply = send(&server, "OPTIONS", target, &preflight, b"").await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some("*")), "{target}");
        assert_eq!(reply.header("access-control-allow-methods"), Some("GET"), "{target}");
        assert_eq!(reply.header("access-control-allow-credentials"), None, "{target}");
    }
}

// V-32, CHK-130
#[tokio::test(flavor = "multi_thread")]
async fn the_host_a_caller_names_changes_nothing() {
    let server = TestServer::start().await;
    let plain = get(&server, "/.well-known/openid-configuration").await;
    let evil: &[(&str, &str)] = &[
        ("host", "evil.example"),
        ("forwarded", "for=1.2.3.4;host=evil.example;proto=http"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-prefix", "/evil"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-original-url", "/evil"),
    ];
    for target in
        ["/.well-known/openid-configuration", "http://evil.example/.well-known/openid-configuration"]
    {
        let reply = send(&server, "GET", target, evil, b"").await;
        assert_eq!(reply.body, plain.body, "{target}");
        assert_eq!(reply.header("etag"), plain.header("etag"));
    }
    let authorization = basic("rs256", &secret_of("rs256"));
    let headers = [evil, &[FORM, ("authorization", authorization.as_str())]].concat();
    let reply = send(&server, "POST", "/token", &headers, GRANT.as_bytes()).await;
    let token = reply.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(part(&token, 1)["iss"], ISSUER);
    assert_eq!(part(&token, 1)["aud"], ISSUER);
    let ask = format!("token={token}");
    let reply = send(&server, "POST", "/introspect", &headers, ask.as_bytes()).await;
    assert_eq!(reply.json()["active"], true);
}

// V-32, CHK-130: a forwarded address does not escape the limit of failed logins
#[tokio::test(flavor = "multi_thread")]
async fn the_address_a_caller_names_changes_nothing() {
    let server = TestServer::with(&CLIENTS.replace("\"off\"", "\"3/10s\"")).await;
    let wrong = basic("rs256", "wrong");
    let mut statuses = Vec::new();
    for n in 0..5 {
        let address = format!("203.0.113.{n}");
        let forwarded = format!("for={address}");
        let headers = [
            FORM,
            ("authorization", wrong.as_str()),
            ("x-forwarded-for", &address),
            ("forwarded", &forwarded),
            ("x-real-ip", &address),
        ];
        statuses.push(send(&server, "POST", "/token", &headers, GRANT.as_bytes()).await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_returned_when_it_is_one() {
    let server = TestServer::start().await;
    let id_of = async |target: &str, id: &str| {
        let reply = send(&server, "GET", target, &[("x-request-id", id)], b"").await;
        reply.header("x-request-id").unwrap().to_owned()
    };
    let long = "a".repeat(128);
    for target in ["/healthz", "/token", "/nothing", "/userinfo"] {
        for id in ["abc-DEF_1.2", &long] {
            assert_eq!(id_of(target, id).await, id, "{target}");
        }
        for id in ["", "a b", "<x>", "a\"b", &format!("{long}a")] {
            let made = id_of(target, id).await;
            assert!(
                made.len() == 32 && made.bytes().all(|b| b.is_ascii_hexdigit()),
                "{target} {id:?} {made}"
            );
        }
    }
    let two = [("x-request-id", "one"), ("x-request-id", "two")];
    let reply = send(&server, "GET", "/healthz", &two, b"").await;
    assert!(reply.header("x-request-id").is_some(), "one id in any case");
    let [_, wire] = Wire::both(&server).await;
    assert!(!wire.token("rs256").await.is_empty());
}
