//! Introspection by a token with the scope `introspect` (RFC 7662 §2.1), over REST and gRPC alike: it gives what its client
//! may, and nothing that a client could not have by its own credentials.

use mintage::{
    grpc::pb::token as pb,
    jose::{JwsAlgorithm, PrivateKey, base64url},
};
use serde_json::{Value, json};

use crate::support::{
    Auth, Issue, TestServer, Transport, Wire, error,
    server::{ISSUER, NOW},
};

/// Secrets have the form of generated ones, so that nobody waits for Argon2id.
const SECRET: &str = "mint_0000000000000000000000000000000000000000000";

fn config() -> String {
    let client = |client_id: &str, members: &str| {
        format!(
            "[[clients]]\nclient_id = \"{client_id}\"\nclient_secret = \"{SECRET}\"\naccess_token_signing_alg = \"ES256\"\n\
             {members}\n"
        )
    };
    [
        "[limits]\nfailed_auth_rate = \"off\"\n".to_owned(),
        client("observer", "scope = \"introspect read\"\nintrospect = \"any\""),
        client("service", "scope = \"introspect read\""),
        client(
            "elsewhere",
            "scope = \"introspect\"\naudiences = [\"https://api.example\"]\nintrospect = \"any\"",
        ),
        client("other", "scope = \"read\"\naudiences = [\"https://id.example\", \"service\"]"),
        client("resource-server", "introspect = \"any\""),
    ]
    .join("\n")
}

fn auth(client_id: &str) -> Auth {
    Auth::basic(client_id, SECRET)
}

async fn token(wire: &Wire, client_id: &str, scope: Option<&str>) -> String {
    let issue = scope.map(Issue::scope).unwrap_or_default();
    wire.granted(&auth(client_id), &issue).await
}

fn bearer(token: &str) -> Auth {
    Auth::header(format!("Bearer {token}"))
}

