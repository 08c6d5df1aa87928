//! Resource servers that follow the keys and the revocations, and what a rotation looks like from outside.

use std::time::Duration;

use mintage::{
    clock::Clock,
    grpc::pb::token::{
        self as pb, key_service_client::KeyServiceClient, revocation::Revoked,
        watch_revocations_request::ClientAuthentication,
    },
    jose::SigningAlgorithm,
};
use serde_json::Value;
use tokio::time::timeout;
use tonic::{Code, Request, Status, Streaming, transport::Channel};

use crate::support::{
    Auth, TestServer, Wire, jwt::header, patience::PATIENCE, process::Process, server::CLIENTS,
};

#[path = "../../examples/resource_server.rs"]
mod resource_server;

use resource_server::{Refusal, Validator};

const ALG: SigningAlgorithm = SigningAlgorithm::EdDSA;

async fn client(address: impl std::fmt::Display) -> KeyServiceClient<Channel> {
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    KeyServiceClient::new(channel)
}

/// The next message, or the status that the stream ended with.
async fn next<T>(stream: &mut Streaming<T>) -> Result<T, Status> {
    let message = timeout(PATIENCE, stream.message()).await.expect("a message in time");
    message.map(|message| message.expect("a stream ends with a status"))
}

fn watch(client_id: &str, cursor: &str) -> pb::WatchRevocationsRequest {
    pb::WatchRevocationsRequest {
        cursor: cursor.to_owned(),
        heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        client_id: String::new(),
        client_authentication: Some(ClientAuthentication::ClientSecret(pb::ClientSecret {
            client_id: client_id.to_owned(),
            client_secret: if client_id == "resource-server" {
                "rs-secret".to_owned()
            } else {
                format!("secret-of-{client_id}")
            },
        })),
    }
}

async fn follow(
    server: &TestServer,
    request: pb::WatchRevocationsRequest,
) -> Result<Streaming<pb::WatchRevocationsResponse>, Status> {
    Ok(client(server.address).await.watch_revocations(request).await?.into_inner())
}

/// The next message that tells of a revocation.
async fn news(stream: &mut Streaming<pb::WatchRevocationsResponse>) -> pb::WatchRevocationsResponse {
    loop {
        let message = next(stream).await.unwrap();
        if !message.revocations.is_empty() {
            return message;
        }
    }
}

fn token_ids(message: &pb::WatchRevocationsResponse) -> Vec<String> {
    let ids = message.revocations.iter().filter_map(|revocation| match &revocation.revoked {
        Some(Revoked::TokenId(id)) => Some(id.clone()),
        _ => None,
    });
    ids.collect()
}

fn jti(token: &str) -> String {
    crate::support::jwt::claims(token)["jti"].as_str().unwrap().to_owned()
}

