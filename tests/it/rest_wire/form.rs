//! The form and the answers of the token and introspection endpoints (RFC 6749 §3.2, §5; RFC 7662 §2).

use proptest::{
    prelude::{Strategy, prop},
    strategy::ValueTree,
    test_runner::TestRunner,
};

use crate::support::{
    TestServer,
    auth::{basic, secret_of},
    http::{FORM, get, post, post_as, send},
};

const GRANT: &str = "grant_type=client_credentials";

// CHK-10, CHK-9
#[tokio::test(flavor = "multi_thread")]
async fn a_token_response_is_json_that_nobody_keeps() {
    let server = TestServer::start().await;
    let reply = post_as(&server, "rs256", "/token", GRANT).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("pragma"), Some("no-cache"));
    assert_eq!(reply.header("www-authenticate"), None);
    let members: Vec<String> = reply.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["access_token", "expires_in", "scope", "token_type"]);

    let token = reply.json()["access_token"].as_str().unwrap().to_owned();
    for form in [format!("token={token}"), "token=x".to_owned()] {
        let reply = post_as(&server, "rs256", "/introspect", &form).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("pragma"), Some("no-cache"));
    }
    assert_eq!(post_as(&server, "rs256", "/introspect", "token=x").await.text(), r#"{"active":false}"#);
}

