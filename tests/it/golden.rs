//! What clients read, byte for byte: both metadata documents and every error of both transports.
//!
//! `MINTAGE_BLESS=1 cargo test --test it golden` rewrites the files of golden/; the difference is then reviewed.

use std::{collections::BTreeMap, fmt::Write, path::PathBuf};

use mintage::grpc::pb::token as pb;
use serde_json::{Value, json};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::support::{
    TestServer, Wire,
    auth::{basic, secret_of},
    http::{FORM, Reply, get, post, send, token},
    server::CLIENTS,
};

/// Compares `actual` with a file, or writes it.
fn check(name: &str, actual: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(name);
    if std::env::var_os("MINTAGE_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, actual).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(actual, expected, "{name} differs; look at it, then MINTAGE_BLESS=1");
}

/// Status, headers and body. What differs from run to run is left out, after its form was checked.
fn render(reply: &Reply) -> String {
    let mut text = format!("{}\n", reply.status);
    let id = reply.header("x-request-id").expect("x-request-id");
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert!(reply.header("date").is_some());
    let mut headers: Vec<_> =
        reply.headers.iter().filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str())).collect();
    headers.sort();
    for (name, value) in headers {
        writeln!(text, "{name}: {value}").unwrap();
    }
    text + "\n" + reply.text() + "\n"
}

// CHK-98, CHK-99, CHK-100
#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_documents() {
    let server = TestServer::start().await;
    let openid = get(&server, "/.well-known/openid-configuration").await;
    check("openid-configuration.json", &format!("{}\n", openid.text()));
    let oauth = get(&server, "/.well-known/oauth-authorization-server").await;
    check("oauth-authorization-server.json", &format!("{}\n", oauth.text()));
    check("well_known_headers.txt", &{
        let head = |reply: &Reply| render(&Reply { body: Vec::new(), ..reply.clone() });
        format!("### openid-configuration\n{}### oauth-authorization-server\n{}", head(&openid), head(&oauth))
    });
}

/// One request that is refused.
struct Case {
    name: &'static str,
    method: &'static str,
    target: &'static str,
    headers: Vec<(&'static str, String)>,
    body: String,
}

fn case(
    name: &'static str,
    method: &'static str,
    target: &'static str,
    headers: Vec<(&'static str, String)>,
    body: impl Into<String>,
) -> Case {
    Case { name, method, target, headers, body: body.into() }
}

fn form() -> (&'static str, String) {
    (FORM.0, FORM.1.to_owned())
}

fn by(client_id: &str) -> (&'static str, String) {
    ("authorization", basic(client_id, &secret_of(client_id)))
}

async fn run(server: &TestServer, cases: Vec<Case>) -> String {
    let mut text = String::new();
    for case in cases {
        let headers: Vec<(&str, &str)> =
            case.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let reply = send(server, case.method, case.target, &headers, case.body.as_bytes()).await;
        assert!(reply.status >= 400, "{} is not refused: {}", case.name, reply.text());
        writeln!(text, "### {}\n{}", case.name, render(&reply)).unwrap();
    }
    text
}

/// The ways to fail that /token, /introspect and /revoke share.
fn client_errors(target: &'static str, ask: &str) -> Vec<Case> {
    let post = |name, headers, body: String| case(name, "POST", target, headers, body);
    let wrong = || ("authorization", basic("rs256", "wrong"));
    let long = "a".repeat(64 * 1024);
    vec![
        post("no client authentication", vec![form()], ask.to_owned()),
        post("wrong secret, Basic", vec![form(), wrong()], ask.to_owned()),
        post("wrong secret, parameters", vec![form()], format!("{ask}&client_id=rs256&client_secret=wrong")),
        post(
            "unknown client, Basic",
            vec![form(), ("authorization", basic("nobody", "wrong"))],
            ask.to_owned(),
        ),
        post("disabled client, Basic", vec![form(), by("disabled")], ask.to_owned()),
        post("Basic that cannot be read", vec![form(), ("authorization", "Basic ?".into())], ask.to_owned()),
        post("another scheme", vec![form(), ("authorization", "Bearer x".into())], ask.to_owned()),
        post("two authorization headers", vec![form(), by("rs256"), by("es256")], ask.to_owned()),
        post("Basic and a secret parameter", vec![form(), by("rs256")], format!("{ask}&client_secret=x")),
        post("Basic and another client_id", vec![form(), by("rs256")], format!("{ask}&client_id=es256")),
        post("secret without client_id", vec![form()], format!("{ask}&client_secret=x")),
        post("client assertion", vec![form()], format!("{ask}&client_assertion=x")),
        post("repeated parameter", vec![form(), by("rs256")], format!("{ask}&x=1&x=2")),
        post("broken percent", vec![form(), by("rs256")], format!("{ask}&x=%zz")),
        post("too many parameters", vec![form(), by("rs256")], {
            (0..129).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&")
        }),
        post("body too large", vec![form(), by("rs256")], format!("{ask}&x={long}")),
        post("body is JSON", vec![("content-type", "application/json".into()), by("rs256")], "{}".into()),
        case("credentials in the query", "POST", query(target), vec![form()], ask),
        case("GET", "GET", target, vec![], ""),
    ]
}

fn query(target: &str) -> &'static str {
    match target {
        "/revoke" => "/revoke?client_id=rs256&client_secret=secret-of-rs256",
        "/token" => "/token?client_id=rs256&client_secret=secret-of-rs256",
        _ => "/introspect?client_id=rs256&client_secret=secret-of-rs256",
    }
}

// CHK-17, CHK-18, CHK-27, CHK-31
#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_token_endpoint() {
    let server = TestServer::start().await;
    let grant = "grant_type=client_credentials";
    let mut cases = client_errors("/token", grant);
    let as_es256 = |name, body: &str| case(name, "POST", "/token", vec![form(), by("es256")], body);
    cases.extend([
        as_es256("grant_type missing", "scope=read"),
        as_es256("grant_type unknown", "grant_type=password"),
        case("grant not registered", "POST", "/token", vec![form(), by("resource-server")], grant),
        as_es256("scope malformed", "grant_type=client_credentials&scope=a%22b"),
        as_es256("scope not registered", "grant_type=client_credentials&scope=admin"),
        as_es256("resource malformed", "grant_type=client_credentials&resource=x"),
        as_es256("resource not registered", "grant_type=client_credentials&resource=https://evil.example"),
    ]);
    check("token_errors.txt", &run(&server, cases).await);
}

