//! Issuing tokens, over REST and gRPC alike: the grant, the scope, the response. What a token says is in `claims`, whom
//! it is for in `target`, how long it lives in `lifetime`.

use std::collections::HashSet;

use mintage::grpc::pb::token as pb;
use serde_json::json;

use crate::support::{
    Auth, Issue, TestServer, Transport, WRONG, Wire, error,
    jwt::{claims, unb64},
    parallel::in_parallel,
};

// CHK-7, CHK-9, CHK-11, CHK-13
#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_a_token_with_all_its_scopes() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        for auth in [Auth::of("rs256"), Auth::post("rs256")] {
            let mut response = wire.issue(&auth, &Issue::default()).await.unwrap();
            let token = response["access_token"].take();
            let claims = claims(token.as_str().unwrap());
            assert_eq!(
                claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
                response["expires_in"]
            );
            // Nothing else: no refresh_token, no null member.
            let expected = json!({
                "access_token": null, "token_type": "Bearer", "expires_in": 3600, "scope": "read write admin"
            });
            assert_eq!(response, expected);
        }
    }
}

// CHK-12: what was granted is said even when it is what was asked for
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_scope_is_granted_in_the_order_asked_for() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        for (asked, granted) in [("read", "read"), ("admin read", "admin read"), ("read read", "read")] {
            let response = wire.issue(&Auth::of("rs256"), &Issue::scope(asked)).await.unwrap();
            assert_eq!(response["scope"], granted);
            // CHK-91
            assert_eq!(claims(response["access_token"].as_str().unwrap())["scope"], granted);
        }
    }
}

// CHK-14, CHK-15, CHK-16
#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_is_malformed_or_not_the_clients_is_refused() {
    let server = TestServer::shared().await;
    let long = "read ".repeat(4000) + "read";
    let many = (0..300).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
    for wire in Wire::both(server).await {
        for scope in [
            "delete",
            "read delete",
            "Read",
            "READ write",
            "read\twrite",
            "read\nwrite",
            "read\u{0}",
            "\"read\"",
            "rea\\d",
            "réad",
            "read\u{a0}write",
            " read",
            "read ",
            "read  write",
            "*",
            &long,
            &many,
        ] {
            let outcome = wire.issue(&Auth::of("rs256"), &Issue::scope(scope)).await;
            assert_eq!(error(outcome), "invalid_scope", "{wire:?} {scope:.40?}");
        }
        // A client without any scope may ask for none, and is told of none.
        assert_eq!(error(wire.issue(&Auth::of("eddsa"), &Issue::scope("read")).await), "invalid_scope");
        let response = wire.issue(&Auth::of("eddsa"), &Issue::default()).await.unwrap();
        assert_eq!(response.get("scope"), None);
    }
}

// A stranger is told that it is one, not what is wrong with the rest of its request.
#[tokio::test(flavor = "multi_thread")]
async fn client_authentication_comes_first() {
    let server = TestServer::shared().await;
    let stranger = Auth::basic("rs256", WRONG);
    let wires = Wire::both(server).await;
    for wire in &wires {
        for issue in [
            Issue::scope("delete"),
            Issue::scope("read  write"),
            Issue::scope("\""),
            Issue::resources(&["relative"]),
            Issue::audiences(&["unlisted"]),
        ] {
            assert_eq!(error(wire.issue(&stranger, &issue).await), "invalid_client", "{wire:?} {issue:?}");
        }
    }
    let lifetime = Some(prost_types::Duration { seconds: -1, nanos: 0 });
    let message = pb::IssueRequest { lifetime, ..Default::default() };
    assert_eq!(error(wires[1].issue_message(&stranger, message).await), "invalid_client");
}

// CHK-8, CHK-31
#[tokio::test(flavor = "multi_thread")]
async fn who_proves_nothing_gets_nothing() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        for auth in [
            Auth::None,
            Auth::form("public", ""),
            Auth::form("public", "anything"),
            Auth::form("public", WRONG),
            Auth::basic("public", "anything"),
            Auth::form("rs256", ""),
        ] {
            let outcome = wire.issue(&auth, &Issue::default()).await;
            assert_eq!(error(outcome), "invalid_client", "{wire:?} {auth:?}");
        }
    }
}

// CHK-26, V-37
#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_the_grant_is_unauthorized() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        let auth = Auth::of("resource-server");
        assert_eq!(error(wire.issue(&auth, &Issue::default()).await), "unauthorized_client");
        // It is registered for no scope either, but the grant is the first thing that is wrong.
        assert_eq!(error(wire.issue(&auth, &Issue::scope("read")).await), "unauthorized_client");
    }
}

// V-37, CHK-5, CHK-6, CHK-128: only a form can name a grant that does not exist
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_nobody_can_use_is_unsupported() {
    let server = TestServer::shared().await;
    let [rest, _] = Wire::both(server).await;
    let ask = async |auth: Auth, grant_type: &str| {
        let mut form = vec![("username", "u".to_owned()), ("password", "p".to_owned())];
        form.push(("grant_type", grant_type.to_owned()));
        error(rest.post("/token", &auth, form).await)
    };
    for grant_type in [
        "password",
        "refresh_token",
        "authorization_code",
        "implicit",
        "urn:ietf:params:oauth:grant-type:device_code",
        "Client_Credentials",
        "client_credentials ",
        "client_credentials password",
        "\"",
    ] {
        assert_eq!(ask(Auth::of("rs256"), grant_type).await, "unsupported_grant_type", "{grant_type}");
        assert_eq!(ask(Auth::of("resource-server"), grant_type).await, "unsupported_grant_type");
        assert_eq!(ask(Auth::basic("rs256", WRONG), grant_type).await, "invalid_client", "{grant_type}");
    }
    assert_eq!(ask(Auth::of("rs256"), "").await, "invalid_request");
}

