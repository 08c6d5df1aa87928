//! Introspection (RFC 7662), over REST and gRPC alike: who learns what about which token, and for how long.

use mintage::grpc::pb::token as pb;
use serde_json::json;

use crate::support::{
    Auth, Issue, TestServer, WRONG, Wire, error,
    jwt::{broken, claims, header, payload},
    server::{CLIENTS, ISSUER, NOW},
};

// CHK-38, CHK-41
#[tokio::test(flavor = "multi_thread")]
async fn an_active_token_is_told_whole() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        let token = wire.token("es256").await;
        for auth in [Auth::of("es256"), Auth::post("es256"), Auth::post("resource-server")] {
            let answer = wire.introspect(&auth, &token).await.unwrap();
            let expected = json!({
                "active": true, "token_type": "Bearer",
                "iss": ISSUER, "sub": "es256", "client_id": "es256", "azp": "es256", "aud": "https://api.example",
                "scope": "read write", "scp": ["read", "write"],
                "iat": NOW, "nbf": NOW, "exp": NOW + 300, "jti": claims(&token)["jti"],
            });
            assert_eq!(answer, expected);
        }
    }
}

// V-27, CHK-43: own, in aud, any; for everybody else the token does not exist
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_told_to_those_it_concerns() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        // The default audience of `eddsa` is the client `es384`.
        let token = wire.token("eddsa").await;
        for caller in ["eddsa", "es384", "resource-server"] {
            let answer = wire.introspect(&Auth::of(caller), &token).await.unwrap();
            assert_eq!((&answer["active"], &answer["sub"]), (&json!(true), &json!("eddsa")), "{caller}");
        }
        for caller in ["rs256", "es256", "hs256", "generated", "a:b c", "post-only", "basic-only"] {
            let auth = if caller == "post-only" { Auth::post(caller) } else { Auth::of(caller) };
            let answer = wire.introspect_text(&auth, &token).await.unwrap();
            assert_eq!(answer, r#"{"active":false}"#, "{wire:?} {caller}");
        }
        // The other direction: that es384 is named by eddsa gives eddsa nothing.
        let token = wire.token("es384").await;
        assert_eq!(wire.introspect_text(&Auth::of("eddsa"), &token).await.unwrap(), r#"{"active":false}"#);
    }
}

// CHK-39, CHK-31
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_proves_who_it_is_before_anything_is_said() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        let token = wire.token("es256").await;
        for auth in [
            Auth::None,
            Auth::basic("es256", WRONG),
            Auth::form("es256", WRONG),
            Auth::form("es256", ""),
            Auth::form("public", ""),
            Auth::of("disabled"),
            Auth::of("unknown"),
        ] {
            for token in [token.as_str(), "garbage", ""] {
                let outcome = wire.introspect(&auth, token).await;
                assert_eq!(error(outcome), "invalid_client", "{wire:?} {auth:?}");
            }
        }
    }
}

// CHK-40
#[tokio::test(flavor = "multi_thread")]
async fn a_question_without_a_token_is_no_question() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        assert_eq!(error(wire.introspect(&Auth::of("resource-server"), "").await), "invalid_request");
    }
}

// CHK-42, CHK-45
#[tokio::test(flavor = "multi_thread")]
async fn what_this_server_did_not_sign_is_inactive() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        for client_id in ["rs256", "ps256", "es256", "es384", "eddsa", "hs256"] {
            let token = wire.token(client_id).await;
            for (what, text) in broken(&token) {
                let answer = wire.introspect_text(&Auth::of("resource-server"), &text).await.unwrap();
                assert_eq!(answer, r#"{"active":false}"#, "{wire:?} {client_id}: {what}");
            }
            assert!(wire.is_active(&token).await, "{client_id}");
        }
    }
}

// CHK-42: a token of another server, even of one that shares the name or a key
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_token_is_inactive() {
    let server = TestServer::shared().await;
    let namesake = TestServer::with(CLIENTS).await;
    let other = TestServer::with_environment(CLIENTS, &[("ISSUER_URL", "https://other.example")]).await;
    for (wire, (same_name, same_key)) in Wire::both(server)
        .await
        .into_iter()
        .zip(Wire::both(&namesake).await.into_iter().zip(Wire::both(&other).await))
    {
        // The same issuer, other keys.
        for client_id in ["rs256", "ps256", "es256", "es384", "eddsa"] {
            assert!(!wire.is_active(&same_name.token(client_id).await).await, "{client_id}");
        }
        // The same key and `kid`, another issuer.
        let (ours, theirs) = (wire.token("hs256").await, same_key.token("hs256").await);
        assert_eq!(header(&ours)["kid"], header(&theirs)["kid"]);
        assert!(!wire.is_active(&theirs).await);
        assert!(same_key.is_active(&theirs).await);
        // The same issuer and the same key: a replica.
        assert!(wire.is_active(&same_name.token("hs256").await).await);
    }
}

// CHK-42: expired to the second; CHK-45: not yet valid, ten seconds of leeway
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_active_from_nbf_to_exp() {
    let server = TestServer::start().await;
    for wire in Wire::both(&server).await {
        server.clock.set(NOW);
        let token = wire.token("es256").await;
        for (at, active) in [
            (NOW, true),
            (NOW + 299, true),
            (NOW + 300, false),
            (NOW + 100_000, false),
            (NOW - 10, true),
            (NOW - 11, false),
            (NOW - 100_000, false),
            (NOW + 1, true),
        ] {
            server.clock.set(at);
            assert_eq!(wire.is_active(&token).await, active, "{wire:?} at {at}");
        }
    }
}