// CHK-39, CHK-40
#[tokio::test(flavor = "multi_thread")]
async fn errors_of_introspection() {
    let server = TestServer::start().await;
    let mut cases = client_errors("/introspect", "token=x");
    cases.push(case("token missing", "POST", "/introspect", vec![form(), by("rs256")], "token="));
    check("introspect_errors.txt", &run(&server, cases).await);
}

// CHK-55
#[tokio::test(flavor = "multi_thread")]
async fn errors_of_revocation() {
    let server = TestServer::start().await;
    let mut cases = client_errors("/revoke", "token=x");
    cases.push(case("token missing", "POST", "/revoke", vec![form(), by("rs256")], "token="));
    let ask = format!("token={}", token(&server, "es256").await);
    cases.push(case("token of another client", "POST", "/revoke", vec![form(), by("rs256")], ask));
    check("revoke_errors.txt", &run(&server, cases).await);
}

// CHK-32, CHK-33, CHK-35, CHK-36
#[tokio::test(flavor = "multi_thread")]
async fn errors_of_userinfo() {
    let server = TestServer::start().await;
    let bearer = || ("authorization", "Bearer x".to_owned());
    let get = |name, headers| case(name, "GET", "/userinfo", headers, "");
    let cases = vec![
        get("no token", vec![]),
        get("another scheme", vec![by("rs256")]),
        get("garbage", vec![bearer()]),
        get("two authorization headers", vec![bearer(), bearer()]),
        case("token in the query", "GET", "/userinfo?access_token=x", vec![], ""),
        case("token in header and body", "POST", "/userinfo", vec![form(), bearer()], "access_token=x"),
        case("garbage in the body", "POST", "/userinfo", vec![form()], "access_token=x"),
        case("body too large", "POST", "/userinfo", vec![form()], "x".repeat(64 * 1024 + 1)),
        case("DELETE", "DELETE", "/userinfo", vec![], ""),
    ];
    check("userinfo_errors.txt", &run(&server, cases).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_beside_the_oauth_endpoints() {
    let server = TestServer::start().await;
    server.readiness.set(false);
    let grpc = ("content-type", "application/grpc".to_owned());
    let path = "/mintage.token.v1.TokenService/Issue";
    let cases = vec![
        case("unknown path", "GET", "/nothing", vec![], ""),
        case("unknown well-known document", "GET", "/.well-known/webfinger", vec![], ""),
        case("authorize", "GET", "/authorize?response_type=code&client_id=x", vec![], ""),
        case("wrong method for a document", "POST", "/.well-known/jwks.json", vec![], ""),
        case("wrong method for health", "POST", "/healthz", vec![], ""),
        case("not ready", "GET", "/readyz", vec![], ""),
        case("gRPC over HTTP/1.1", "POST", path, vec![grpc], ""),
        case("gRPC path with JSON", "POST", path, vec![("content-type", "application/json".into())], "{}"),
    ];
    check("other_errors.txt", &run(&server, cases).await);
}

// CHK-28, CHK-145
#[tokio::test(flavor = "multi_thread")]
async fn too_many_failures() {
    let server =
        TestServer::with(&CLIENTS.replace("failed_auth_rate = \"off\"", "failed_auth_rate = \"2/10s\""))
            .await;
    let wrong = basic("rs256", "wrong");
    for _ in 0..2 {
        post(&server, "/token", &[("authorization", &wrong)], "grant_type=client_credentials").await;
    }
    let again = |target, body: &str| case(target, "POST", target, vec![form(), by("rs256")], body);
    let cases = vec![again("/token", "grant_type=client_credentials"), again("/introspect", "token=x")];
    check("throttled_errors.txt", &run(&server, cases).await);

    let [_, wire] = Wire::both(&server).await;
    let request = authorized(pb::IssueRequest::default(), Some(by("rs256").1));
    let status = wire.grpc().issue(request).await.unwrap_err();
    check("grpc_throttled_errors.json", &(serde_json::to_string_pretty(&describe(&status)).unwrap() + "\n"));
}

/// All that a status tells.
fn describe(status: &Status) -> Value {
    let details = status.get_error_details();
    let info = details.error_info().expect("google.rpc.ErrorInfo");
    let oauth_error = status.metadata().get("oauth-error").map(|value| value.to_str().unwrap());
    json!({
        "code": format!("{:?}", status.code()),
        "message": status.message(),
        "oauth-error": oauth_error,
        "error_info": {
            "reason": info.reason,
            "domain": info.domain,
            "metadata": info.metadata.iter().collect::<BTreeMap<_, _>>(),
        },
        "retry_delay_ms": details.retry_info().and_then(|retry| retry.retry_delay).map(|delay| delay.as_millis() as u64),
    })
}

fn authorized<T>(message: T, authorization: Option<String>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(value) = authorization {
        request.metadata_mut().insert("authorization", value.parse().unwrap());
    }
    request
}

// CHK-144
#[tokio::test(flavor = "multi_thread")]
async fn errors_over_grpc() {
    let server = TestServer::start().await;
    let [_, wire] = Wire::both(&server).await;
    let mut grpc = wire.grpc();
    let mut all = BTreeMap::new();
    let secret = |client_id: &str, secret: &str| {
        let secret = pb::ClientSecret { client_id: client_id.to_owned(), client_secret: secret.to_owned() };
        pb::issue_request::ClientAuthentication::ClientSecret(secret)
    };
    let es256 = || Some(by("es256").1);
    let empty = pb::IssueRequest::default;
    let issue: Vec<(&str, pb::IssueRequest, Option<String>)> = vec![
        ("no client authentication", empty(), None),
        ("wrong secret, metadata", empty(), Some(basic("rs256", "wrong"))),
        (
            "wrong secret, message",
            pb::IssueRequest { client_authentication: Some(secret("rs256", "wrong")), ..empty() },
            None,
        ),
        ("unknown client", empty(), Some(basic("nobody", "wrong"))),
        (
            "metadata and message",
            pb::IssueRequest { client_authentication: Some(secret("es256", "x")), ..empty() },
            es256(),
        ),
        ("another client_id", pb::IssueRequest { client_id: "rs256".into(), ..empty() }, es256()),
        ("grant not registered", empty(), Some(by("resource-server").1)),
        ("scope malformed", pb::IssueRequest { scopes: vec!["a b".into()], ..empty() }, es256()),
        ("scope not registered", pb::IssueRequest { scopes: vec!["admin".into()], ..empty() }, es256()),
        ("resource malformed", pb::IssueRequest { resources: vec!["x".into()], ..empty() }, es256()),
        ("audience not registered", pb::IssueRequest { audiences: vec!["evil".into()], ..empty() }, es256()),
        (
            "negative lifetime",
            pb::IssueRequest { lifetime: Some(prost_types::Duration { seconds: -1, nanos: 0 }), ..empty() },
            es256(),
        ),
    ];
    for (name, message, authorization) in issue {
        let status = grpc.issue(authorized(message, authorization)).await.unwrap_err();
        all.insert(format!("Issue: {name}"), describe(&status));
    }

    let status = grpc.introspect(authorized(pb::IntrospectRequest::default(), None)).await.unwrap_err();
    all.insert("Introspect: no client authentication".into(), describe(&status));
    let status = grpc.introspect(authorized(pb::IntrospectRequest::default(), es256())).await.unwrap_err();
    all.insert("Introspect: token missing".into(), describe(&status));

    let batch = |requests| pb::BatchIntrospectRequest { requests, ..Default::default() };
    let item = || pb::IntrospectRequest { token: "x".into(), ..Default::default() };
    let own_secret = pb::introspect_request::ClientAuthentication::ClientSecret(pb::ClientSecret::default());
    let with_secret = pb::IntrospectRequest { client_authentication: Some(own_secret), ..item() };
    for (name, requests) in
        [("empty", vec![]), ("101 items", vec![item(); 101]), ("item with credentials", vec![with_secret])]
    {
        let status = grpc.batch_introspect(authorized(batch(requests), es256())).await.unwrap_err();
        all.insert(format!("BatchIntrospect: {name}"), describe(&status));
    }

    let bearer = Some("Bearer x".to_owned());
    let in_message = || pb::UserInfoRequest { access_token: "x".into() };
    for (name, message, authorization) in [
        ("no token", pb::UserInfoRequest::default(), None),
        ("garbage", pb::UserInfoRequest::default(), bearer.clone()),
        ("two tokens", in_message(), bearer),
    ] {
        let status = grpc.user_info(authorized(message, authorization)).await.unwrap_err();
        all.insert(format!("UserInfo: {name}"), describe(&status));
    }
    assert!(all.values().all(|error| error["code"] != format!("{:?}", Code::Unknown)));
    check("grpc_errors.json", &(serde_json::to_string_pretty(&all).unwrap() + "\n"));
}
