//! UserInfo (OpenID Connect Core 1.0 §5.3, RFC 6750), over REST and gRPC alike.

use mintage::grpc::pb::token as pb;
use serde_json::json;

use crate::support::{
    Auth, Issue, TestServer, Wire,
    auth::raw_basic,
    error,
    jwt::broken,
    server::{CLIENTS, NOW},
    wire::finish,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_claims_are_the_clients_own() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        let info = wire.userinfo(Some(&wire.token("eddsa").await)).await.unwrap();
        assert_eq!(info, json!({ "sub": "eddsa" }));
        let info = wire.userinfo(Some(&wire.token("rs256").await)).await.unwrap();
        let expected = json!({
            "sub": "rs256", "name": "Service", "email": "service@example.com", "fhirUser": "Practitioner/1",
            "level": 7, "big": info["big"], "ratio": 1.1, "nested": { "list": [1, "two", true] },
        });
        assert_eq!(info, expected);
    }
}

// Whatever the audience and the scope: it tells nothing that the token does not say.
#[tokio::test(flavor = "multi_thread")]
async fn any_token_of_this_server_will_do() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        for client_id in ["rs256", "ps256", "es256", "es384", "eddsa", "hs256", "a:b c", "generated"] {
            let token = wire.token(client_id).await;
            assert_eq!(wire.userinfo(Some(&token)).await.unwrap()["sub"], client_id);
        }
        let issue = Issue { audiences: vec!["billing".to_owned()], ..Issue::scope("read") };
        let token = wire.granted(&Auth::of("es256"), &issue).await;
        assert_eq!(wire.userinfo(Some(&token)).await.unwrap()["sub"], "es256");
    }
}

// CHK-32: nothing that could be a token; the challenge has no error then, which is REST's to show
#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_there_is_a_challenge() {
    let server = TestServer::shared().await;
    let wires = Wire::both(server).await;
    for wire in &wires {
        let none = wire.userinfo(None).await.unwrap_err();
        assert_eq!(
            (none.error.as_str(), none.description.as_str()),
            ("invalid_token", "an access token is required")
        );
        // Credentials of another scheme are no token.
        let basic = wire.userinfo_with(&Auth::of("rs256"), None).await.unwrap_err();
        assert_eq!(basic, none, "{wire:?}");
    }
    let challenge = challenge(reqwest::Client::new().get(server.url("/userinfo"))).await;
    assert_eq!(challenge, (401, "Bearer realm=\"mintage\"".to_owned()));
}

// CHK-33, CHK-37
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_one_is_invalid() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        for client_id in ["es256", "hs256"] {
            let token = wire.token(client_id).await;
            for (what, text) in broken(&token) {
                // The limit on headers is another matter than the one on tokens.
                if text.len() < 8_000 {
                    assert_eq!(error(wire.userinfo(Some(&text)).await), "invalid_token", "{wire:?}: {what}");
                }
                let outcome = wire.userinfo_with(&Auth::None, Some(&text)).await;
                assert_eq!(error(outcome), "invalid_token", "{wire:?}: {what}");
            }
        }
        for header in ["Bearer", "Bearer ", "bearer x", "Bearer x y", "Bearer \"", "Bearer x,y"] {
            let outcome = wire.userinfo_with(&Auth::header(header), None).await;
            assert_eq!(error(outcome), "invalid_token", "{wire:?}: {header}");
        }
    }
    let request = reqwest::Client::new().get(server.url("/userinfo")).bearer_auth("garbage");
    let expected = "Bearer realm=\"mintage\", error=\"invalid_token\", error_description=\"the access token is malformed, \
                    expired, or was not issued by this server\"";
    assert_eq!(challenge(request).await, (401, expected.to_owned()));
}

// CHK-33: expired; V-25: its client gone; wrong issuer or key
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_one_is_invalid() {
    let server = TestServer::start().await;
    let other = TestServer::with_environment(CLIENTS, &[("ISSUER_URL", "https://other.example")]).await;
    for (wire, foreign) in Wire::both(&server).await.into_iter().zip(Wire::both(&other).await) {
        server.clock.set(NOW);
        let token = wire.token("es256").await;
        for (at, valid) in [(NOW + 299, true), (NOW + 300, false), (NOW - 10, true), (NOW - 11, false)] {
            server.clock.set(at);
            let outcome = wire.userinfo(Some(&token)).await;
            assert_eq!(outcome.is_ok(), valid, "{wire:?} at {at}");
            assert!(outcome.is_ok() || error(outcome) == "invalid_token");
        }
        server.clock.set(NOW);
        for client_id in ["rs256", "es256", "hs256"] {
            let token = foreign.token(client_id).await;
            assert_eq!(error(wire.userinfo(Some(&token)).await), "invalid_token", "{wire:?} {client_id}");
        }
    }
}