/// V-27, CHK-43: what the client of the token may know, and no more
#[tokio::test(flavor = "multi_thread")]
async fn the_token_may_what_its_client_may() {
    let server = TestServer::with(&config()).await;
    for wire in Wire::both(&server).await {
        let observer = bearer(&token(&wire, "observer", Some("introspect")).await);
        let service = bearer(&token(&wire, "service", None).await);
        let of_other = token(&wire, "other", None).await;
        let for_service = wire.granted(&auth("other"), &Issue::audiences(&["service"])).await;
        let own = token(&wire, "service", Some("read")).await;
        for (asked, by_observer, by_service) in
            [(&of_other, true, false), (&for_service, true, true), (&own, true, true)]
        {
            assert_eq!(wire.introspect(&observer, asked).await.unwrap()["active"], by_observer, "{wire:?}");
            assert_eq!(wire.introspect(&service, asked).await.unwrap()["active"], by_service, "{wire:?}");
        }
        // Exactly what a client learns that authenticates by its secret.
        let by_secret = wire.introspect_text(&auth("observer"), &of_other).await.unwrap();
        assert_eq!(wire.introspect_text(&observer, &of_other).await.unwrap(), by_secret);
        assert_eq!(wire.introspect_text(&service, &of_other).await.unwrap(), r#"{"active":false}"#);
        // With the scope it is a credential about itself as about others.
        let itself = token(&wire, "service", None).await;
        assert_eq!(wire.introspect(&bearer(&itself), &itself).await.unwrap()["active"], true);
        assert_eq!(error(wire.introspect(&observer, "").await), "invalid_request");
    }
}

// CHK-34, V-28
#[tokio::test(flavor = "multi_thread")]
async fn without_the_scope_or_the_audience_it_gives_nothing() {
    let server = TestServer::with(&config()).await;
    for wire in Wire::both(&server).await {
        let asked = token(&wire, "other", None).await;
        let without = token(&wire, "observer", Some("read")).await;
        assert_eq!(error(wire.introspect(&bearer(&without), &asked).await), "insufficient_scope");
        // The token as the only credential about itself.
        for itself in [&without, &asked] {
            assert_eq!(error(wire.introspect(&bearer(itself), itself).await), "invalid_client", "{wire:?}");
        }
        // One for another resource, whatever its scope.
        let elsewhere = token(&wire, "elsewhere", None).await;
        for asked in [&asked, &elsewhere] {
            assert_eq!(error(wire.introspect(&bearer(&elsewhere), asked).await), "invalid_token");
        }
        for garbage in ["garbage", "a.b.c", &format!("{asked}A")] {
            assert_eq!(error(wire.introspect(&bearer(garbage), &asked).await), "invalid_token", "{garbage}");
        }
        // Revoked, and with a right that was taken away.
        let revoked = token(&wire, "observer", None).await;
        wire.revoke(&auth("observer"), &revoked, "").await.unwrap();
        assert_eq!(error(wire.introspect(&bearer(&revoked), &asked).await), "invalid_token");
        let good = token(&wire, "observer", None).await;
        server.reload(&config().replacen("introspect read", "read", 1)).await.unwrap();
        assert_eq!(error(wire.introspect(&bearer(&good), &asked).await), "insufficient_scope");
        server.reload(&config().replacen("\"observer\"", "\"successor\"", 1)).await.unwrap();
        assert_eq!(error(wire.introspect(&bearer(&good), &asked).await), "invalid_token");
        server.reload(&config()).await.unwrap();
        wire.introspect(&bearer(&good), &asked).await.unwrap();
        // It is for asking: who revokes is a client.
        assert_eq!(error(wire.revoke(&bearer(&good), &asked, "").await), "invalid_client");
    }
}

// V-11: one method, whatever the two are
#[tokio::test(flavor = "multi_thread")]
async fn a_token_beside_other_credentials_is_one_too_many() {
    let server = TestServer::with(&config()).await;
    for wire in Wire::both(&server).await {
        let good = format!("Bearer {}", token(&wire, "observer", None).await);
        let basic = auth("observer").headers()[0].clone();
        for headers in
            [vec![good.clone(), basic.clone()], vec![basic, good.clone()], vec![good.clone(), good]]
        {
            let outcome = wire.introspect(&Auth::Headers(headers), "x").await;
            assert_eq!(error(outcome), "invalid_client", "{wire:?}");
        }
    }
    let [rest, grpc] = Wire::both(&server).await;
    let good = token(&rest, "observer", None).await;
    let form = vec![
        ("token", good.clone()),
        ("client_id", "observer".to_owned()),
        ("client_secret", SECRET.to_owned()),
    ];
    assert_eq!(error(rest.post("/introspect", &bearer(&good), form).await), "invalid_request");
    // client_id alone is no method, and names who asks.
    for (client_id, is_own) in [("observer", true), ("service", false)] {
        let form = vec![("token", good.clone()), ("client_id", client_id.to_owned())];
        assert_eq!(rest.post("/introspect", &bearer(&good), form).await.is_ok(), is_own, "{client_id}");
        let message = pb::IntrospectRequest {
            token: good.clone(),
            client_id: client_id.to_owned(),
            ..Default::default()
        };
        let outcome = grpc.grpc().introspect(bearer(&good).call(message)).await;
        assert_eq!(outcome.is_ok(), is_own, "{client_id}");
    }
    let secret = pb::ClientSecret { client_id: "observer".to_owned(), client_secret: SECRET.to_owned() };
    let message = pb::IntrospectRequest {
        token: good.clone(),
        client_authentication: Some(pb::introspect_request::ClientAuthentication::ClientSecret(secret)),
        ..Default::default()
    };
    let status = grpc.grpc().introspect(bearer(&good).call(message)).await.unwrap_err();
    assert_eq!(status.metadata().get("oauth-error").unwrap(), "invalid_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_asked_by_token_too() {
    let server = TestServer::with(&config()).await;
    let [_, grpc] = Wire::both(&server).await;
    let of = async |client_id: &str, scope| token(&grpc, client_id, scope).await;
    let asked = of("other", None).await;
    let message = pb::BatchIntrospectRequest {
        requests: vec![pb::IntrospectRequest { token: asked.clone(), ..Default::default() }; 3],
        ..Default::default()
    };
    let ask = async |by: &str| grpc.grpc().batch_introspect(bearer(by).call(message.clone())).await;
    let answers = ask(&of("observer", None).await).await.unwrap().into_inner().responses;
    assert!(answers.len() == 3 && answers.iter().all(|answer| answer.active));
    let answers = ask(&of("service", None).await).await.unwrap().into_inner().responses;
    assert!(answers.iter().all(|answer| !answer.active));
    for (by, code) in
        [(of("observer", Some("read")).await, "insufficient_scope"), (asked.clone(), "invalid_client")]
    {
        assert_eq!(ask(&by).await.unwrap_err().metadata().get("oauth-error").unwrap(), code);
    }
}

/// The status and the challenges of a refusal (CHK-34; RFC 6750 §3).
#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_is_wanted() {
    let server = TestServer::with(&config()).await;
    let [rest, _] = Wire::both(&server).await;
    let asked = token(&rest, "other", None).await;
    let read = token(&rest, "observer", Some("read")).await;
    for (authorization, question, status, challenge) in [
        (format!("Bearer {read}"), &asked, 403, "Bearer realm=\"mintage\", error=\"insufficient_scope\""),
        (format!("Bearer {read}"), &read, 401, "Basic realm=\"mintage\""),
        ("Bearer garbage".to_owned(), &asked, 401, "Bearer realm=\"mintage\", error=\"invalid_token\""),
        ("Basic garbage".to_owned(), &asked, 401, "Basic realm=\"mintage\""),
    ] {
        let response = reqwest::Client::new()
            .post(server.url("/introspect"))
            .header("authorization", &authorization)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("token={question}"))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status, "{authorization}");
        let told = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
        assert!(told.starts_with(challenge), "{told}");
        assert_eq!(status == 403, told.contains("scope=\"introspect\""), "{told}");
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
}