// CHK-44: only a form and a message field can carry a hint
#[tokio::test(flavor = "multi_thread")]
async fn a_hint_never_changes_an_answer() {
    let server = TestServer::shared().await;
    let [rest, grpc] = Wire::both(server).await;
    let auth = Auth::of("es256");
    let token = rest.token("es256").await;
    let plain = rest.introspect_text(&auth, &token).await.unwrap();
    for hint in ["access_token", "refresh_token", "unknown", "\"\\\u{1b}", ""] {
        let form = vec![("token_type_hint", hint.to_owned()), ("token", token.clone())];
        assert_eq!(rest.post("/introspect", &auth, form).await.unwrap(), plain, "{hint}");
        let message = pb::IntrospectRequest {
            token: token.clone(),
            token_type_hint: hint.to_owned(),
            ..Default::default()
        };
        assert!(grpc.introspect_message(&auth, message).await.unwrap().active, "{hint}");
    }
}

// What a message can ask beyond RFC 7662: is it meant for me, and does it have these scopes?
#[tokio::test(flavor = "multi_thread")]
async fn an_expectation_that_is_not_met_makes_a_token_inactive() {
    let server = TestServer::shared().await;
    let [_, grpc] = Wire::both(server).await;
    let auth = Auth::of("es256");
    let issue = Issue::resources(&["https://api.example", "https://other.example"]);
    let token = grpc.granted(&auth, &Issue { scope: Some("read".to_owned()), ..issue }).await;
    for (audience, scopes, active) in [
        ("", &[][..], true),
        ("https://api.example", &[], true),
        ("https://other.example", &["read"], true),
        ("billing", &[], false),
        ("https://api.exampl", &[], false),
        ("https://api.example/", &[], false),
        ("https://api.example https://other.example", &[], false),
        ("", &["read"], true),
        ("", &["write"], false),
        ("", &["read", "write"], false),
        ("", &["Read"], false),
        ("", &["rea"], false),
        ("", &[""], false),
        ("", &["read write"], false),
        ("billing", &["read"], false),
        ("https://api.example", &["write"], false),
    ] {
        let message = pb::IntrospectRequest {
            token: token.clone(),
            expected_audience: audience.to_owned(),
            required_scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            ..Default::default()
        };
        let response = grpc.introspect_message(&auth, message).await.unwrap();
        assert_eq!(response.active, active, "{audience:?} {scopes:?}");
        if !active {
            assert_eq!(response, pb::IntrospectResponse::default());
        }
    }
}

// The views: everything, the numbered fields, or one bit.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_decides_how_much_is_told() {
    let server = TestServer::shared().await;
    let [_, grpc] = Wire::both(server).await;
    let token = grpc.token("rs256").await;
    let ask = async |view: pb::IntrospectView| {
        let message = pb::IntrospectRequest { token: token.clone(), view: view.into(), ..Default::default() };
        grpc.introspect_message(&Auth::of("rs256"), message).await.unwrap()
    };
    let at =
        |seconds: u64| Some(prost_types::Timestamp { seconds: i64::try_from(seconds).unwrap(), nanos: 0 });
    let active_only = pb::IntrospectResponse {
        active: true,
        cache_ttl: Some(prost_types::Duration { seconds: 30, nanos: 0 }),
        ..Default::default()
    };
    let basic = pb::IntrospectResponse {
        subject: "rs256".to_owned(),
        client_id: "rs256".to_owned(),
        authorized_party: "rs256".to_owned(),
        issuer: ISSUER.to_owned(),
        audiences: vec![ISSUER.to_owned()],
        scopes: ["read", "write", "admin"].map(str::to_owned).to_vec(),
        token_type: "Bearer".to_owned(),
        token_id: claims(&token)["jti"].as_str().unwrap().to_owned(),
        expire_time: at(NOW + 3600),
        issue_time: at(NOW),
        not_before_time: at(NOW),
        ..active_only.clone()
    };
    assert_eq!(ask(pb::IntrospectView::ActiveOnly).await, active_only);
    assert_eq!(ask(pb::IntrospectView::Basic).await, basic);
    for view in [pb::IntrospectView::Full, pb::IntrospectView::Unspecified] {
        let full = ask(view).await;
        assert_eq!(full.claims_json, payload(&token).into_bytes());
        let fields = &full.claims.as_ref().unwrap().fields;
        assert_eq!(fields.len(), claims(&token).as_object().unwrap().len());
        let string = |name: &str| match fields[name].kind.as_ref().unwrap() {
            prost_types::value::Kind::StringValue(text) => text.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!((string("sub"), string("fhirUser")), ("rs256".to_owned(), "Practitioner/1".to_owned()));
        assert_eq!(pb::IntrospectResponse { claims: None, claims_json: vec![], ..full }, basic);
    }
}

// An answer may be reused for thirty seconds, and never beyond the token's end.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lives_no_longer_than_its_token() {
    let server = TestServer::start().await;
    let [_, grpc] = Wire::both(&server).await;
    let token = grpc.token("es256").await;
    for (age, ttl) in [(0, 30), (269, 30), (270, 30), (271, 29), (299, 1)] {
        server.clock.set(NOW + age);
        let message = pb::IntrospectRequest { token: token.clone(), ..Default::default() };
        let response = grpc.introspect_message(&Auth::of("es256"), message).await.unwrap();
        assert_eq!(response.cache_ttl, Some(prost_types::Duration { seconds: ttl, nanos: 0 }), "{age}");
    }
}