// RFC 6750 §2.1 and §2.2, and the field of the message: three places, the same answer
#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_be_sent_as_a_parameter() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        let token = wire.token("rs256").await;
        let by_header = wire.userinfo_text(Some(&token)).await.unwrap();
        assert_eq!(wire.userinfo_with(&Auth::None, Some(&token)).await.unwrap(), by_header);
        for scheme in ["bearer", "BEARER"] {
            let auth = Auth::header(format!("{scheme} {token}"));
            assert_eq!(wire.userinfo_with(&auth, None).await.unwrap(), by_header, "{scheme}");
        }
        assert_eq!(error(wire.userinfo_with(&Auth::None, Some("garbage")).await), "invalid_token");
    }
}

// CHK-35
#[tokio::test(flavor = "multi_thread")]
async fn two_tokens_are_one_too_many() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        let token = wire.token("rs256").await;
        let bearer = format!("Bearer {token}");
        for (auth, parameter) in [
            (Auth::header(bearer.clone()), Some(token.as_str())),
            (Auth::header(bearer.clone()), Some("garbage")),
            (Auth::header("Bearer garbage"), Some(token.as_str())),
            (Auth::header(raw_basic("rs256:x")), Some(token.as_str())),
            (Auth::Headers(vec![bearer.clone(), bearer.clone()]), None),
            (Auth::Headers(vec![bearer.clone(), "Bearer garbage".to_owned()]), None),
        ] {
            let outcome = wire.userinfo_with(&auth, parameter).await;
            assert_eq!(error(outcome), "invalid_request", "{wire:?}");
        }
    }
}

// CHK-36: a query stays in logs; only REST has one
#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_query_is_refused() {
    let server = TestServer::shared().await;
    let [rest, _] = Wire::both(server).await;
    let token = rest.token("rs256").await;
    let http = reqwest::Client::new();
    for name in ["access_token", "access%5Ftoken", "token"] {
        let url = server.url(&format!("/userinfo?{name}={token}"));
        for request in [http.get(&url), http.post(&url), http.get(&url).bearer_auth(&token)] {
            let (status, challenge) = challenge(request).await;
            assert_eq!(status, 400, "{name}");
            assert!(challenge.contains("error=\"invalid_request\""), "{challenge}");
        }
    }
    // A body that is no form holds no token.
    let request = http.post(server.url("/userinfo")).header("content-type", "text/plain");
    assert_eq!(challenge(request.body(format!("access_token={token}"))).await.0, 401);
}

// The fields that have numbers of their own, and all claims beside them.
#[tokio::test(flavor = "multi_thread")]
async fn the_grpc_response_has_the_usual_claims_as_fields() {
    let server = TestServer::shared().await;
    let [_, grpc] = Wire::both(server).await;
    let ask = async |client_id: &str| {
        let message = pb::UserInfoRequest { access_token: grpc.token(client_id).await };
        finish(grpc.grpc().user_info(message).await).unwrap()
    };
    let info = ask("rs256").await;
    let fields = [&info.subject, &info.name, &info.email, &info.fhir_user].map(String::as_str);
    assert_eq!(fields, ["rs256", "Service", "service@example.com", "Practitioner/1"]);
    let names: Vec<&String> = info.claims.as_ref().unwrap().fields.keys().collect();
    assert_eq!(names, ["big", "email", "fhirUser", "level", "name", "nested", "ratio", "sub"]);
    let info = ask("eddsa").await;
    assert_eq!((info.name.as_str(), info.email.as_str(), info.fhir_user.as_str()), ("", "", ""));
    assert_eq!(info.claims_json, br#"{"sub":"eddsa"}"#);
}

/// The status and the challenge for bearer tokens, which comes first; the one for DPoP is after it unless the request is
/// malformed.
async fn challenge(request: reqwest::RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    let challenges: Vec<_> = response.headers().get_all("www-authenticate").iter().collect();
    let status = response.status().as_u16();
    let schemes: Vec<_> = challenges.iter().map(|value| &value.to_str().unwrap()[..5]).collect();
    assert_eq!(schemes, if status == 401 { &["Beare", "DPoP "][..] } else { &["Beare"] });
    (status, challenges[0].to_str().unwrap().to_owned())
}