/// A DPoP proof (RFC 9449 §4.2).
fn proof(key: &PrivateKey, url: &str, token: Option<&str>, jti: &str) -> String {
    let mut claims = json!({ "jti": jti, "htm": "POST", "htu": url, "iat": NOW });
    if let Some(token) = token {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
        claims["ath"] = base64url(hash).into();
    }
    let header = json!({ "typ": "dpop+jwt", "jwk": key.jwk().unwrap().parameters() });
    key.sign(header.as_object().unwrap().clone(), claims.to_string().as_bytes()).unwrap()
}

// V-47: a bound token asks with its proof or not at all
#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_needs_its_proof() {
    let server = TestServer::with(&config()).await;
    let (key, other) = (
        PrivateKey::generate(JwsAlgorithm::ES256).unwrap(),
        PrivateKey::generate(JwsAlgorithm::ES256).unwrap(),
    );
    let http = reqwest::Client::new();
    let post = async |path: &str, authorization: &str, proof: Option<String>, body: String| {
        let mut request = http
            .post(server.url(path))
            .header("authorization", authorization)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice::<Value>(&response.bytes().await.unwrap()).unwrap())
    };
    let basic = auth("observer").headers()[0].clone();
    let at_token = proof(&key, &format!("{ISSUER}/token"), None, "1");
    let (_, issued) =
        post("/token", &basic, Some(at_token), "grant_type=client_credentials".to_owned()).await;
    let bound = issued["access_token"].as_str().unwrap().to_owned();
    let wires = Wire::both(&server).await;
    let asked = token(&wires[0], "other", None).await;
    let question = format!("token={asked}");
    let url = format!("{ISSUER}/introspect");

    let (status, body) = post("/introspect", &format!("Bearer {bound}"), None, question.clone()).await;
    assert_eq!((status, &body["error"]), (401, &json!("invalid_token")));
    let dpop = format!("DPoP {bound}");
    for wrong in [
        None,
        Some(proof(&other, &url, Some(&bound), "2")),
        Some(proof(&key, &format!("{ISSUER}/userinfo"), Some(&bound), "3")),
        Some(proof(&key, &url, None, "4")),
    ] {
        let (status, body) = post("/introspect", &dpop, wrong, question.clone()).await;
        assert_eq!(status, 401, "{body}");
    }
    let good = proof(&key, &url, Some(&bound), "5");
    let (status, body) = post("/introspect", &dpop, Some(good.clone()), question.clone()).await;
    assert_eq!((status, &body["active"]), (200, &json!(true)), "{body}");
    assert_eq!(post("/introspect", &dpop, Some(good), question).await.0, 401, "used twice");

    // Over gRPC it is for the path of the method.
    let ask = async |proof: String| {
        let message = pb::IntrospectRequest { token: asked.clone(), ..Default::default() };
        let mut request = Auth::header(&dpop).call(message);
        request.metadata_mut().insert("dpop", proof.parse().unwrap());
        wires[1].grpc().introspect(request).await
    };
    assert_eq!(wires[1].transport, Transport::Grpc);
    assert!(ask(proof(&key, &url, Some(&bound), "6")).await.is_err());
    let url = format!("{ISSUER}/mintage.token.v1.TokenService/Introspect");
    assert!(ask(proof(&key, &url, Some(&bound), "7")).await.unwrap().into_inner().active);
}