/// The key set over REST: its ETag and its keys.
async fn document(server: &TestServer) -> (String, Value) {
    let response = reqwest::get(server.url("/.well-known/jwks.json")).await.unwrap();
    let etag = response.headers()["etag"].to_str().unwrap().to_owned();
    (etag, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

fn kids(set: &Value) -> Vec<String> {
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

// V-31
#[tokio::test(flavor = "multi_thread")]
async fn the_key_set_is_the_same_over_both_transports() {
    let server = TestServer::shared().await;
    let rest = reqwest::get(server.url("/.well-known/jwks.json")).await.unwrap().bytes().await.unwrap();
    let set = client(server.address).await.get_jwks(pb::GetJwksRequest {}).await.unwrap().into_inner();
    assert_eq!(set.jwks_json, rest);
    assert_eq!(set.max_age.unwrap().seconds, 300);
    let json: Value = serde_json::from_slice(&rest).unwrap();
    for (message, json) in set.keys.iter().zip(json["keys"].as_array().unwrap()) {
        let fields = [
            ("kid", &message.kid),
            ("kty", &message.kty),
            ("use", &message.r#use),
            ("alg", &message.alg),
            ("n", &message.n),
            ("e", &message.e),
            ("crv", &message.crv),
            ("x", &message.x),
            ("y", &message.y),
        ];
        for (name, value) in fields {
            assert_eq!(value, json[name].as_str().unwrap_or_default(), "{name}");
        }
    }
    assert_eq!(set.keys.len(), 5);
}

// V-31, CHK-85, CHK-86, I5
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_seen_from_outside() {
    let server = TestServer::start().await;
    let mut watcher =
        client(server.address).await.watch_jwks(pb::WatchJwksRequest {}).await.unwrap().into_inner();
    assert_eq!(next(&mut watcher).await.unwrap().keys.len(), 5, "at once");
    let [rest, grpc] = Wire::both(&server).await;
    let old_token = rest.token("eddsa").await;
    let (old_etag, _) = document(&server).await;

    let key = server.core.key_admin.rotate(ALG).await.unwrap();
    let told = next(&mut watcher).await.unwrap();
    let (etag, set) = document(&server).await;
    assert_ne!(etag, old_etag);
    assert!(kids(&set).contains(&key.kid), "published before it signs");
    assert_eq!(serde_json::from_slice::<Value>(&told.jwks_json).unwrap(), set);
    assert_eq!(header(&rest.token("eddsa").await)["kid"], header(&old_token)["kid"]);
    for key in set["keys"].as_array().unwrap() {
        let members: Vec<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(
            members.iter().all(|name| ["kty", "use", "alg", "kid", "crv", "x", "y", "n", "e"].contains(name)),
            "{members:?}"
        );
        assert_eq!(key["kid"], super::keys::thumbprint(key));
    }

    let ahead = server.core.keys.timing().publish_ahead();
    assert!(ahead >= server.core.keys.timing().jwks_max_age * 2);
    server.clock.advance(ahead);
    server.core.keys.refresh(server.clock.now());
    let new_token = grpc.token("eddsa").await;
    assert_eq!(header(&new_token)["kid"], key.kid);
    assert_eq!(document(&server).await.0, etag, "the same keys are published");
}

// F-11
#[tokio::test(flavor = "multi_thread")]
async fn a_compromised_key_seen_from_outside() {
    let server = TestServer::start().await;
    let [rest, grpc] = Wire::both(&server).await;
    let old_token = rest.token("eddsa").await;
    let other_token = rest.token("es256").await;
    assert!(rest.is_active(&old_token).await);
    let mut revocations = follow(&server, watch("resource-server", "")).await.unwrap();
    let mut keys =
        client(server.address).await.watch_jwks(pb::WatchJwksRequest {}).await.unwrap().into_inner();
    next(&mut keys).await.unwrap();

    let old = header(&old_token)["kid"].as_str().unwrap().to_owned();
    let (_, successor) = server.core.key_admin.revoke(&old).await.unwrap();
    let successor = successor.unwrap().kid;
    for wire in [&rest, &grpc] {
        assert!(!wire.is_active(&old_token).await);
        assert!(wire.is_active(&other_token).await, "other keys are not concerned");
        let token = wire.token("eddsa").await;
        assert_eq!(header(&token)["kid"], successor);
        assert!(wire.is_active(&token).await);
    }
    let told = next(&mut keys).await.unwrap();
    let told: Vec<String> = told.keys.into_iter().map(|key| key.kid).collect();
    assert!(told.contains(&successor) && !told.contains(&old));
    assert!(!kids(&document(&server).await.1).contains(&old));
    let told = news(&mut revocations).await;
    assert_eq!(told.revocations[0].revoked, Some(Revoked::Kid(old)));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_introspect_every_token_follows_revocations() {
    let server = TestServer::shared().await;
    for (request, code, error) in [
        (pb::WatchRevocationsRequest::default(), Code::Unauthenticated, "invalid_client"),
        (watch("disabled", ""), Code::Unauthenticated, "invalid_client"),
        (watch("es256", ""), Code::PermissionDenied, "unauthorized_client"),
        (watch("resource-server", "nonsense"), Code::InvalidArgument, "invalid_request"),
    ] {
        let status = follow(server, request).await.unwrap_err();
        assert_eq!(
            (status.code(), status.metadata().get("oauth-error").unwrap().to_str().unwrap()),
            (code, error)
        );
    }
    let too_often = pb::WatchRevocationsRequest {
        heartbeat_interval: Some(prost_types::Duration { seconds: 0, nanos: 1 }),
        ..watch("resource-server", "")
    };
    assert_eq!(follow(server, too_often).await.unwrap_err().code(), Code::InvalidArgument);
    // By metadata, like every other call.
    let mut request = Request::new(pb::WatchRevocationsRequest::default());
    let basic = &Auth::basic("resource-server", "rs-secret").headers()[0];
    request.metadata_mut().insert("authorization", basic.parse().unwrap());
    let mut stream = client(server.address).await.watch_revocations(request).await.unwrap().into_inner();
    assert!(next(&mut stream).await.unwrap().reset);
}

#[tokio::test(flavor = "multi_thread")]
async fn revocations_are_followed_and_resumed() {
    let server = TestServer::start().await;
    let [rest, _] = Wire::both(&server).await;
    let tokens = [rest.token("rs256").await, rest.token("rs256").await, rest.token("es256").await];
    rest.revoke(&Auth::of("rs256"), &tokens[0], "").await.unwrap();

    let mut stream = follow(&server, watch("resource-server", "")).await.unwrap();
    let first = next(&mut stream).await.unwrap();
    assert!(first.reset, "it begins");
    let first = if first.revocations.is_empty() { news(&mut stream).await } else { first };
    assert_eq!(token_ids(&first), [jti(&tokens[0])]);
    assert!(first.caught_up && first.staleness.is_some());
    assert!(
        first.revocations[0].expire_time.unwrap().seconds > first.revocations[0].revoke_time.unwrap().seconds
    );

    // Nothing happens: heartbeats.
    let quiet = next(&mut stream).await.unwrap();
    assert!(quiet.revocations.is_empty() && quiet.caught_up && !quiet.reset);

    let begun = std::time::Instant::now();
    rest.revoke(&Auth::of("rs256"), &tokens[1], "").await.unwrap();
    assert_eq!(token_ids(&news(&mut stream).await), [jti(&tokens[1])]);
    println!("told {:.1?} after it was asked for", begun.elapsed());
    drop(stream);

    // Missed while away, and told to whoever goes on from the cursor.
    rest.revoke(&Auth::of("es256"), &tokens[2], "").await.unwrap();
    let mut stream = follow(&server, watch("resource-server", &first.cursor)).await.unwrap();
    let (mut told, mut last) = (Vec::new(), None);
    while told.len() < 2 {
        let message = next(&mut stream).await.unwrap();
        assert!(!message.reset);
        told.extend(token_ids(&message));
        last = Some(message.cursor);
    }
    assert_eq!(told, [jti(&tokens[1]), jti(&tokens[2])]);
    let mut stream = follow(&server, watch("resource-server", &last.unwrap())).await.unwrap();
    let message = next(&mut stream).await.unwrap();
    assert!(message.revocations.is_empty() && !message.reset);

    // Another history: everything, from the beginning.
    let mut stream = follow(&server, watch("resource-server", "another.7")).await.unwrap();
    let message = next(&mut stream).await.unwrap();
    assert!(message.reset);
    assert_eq!(token_ids(&message).len(), 3);
}

// V-25
#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_a_disabled_client_ends() {
    let server = TestServer::start().await;
    let mut stream = follow(&server, watch("resource-server", "")).await.unwrap();
    next(&mut stream).await.unwrap();
    server.reload(&CLIENTS.replace("introspect = \"any\"", "introspect = \"own\"")).await.unwrap();
    let ended = async {
        loop {
            if let Err(status) = next(&mut stream).await {
                return status.code();
            }
        }
    };
    assert_eq!(timeout(PATIENCE, ended).await.unwrap(), Code::PermissionDenied);
}

// V-25: whoever always has something to hear is asked for his right all the same
#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_a_disabled_client_ends_while_there_is_news() {
    let server = TestServer::start().await;
    let [rest, _] = Wire::both(&server).await;
    let mut stream = follow(&server, watch("resource-server", "")).await.unwrap();
    next(&mut stream).await.unwrap();
    server.reload(&CLIENTS.replace("introspect = \"any\"", "introspect = \"own\"")).await.unwrap();
    let revoking = async {
        loop {
            let token = rest.token("rs256").await;
            rest.revoke(&Auth::of("rs256"), &token, "").await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let ended = async {
        loop {
            if let Err(status) = next(&mut stream).await {
                return status.code();
            }
        }
    };
    tokio::select! {
        () = revoking => {}
        code = timeout(PATIENCE, ended) => assert_eq!(code.unwrap(), Code::PermissionDenied),
    }
}

// F-27: an open stream does not hold up the end
#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_the_server() {
    let mut process = Process::start(CLIENTS).await;
    let mut client = client(process.address).await;
    let mut keys = client.watch_jwks(pb::WatchJwksRequest {}).await.unwrap().into_inner();
    let mut revocations = client.watch_revocations(watch("resource-server", "")).await.unwrap().into_inner();
    next(&mut keys).await.unwrap();
    next(&mut revocations).await.unwrap();
    process.signal("TERM");
    assert_eq!(next(&mut keys).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(next(&mut revocations).await.unwrap_err().code(), Code::Unavailable);
    drop(client);
    assert!(process.ended().await.success());
    assert!(!process.stderr().contains("connections were dropped"), "{}", process.stderr());
}

// I2: the example learns of a revocation, and how soon is printed
#[tokio::test(flavor = "multi_thread")]
async fn a_resource_server_validates_by_itself() {
    let server = Process::start(CLIENTS).await;
    let issuer = format!("http://{}", server.address);
    let post = async |path: &str, form: &[(&str, &str)]| {
        let body: Vec<String> = form.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = reqwest::Client::new()
            .post(format!("{issuer}{path}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", &Auth::of("es256").headers()[0])
            .body(body.join("&"));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.text().await.unwrap()
    };
    let token = async || {
        let answer = post("/token", &[("grant_type", "client_credentials")]).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    };
    let own =
        pb::ClientSecret { client_id: "resource-server".to_owned(), client_secret: "rs-secret".to_owned() };
    let client = client(server.address).await;
    let [good, revoked] = [token().await, token().await];
    let validator = Validator::follow(client.clone(), own.clone(), &issuer, "https://api.example");
    let elsewhere = Validator::follow(client.clone(), own, &issuer, "https://other.example");
    let wrong =
        pb::ClientSecret { client_id: "resource-server".to_owned(), client_secret: "wrong".to_owned() };
    let refused = Validator::follow(client, wrong, &issuer, "https://api.example");
    let learns = async |validator: &Validator, token: &str, expected: Option<Refusal>| {
        let begun = std::time::Instant::now();
        while validator.validate(token).err() != expected {
            assert!(begun.elapsed() < PATIENCE, "{:?}", validator.validate(token));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        begun.elapsed()
    };
    learns(&validator, &revoked, None).await;
    learns(&refused, &good, Some(Refusal::NotKnown)).await;
    learns(&elsewhere, &good, Some(Refusal::Invalid)).await;
    assert_eq!(validator.validate(&format!("{good}A")).unwrap_err(), Refusal::Invalid);
    assert_eq!(validator.validate("a.b.c").unwrap_err(), Refusal::Invalid);

    post("/revoke", &[("token", &revoked)]).await;
    let after = learns(&validator, &revoked, Some(Refusal::Revoked)).await;
    println!("the resource server refuses it after {after:.1?}");
    assert_eq!(validator.validate(&good).unwrap().sub, "es256");
}
