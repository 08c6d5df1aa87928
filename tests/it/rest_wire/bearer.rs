//! /userinfo as a protected resource (RFC 6750). CHK-34 has no case: the endpoint asks for no scope.

use crate::support::{
    TestServer,
    auth::{basic, secret_of},
    http::{FORM, Reply, post, send, token},
};

async fn userinfo(server: &TestServer, headers: &[(&str, &str)]) -> Reply {
    send(server, "GET", "/userinfo", headers, b"").await
}

/// Reads a challenge by the grammar of RFC 9110 §11.6.1 for quoted attributes; repeated attributes are a failure.
fn attributes(challenge: &str) -> Vec<(String, String)> {
    let mut rest = challenge.strip_prefix("Bearer ").expect("the Bearer scheme");
    let mut found: Vec<(String, String)> = Vec::new();
    loop {
        let (name, value) = rest.split_once("=\"").expect("name=\"value\"");
        let (value, after) = value.split_once('"').expect("a closing quote");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        assert!(!value.contains('\\'));
        assert!(found.iter().all(|(earlier, _)| earlier != name), "{name} came twice");
        found.push((name.to_owned(), value.to_owned()));
        if after.is_empty() {
            return found;
        }
        rest = after.strip_prefix(", ").expect("a comma between attributes");
    }
}

// CHK-32, CHK-37
#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_there_is_a_challenge_without_error() {
    let server = TestServer::start().await;
    let other_scheme = basic("rs256", &secret_of("rs256"));
    for headers in [&[][..], &[("authorization", other_scheme.as_str())]] {
        let reply = userinfo(&server, headers).await;
        assert_eq!(reply.status, 401);
        let challenge = attributes(reply.header("www-authenticate").unwrap());
        assert_eq!(challenge, [("realm".to_owned(), "mintage".to_owned())]);
    }
    for (headers, body) in [(&[FORM][..], "access_token="), (&[FORM], ""), (&[], "access_token=x")] {
        let reply = send(&server, "POST", "/userinfo", headers, body.as_bytes()).await;
        assert_eq!(attributes(reply.header("www-authenticate").unwrap()).len(), 1, "{body}");
    }
}

// CHK-33, CHK-37
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_gets_invalid_token() {
    let server = TestServer::start().await;
    let good = token(&server, "rs256").await;
    for value in
        ["Bearer", "Bearer ", "Bearer a.b.c", &format!("Bearer {good}x"), &format!("Bearer {good} x")]
    {
        let reply = userinfo(&server, &[("authorization", value)]).await;
        if value.trim() == "Bearer" {
            assert_eq!(reply.status, 401, "{value}");
            continue;
        }
        assert_eq!(reply.refusal(), (401, "invalid_token".to_owned()), "{value}");
        let challenge = attributes(reply.header("www-authenticate").unwrap());
        assert_eq!(challenge[1], ("error".to_owned(), "invalid_token".to_owned()));
        assert_eq!(challenge[2].0, "error_description");
        assert_eq!(challenge.len(), 3);
    }
    server.clock.advance(std::time::Duration::from_secs(3600));
    let reply = userinfo(&server, &[("authorization", &format!("Bearer {good}"))]).await;
    assert_eq!(reply.refusal(), (401, "invalid_token".to_owned()), "it has expired");
}

// CHK-35, CHK-36
#[tokio::test(flavor = "multi_thread")]
async fn one_token_in_one_place() {
    let server = TestServer::start().await;
    let token = token(&server, "rs256").await;
    let bearer = format!("Bearer {token}");
    let header = ("authorization", bearer.as_str());
    let body = format!("access_token={token}");

    for reply in [
        userinfo(&server, &[header]).await,
        userinfo(&server, &[("authorization", &format!("bearer {token}"))]).await,
        post(&server, "/userinfo", &[], &body).await,
        send(&server, "POST", "/userinfo", &[header], b"").await,
    ] {
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.json()["fhirUser"], "Practitioner/1");
    }
    for reply in [
        post(&server, "/userinfo", &[header], &body).await,
        userinfo(&server, &[header, header]).await,
        send(&server, "GET", &format!("/userinfo?access_token={token}"), &[], b"").await,
        send(&server, "GET", &format!("/userinfo?access_token={token}"), &[header], b"").await,
        post(&server, &format!("/userinfo?access%5Ftoken={token}"), &[], "").await,
        post(&server, "/userinfo", &[], &format!("{body}&{body}")).await,
    ] {
        assert_eq!(reply.refusal(), (400, "invalid_request".to_owned()));
        let challenge = attributes(reply.header("www-authenticate").unwrap());
        assert_eq!(challenge[1], ("error".to_owned(), "invalid_request".to_owned()));
        assert!(!reply.text().contains(&token[..20]), "the token is not echoed");
    }
    // RFC 6750 §2.2: not with a method without a body, and not of another type.
    let reply = send(&server, "GET", "/userinfo", &[FORM], body.as_bytes()).await;
    assert_eq!(reply.status, 401);
}
