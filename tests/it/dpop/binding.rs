//! Tokens that are bound to a key, and who may use them.

use mintage::{grpc::pb::token as pb, jose::JwsAlgorithm};

use super::*;
use crate::support::{
    Transport,
    forge::{hs256, part, payload_with, shared_key},
    http::get,
    jwt::claims,
    wire::finish,
};

// CHK-122, CHK-125
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_binds_the_token_to_its_key() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        for alg in [JwsAlgorithm::ES256, JwsAlgorithm::PS256, JwsAlgorithm::EdDSA] {
            let key = DpopKey::of(alg);
            let token = bound_token(&wire, &key).await;
            assert_eq!(claims(&token)["cnf"], json!({ "jkt": key.jkt() }));
            let info = userinfo(&wire, &token, &[key.for_userinfo(&wire, &token)]).await.unwrap();
            assert!(info.contains(r#""sub":"rs256""#), "{info}");

            let answer = wire.introspect(&Auth::of("resource-server"), &token).await.unwrap();
            assert_eq!((&answer["token_type"], &answer["cnf"]["jkt"]), (&json!("DPoP"), &json!(key.jkt())));
            if wire.transport == Transport::Grpc {
                let message = pb::IntrospectRequest { token, ..Default::default() };
                let answer = wire.introspect_message(&Auth::of("resource-server"), message).await.unwrap();
                assert_eq!(answer.confirmation.unwrap().jkt, key.jkt());
            }
        }
        // Without a proof nothing is bound.
        let answer = issue(&wire, &[]).await.unwrap();
        assert_eq!(answer["token_type"], "Bearer");
        assert_eq!(claims(answer["access_token"].as_str().unwrap())["cnf"], Value::Null);
    }
}

// CHK-126, V-45
#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_is_worth_nothing_without_its_key() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        let (key, other) = (DpopKey::generate(), DpopKey::generate());
        let (token, second) = (bound_token(&wire, &key).await, bound_token(&wire, &key).await);

        // As a bearer token, in either place, also with a good proof beside it.
        assert_eq!(error(wire.userinfo(Some(&token)).await), "invalid_token");
        assert_eq!(error(wire.userinfo_with(&Auth::None, Some(&token)).await), "invalid_token");
        let proving = wire.proving(&[key.for_userinfo(&wire, &token)]);
        assert_eq!(error(proving.userinfo(Some(&token)).await), "invalid_token");

        let good = userinfo_claims(&wire, &token);
        let with = |changes: Value| {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            key.proof(&claims)
        };
        for (what, proofs, expected) in [
            ("no proof", vec![], "a DPoP proof is required"),
            ("two proofs", vec![with(json!({})), with(json!({}))], "there is more than one DPoP proof"),
            ("another key", vec![other.proof(&good)], "another key"),
            ("no ath", vec![with(json!({ "ath": null }))], "the ath"),
            (
                "ath of another token",
                vec![with(json!({ "ath": userinfo_claims(&wire, &second)["ath"] }))],
                "the ath",
            ),
            ("for the token endpoint", vec![key.for_token(&wire)], "of the request"),
            ("another method", vec![with(json!({ "htm": "PUT" }))], "the htm"),
            ("old", vec![with(json!({ "iat": NOW - 61 }))], "the iat"),
        ] {
            let refused = userinfo(&wire, &token, &proofs).await.unwrap_err();
            assert_eq!(refused.error, "invalid_dpop_proof", "{wire:?} {what}");
            assert!(refused.description.contains(expected), "{wire:?} {what}: {refused:?}");
        }
        assert!(userinfo(&wire, &token, &[with(json!({}))]).await.is_ok());

        // The scheme says that the token is bound, and it is not.
        let unbound = wire.token("rs256").await;
        let proof = key.for_userinfo(&wire, &unbound);
        assert_eq!(error(userinfo(&wire, &unbound, &[proof]).await), "invalid_token");
        // Nor does a proof harm a token that needs none.
        let proof = key.for_userinfo(&wire, &unbound);
        assert!(wire.proving(&[proof]).userinfo(Some(&unbound)).await.is_ok());
    }
}