// CHK-2, V-39
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_parameter_is_refused() {
    let server = TestServer::start().await;
    let credentials = "client_id=es256&client_secret=secret-of-es256";
    let token = crate::support::http::token(&server, "es256").await;
    for (target, form) in [
        ("/token", format!("{GRANT}&{GRANT}&{credentials}")),
        ("/token", format!("{GRANT}&grant_type=&{credentials}")),
        ("/token", format!("{GRANT}&scope=read&scope=write&{credentials}")),
        ("/token", format!("{GRANT}&scope=read&sc%6Fpe=read&{credentials}")),
        ("/token", format!("{GRANT}&{credentials}&client_id=es256")),
        ("/token", format!("{GRANT}&{credentials}&client_secret=secret-of-es256")),
        ("/token", format!("{GRANT}&{credentials}&client_assertion=a&client_assertion=a")),
        ("/token", format!("{GRANT}&{credentials}&unknown=1&unknown=1")),
        ("/introspect", format!("token={token}&token={token}&{credentials}")),
        ("/introspect", format!("token={token}&token_type_hint=a&token_type_hint=a&{credentials}")),
    ] {
        let reply = post(&server, target, &[], &form).await;
        assert_eq!(reply.refusal(), (400, "invalid_request".to_owned()), "{form}");
    }
    let repeatable =
        "resource=https://api.example&resource=https://other.example&audience=billing&audience=billing";
    let reply = post(&server, "/token", &[], &format!("{GRANT}&{credentials}&{repeatable}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

// CHK-3, CHK-4, CHK-5, CHK-6, CHK-40, V-36, V-37
#[tokio::test(flavor = "multi_thread")]
async fn empty_parameters_are_absent_and_unknown_ones_ignored() {
    let server = TestServer::start().await;
    let as_es256 = async |form: &str| post_as(&server, "es256", "/token", form).await;
    for form in [
        format!("{GRANT}&scope="),
        format!("{GRANT}&scope=&resource=&audience=&client_secret=&client_assertion=&client_id="),
        format!("{GRANT}&subject_token=&nonce=x&foo[bar]=1&=&&"),
        format!("&&{GRANT}&prompt=none&username=u&password=p"),
        format!("{GRANT}&client_id=es256"),
    ] {
        let reply = as_es256(&form).await;
        assert_eq!(reply.status, 200, "{form}: {}", reply.text());
        assert_eq!(reply.json()["scope"], "read write", "{form}");
    }
    for form in ["", "grant_type=", "grant_type", "scope=read"] {
        assert_eq!(as_es256(form).await.refusal(), (400, "invalid_request".to_owned()), "{form}");
    }
    // An exchange or an assertion grant is never taken for client credentials.
    for grant in [
        "password",
        "authorization_code",
        "refresh_token",
        "CLIENT_CREDENTIALS",
        "client_credentials+",
        "client_credentials%00",
        "urn:ietf:params:oauth:grant-type:token-exchange&subject_token=&subject_token_type=x",
        "urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=",
    ] {
        let reply = as_es256(&format!("grant_type={grant}")).await;
        assert_eq!(reply.refusal(), (400, "unsupported_grant_type".to_owned()), "{grant}");
    }
    for form in ["", "token=", "token", "token_type_hint=access_token"] {
        let reply = post_as(&server, "es256", "/introspect", form).await;
        assert_eq!(reply.refusal(), (400, "invalid_request".to_owned()), "{form}");
    }
}

// CHK-17, CHK-18, CHK-31, CHK-39, V-23, V-28
#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_invalid_client_depends_on_how_it_was_presented() {
    let server = TestServer::start().await;
    let basic = |secret| basic("rs256", secret);
    let (wrong, empty) = (basic("wrong"), basic(""));
    let token = crate::support::http::token(&server, "rs256").await;
    let bearer = format!("Bearer {token}");
    for (authorization, credentials) in [
        (Some(&wrong), ""),
        (Some(&empty), ""),
        (Some(&bearer), ""),
        (None, "&client_id=rs256&client_secret=wrong"),
        (None, "&client_id=nobody&client_secret=wrong"),
        (None, "&client_id=disabled&client_secret=secret-of-disabled"),
        (None, "&client_id=public"),
        (None, "&client_id=rs256&client_secret="),
        (None, ""),
    ] {
        let headers: Vec<_> = authorization.iter().map(|value| ("authorization", value.as_str())).collect();
        let reply = post(&server, "/token", &headers, &format!("{GRANT}{credentials}")).await;
        let status = if authorization.is_some() { 401 } else { 400 };
        assert_eq!(reply.refusal(), (status, "invalid_client".to_owned()), "{credentials}");
        let challenge = "Basic realm=\"mintage\", charset=\"UTF-8\"";
        assert_eq!(reply.header("www-authenticate"), authorization.map(|_| challenge), "{credentials}");

        // RFC 7662 §2.3: "the authorization server responds with an HTTP 401 code", however it was presented.
        let asked = post(&server, "/introspect", &headers, &format!("token={token}{credentials}")).await;
        assert_eq!(asked.refusal(), (401, "invalid_client".to_owned()), "{credentials}");
        assert_eq!(asked.header("www-authenticate"), Some(challenge));
        assert_eq!(asked.body, reply.body);
    }
}

// CHK-21
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_from_the_query() {
    let server = TestServer::start().await;
    let authorization = basic("rs256", &secret_of("rs256"));
    let headers = [("authorization", authorization.as_str())];
    for query in [
        "client_id=rs256&client_secret=secret-of-rs256",
        "client_secret=x",
        "client%5Fsecret=x",
        "grant_type=client_credentials",
        "client_assertion=x",
        "access_token=x",
    ] {
        let reply = post(&server, &format!("/token?{query}"), &headers, GRANT).await;
        assert_eq!(reply.refusal(), (400, "invalid_request".to_owned()), "{query}");
    }
    let reply = post(&server, "/introspect?token=x", &headers, "token=x").await;
    assert_eq!(reply.refusal(), (400, "invalid_request".to_owned()));
    let reply = post(&server, "/token?scope=read&utm=1", &headers, GRANT).await;
    assert_eq!(reply.json()["scope"], "read write admin", "a scope in the query counts for nothing");
}

// V-40
#[tokio::test(flavor = "multi_thread")]
async fn only_forms_are_read_and_nothing_else_costs_a_login_attempt() {
    let toml = crate::support::server::CLIENTS.replace("\"off\"", "\"1/10s\"");
    let server = TestServer::with(&toml).await;
    let wrong = basic("rs256", "wrong");
    let json = r#"{"grant_type":"client_credentials","client_id":"rs256","client_secret":"wrong"}"#;
    let multipart =
        "--x\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\nclient_credentials\r\n--x--\r\n";
    let media_types: [(&[(&str, &str)], &str); 9] = [
        (&[("content-type", "application/json")], json),
        (&[("content-type", "multipart/form-data; boundary=x")], multipart),
        (&[("content-type", "text/plain")], GRANT),
        (&[], GRANT),
        (&[("content-type", "application/x-www-form-urlencoded; charset=utf-16")], GRANT),
        (&[("content-type", "application/x-www-form-urlencoded, application/json")], GRANT),
        (&[FORM, ("content-encoding", "gzip")], GRANT),
        (&[FORM, ("content-encoding", "deflate")], GRANT),
        (&[FORM, ("content-type", "application/json")], GRANT),
    ];
    for target in ["/token", "/introspect"] {
        for (headers, body) in media_types {
            let headers = [headers, &[("authorization", wrong.as_str())]].concat();
            let reply = send(&server, "POST", target, &headers, body.as_bytes()).await;
            assert_eq!(reply.refusal(), (415, "invalid_request".to_owned()), "{headers:?}");
        }
    }
    let reply = post_as(&server, "rs256", "/token", GRANT).await;
    assert_eq!(reply.status, 200, "eighteen refusals were no failed logins: {}", reply.text());
    let spelled = [("content-type", "Application/X-WWW-Form-URLencoded ; Charset=\"UTF-8\"")];
    let authorization = basic("rs256", &secret_of("rs256"));
    let headers =
        [&spelled[..], &[("authorization", &authorization), ("content-encoding", "identity")]].concat();
    assert_eq!(send(&server, "POST", "/token", &headers, GRANT.as_bytes()).await.status, 200);
}

// CHK-27, V-42
#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_json_in_the_allowed_characters() {
    let server = TestServer::start().await;
    let http = reqwest::Client::new();
    let names = ["grant_type", "scope", "client_id", "client_secret", "resource", "audience", "token", "x"];
    let value = "(client_credentials|rs256|read|\\PC{0,12}|[\\x00-\\x7f]{0,12}|\"\\\\|\r\nx: y|\u{1b}\\[31m)";
    let pairs = prop::collection::vec((0..names.len(), value, prop::bool::ANY), 0..6);
    let mut runner = TestRunner::deterministic();
    let mut refused = 0;
    for round in 0..400 {
        let pairs = pairs.new_tree(&mut runner).unwrap().current();
        let form = pairs.iter().map(|(name, value, raw)| {
            let encoded = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
            let value = if *raw { value.replace(['&', '='], "") } else { encoded.to_string() };
            format!("{}={value}", names[*name])
        });
        let form = form.collect::<Vec<_>>().join("&");
        let target = if round % 2 == 0 { "/token" } else { "/introspect" };
        let mut request = http.post(server.url(target)).header(FORM.0, FORM.1).body(form.clone());
        if round % 4 < 2 {
            request = request.header("authorization", basic("es256", "secret-of-es256"));
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        assert!([200, 400, 401].contains(&status), "{status} for {form:?}");
        assert_eq!(response.headers()["content-type"], "application/json");
        let json: serde_json::Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        if status == 200 {
            continue;
        }
        refused += 1;
        let members: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(members, ["error", "error_description"], "{form:?}");
        for member in ["error", "error_description"] {
            let text = json[member].as_str().unwrap();
            let allowed = |byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E);
            assert!(!text.is_empty() && text.bytes().all(allowed), "{form:?} {text:?}");
        }
    }
    assert!(refused > 200, "{refused} refusals");
    assert_eq!(get(&server, "/healthz").await.status, 200);
}