// The message of gRPC says what JSON has no member for.
#[tokio::test(flavor = "multi_thread")]
async fn the_grpc_response_agrees_with_the_token() {
    let server = TestServer::shared().await;
    let [_, grpc] = Wire::both(server).await;
    let message = pb::IssueRequest {
        grant: Some(pb::issue_request::Grant::ClientCredentials(pb::ClientCredentialsGrant {})),
        scopes: vec!["write".to_owned()],
        ..Default::default()
    };
    let response = grpc.issue_message(&Auth::of("es256"), message).await.unwrap();
    let claims = claims(&response.access_token);
    assert_eq!(response.token_type, "Bearer");
    assert_eq!(response.issued_token_type, "urn:ietf:params:oauth:token-type:access_token");
    assert_eq!(response.expire_time.unwrap().seconds, claims["exp"]);
    assert_eq!(response.scopes, ["write"]);
    assert_eq!(response.token_id, claims["jti"]);
    assert_eq!(response.audiences, ["https://api.example"]);
    assert_eq!(claims["aud"], "https://api.example");
}

// One item is one scope-token.
#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_item_cannot_smuggle_in_a_second_scope() {
    let server = TestServer::shared().await;
    let [_, grpc] = Wire::both(server).await;
    for scopes in [&["read write"][..], &["read", ""], &[""], &["read", "write admin"]] {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let message = pb::IssueRequest { scopes, ..Default::default() };
        assert_eq!(error(grpc.issue_message(&Auth::of("rs256"), message).await), "invalid_scope");
    }
}

// CHK-30
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tokens_have_ten_thousand_identifiers_of_128_bits() {
    let server = TestServer::shared().await;
    let mut identifiers = Vec::new();
    for wire in Wire::both(server).await {
        let draw = move |_| {
            let wire = wire.clone();
            async move { claims(&wire.token("hs256").await)["jti"].as_str().unwrap().to_owned() }
        };
        identifiers.extend(in_parallel(5_000, 32, draw).await);
    }
    let distinct: HashSet<&String> = identifiers.iter().collect();
    assert_eq!(distinct.len(), 10_000);

    // Every bit is one in about half of them: none is fixed, counted or copied from the clock.
    let mut ones = [0; 128];
    for identifier in &identifiers {
        let bytes = unb64(identifier);
        assert_eq!(bytes.len(), 16);
        for (bit, count) in ones.iter_mut().enumerate() {
            *count += usize::from(bytes[bit / 8] >> (bit % 8) & 1);
        }
    }
    // Ten standard deviations of 50 to each side.
    assert!(ones.iter().all(|count| (4_500..=5_500).contains(count)), "{ones:?}");
}

// CHK-3, CHK-4: REST forms may hold empty and unknown parameters; messages may hold unknown fields by nature
#[tokio::test(flavor = "multi_thread")]
async fn empty_and_unknown_parameters_do_not_matter() {
    let server = TestServer::shared().await;
    let [rest, _] = Wire::both(server).await;
    assert_eq!(rest.transport, Transport::Rest);
    let form =
        [("grant_type", "client_credentials"), ("scope", ""), ("resource", ""), ("foo", "bar"), ("x", "")];
    let form = form.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    let response = rest.post("/token", &Auth::of("rs256"), form).await.unwrap();
    assert!(response.contains(r#""scope":"read write admin""#), "{response}");
}

// V-36: what this version lacks is refused over gRPC, never turned into a token of another kind
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_built_is_refused_over_grpc() {
    use mintage::grpc::pb::token::{
        self as pb,
        issue_request::{ClientAuthentication, Grant},
    };

    let server = TestServer::shared().await;
    let [_, wire] = Wire::both(server).await;
    let auth = Auth::of("es256");
    let request = pb::IssueRequest::default;
    let exchange = Grant::TokenExchange(pb::TokenExchangeGrant {});
    let bearer = Grant::JwtBearer(pb::JwtBearerGrant::default());
    let assertion = ClientAuthentication::ClientAssertion(pb::ClientAssertion {
        client_assertion: "junk".to_owned(),
        client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
        ..Default::default()
    });
    for (message, auth, code) in [
        (pb::IssueRequest { grant: Some(exchange), ..request() }, &auth, "unsupported_grant_type"),
        (pb::IssueRequest { grant: Some(bearer), ..request() }, &auth, "unsupported_grant_type"),
        (
            pb::IssueRequest { client_authentication: Some(assertion.clone()), ..request() },
            &auth,
            "invalid_request",
        ),
        (
            pb::IssueRequest { client_authentication: Some(assertion), ..request() },
            &Auth::None,
            "invalid_client",
        ),
    ] {
        let status = wire.grpc().issue(auth.call(message)).await.unwrap_err();
        assert_eq!(crate::support::refused::from_status(&status).error, code);
    }
}