// V-47
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_replaces_no_certificate_and_an_unknown_binding_is_none() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        let key = DpopKey::generate();
        let kid = part(&wire.token("hs256").await, 0)["kid"].as_str().unwrap().to_owned();
        let header = format!(r#"{{"typ":"at+jwt","alg":"HS256","kid":"{kid}"}}"#);
        let bound_to = |cnf: Value| hs256(shared_key(), &header, payload_with("cnf", &cnf.to_string()));
        for (cnf, is_good) in [
            (json!({ "jkt": key.jkt() }), true),
            (json!({ "x5t#S256": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0" }), false),
            (json!({ "x5t#S256": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0", "jkt": key.jkt() }), false),
            (json!({ "jkt": key.jkt(), "kid": "x" }), false),
            (json!({ "jwk": {}, "jkt": key.jkt() }), false),
            (json!({}), false),
        ] {
            let token = bound_to(cnf.clone());
            let by_dpop = userinfo(&wire, &token, &[key.for_userinfo(&wire, &token)]).await;
            assert_eq!(by_dpop.is_ok(), is_good, "{wire:?} {cnf}: {by_dpop:?}");
            assert!(is_good || error(by_dpop) == "invalid_token", "{wire:?} {cnf}");
            let as_bearer = wire.proving(&[key.for_userinfo(&wire, &token)]).userinfo(Some(&token)).await;
            assert_eq!(error(as_bearer), "invalid_token", "{wire:?} {cnf}");
        }
    }
}

// CHK-123
#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_have_to_bind_its_tokens() {
    let server = TestServer::with(&format!(
        "{CLIENTS}\n[[clients]]\nclient_id = \"bound\"\nclient_secret = \"secret-of-bound\"\n\
         access_token_signing_alg = \"ES256\"\ndpop_bound_access_tokens = true\n"
    ))
    .await;
    for wire in Wire::both(&server).await {
        let auth = Auth::of("bound");
        let refused = wire.issue(&auth, &Issue::default()).await.unwrap_err();
        assert_eq!(
            (refused.error.as_str(), refused.description.as_str()),
            ("invalid_dpop_proof", "a DPoP proof is required")
        );
        // Whoever is not the client does not learn that.
        let wrong = wire.issue(&Auth::basic("bound", crate::support::WRONG), &Issue::default()).await;
        assert_eq!(error(wrong), "invalid_client");
        let proof = DpopKey::generate().for_token(&wire);
        let answer = wire.proving(&[proof]).issue(&auth, &Issue::default()).await.unwrap();
        assert_eq!(answer["token_type"], "DPoP");
    }
}

// A token that is bound opens the other operations of this server in the same way.
#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_administers_with_its_key_alone() {
    let server = TestServer::with(
        "[admin]\nregistration = true\n[[clients]]\nclient_id = \"operator\"\nclient_secret = \"secret-of-operator\"\n\
         access_token_signing_alg = \"ES256\"\nscope = \"mintage:register\"\n",
    )
    .await;
    let [rest, _] = Wire::both(&server).await;
    let key = DpopKey::generate();
    let proving = rest.proving(&[key.for_token(&rest)]);
    let answer = proving.issue(&Auth::of("operator"), &Issue::default()).await.unwrap();
    let token = answer["access_token"].as_str().unwrap();
    let ath = &userinfo_claims(&rest, token)["ath"];
    let proof = || key.proof(&json!({ "htm": "POST", "htu": format!("{ISSUER}/register"), "ath": ath }));
    for (scheme, proof, status) in
        [("DPoP", Some(proof()), 201), ("DPoP", None, 401), ("Bearer", Some(proof()), 401)]
    {
        let mut request = reqwest::Client::new()
            .post(server.url("/register"))
            .header("authorization", format!("{scheme} {token}"))
            .header("content-type", "application/json")
            .body("{}");
        if let Some(proof) = &proof {
            request = request.header("dpop", proof);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{scheme} {proof:?}: {}", response.text().await.unwrap());
    }
}

/// The status and the challenges of a response.
async fn challenges(request: reqwest::RequestBuilder) -> (u16, Vec<String>) {
    let response = request.send().await.unwrap();
    let challenges = response.headers().get_all("www-authenticate").iter();
    let challenges = challenges.map(|value| value.to_str().unwrap().to_owned()).collect();
    (response.status().as_u16(), challenges)
}

const ALGS: &str = "algs=\"RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA\"";

// CHK-32, CHK-125
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_refused_learns_how_to_do_it() {
    let server = TestServer::shared().await;
    let [rest, _] = Wire::both(server).await;
    let key = DpopKey::generate();
    let token = bound_token(&rest, &key).await;
    let http = reqwest::Client::new();
    let ask = || http.get(server.url("/userinfo"));
    let bearer = "Bearer realm=\"mintage\"";
    let invalid = "error=\"invalid_token\", error_description=\"the access token is malformed, expired, or was not issued by \
                   this server\"";

    let (status, found) = challenges(ask()).await;
    assert_eq!((status, found), (401, vec![bearer.to_owned(), format!("DPoP {ALGS}")]));
    let (status, found) = challenges(ask().bearer_auth(&token)).await;
    assert_eq!((status, found), (401, vec![format!("{bearer}, {invalid}"), format!("DPoP {ALGS}")]));
    let (status, found) = challenges(ask().header("authorization", "DPoP x")).await;
    assert_eq!((status, found), (401, vec![format!("DPoP {invalid}, {ALGS}"), bearer.to_owned()]));
    let (status, found) = challenges(ask().header("authorization", format!("dpop {token}"))).await;
    let required =
        format!("DPoP error=\"invalid_dpop_proof\", error_description=\"a DPoP proof is required\", {ALGS}");
    assert_eq!((status, found), (401, vec![required]));
    // At the token endpoint it is an error like others.
    let request = http.post(server.url("/token")).basic_auth("rs256", Some("secret-of-rs256"));
    let request = request.header("content-type", "application/x-www-form-urlencoded").header("dpop", "x");
    let (status, found) = challenges(request.body("grant_type=client_credentials")).await;
    assert_eq!((status, found), (400, vec![]));
}

// CHK-127
#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_lists_the_algorithms() {
    let server = TestServer::shared().await;
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
        let document = get(server, path).await.json();
        let algs: Vec<_> = document["dpop_signing_alg_values_supported"]
            .as_array()
            .unwrap()
            .iter()
            .map(|alg| alg.as_str().unwrap().to_owned())
            .collect();
        assert_eq!(format!("algs=\"{}\"", algs.join(" ")), ALGS);
    }
}

// A proof in the message, as in metadata; both are two.
#[tokio::test(flavor = "multi_thread")]
async fn the_message_may_carry_the_proof() {
    let server = TestServer::shared().await;
    let [_, grpc] = Wire::both(server).await;
    let key = DpopKey::generate();
    let message = || pb::IssueRequest { dpop_proof: key.for_token(&grpc), ..Default::default() };
    let issued = finish(grpc.grpc().issue(Auth::of("rs256").call(message())).await).unwrap();
    assert_eq!(issued.token_type, "DPoP");
    assert_eq!(claims(&issued.access_token)["cnf"]["jkt"], key.jkt());
    let both = grpc.proving(&[key.for_token(&grpc)]).issue_message(&Auth::of("rs256"), message()).await;
    assert_eq!(both.unwrap_err().description, "there is more than one DPoP proof");
}
