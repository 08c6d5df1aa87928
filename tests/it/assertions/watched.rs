//! Whoever follows the revocations authenticates once: an assertion cannot be presented again at every heartbeat.

use std::time::Duration;

use mintage::grpc::pb::token::{
    self as pb, key_service_client::KeyServiceClient, watch_revocations_request::ClientAuthentication,
};
use tokio::time::timeout;
use tonic::{Code, transport::Channel};

use super::*;

const HS: &str = "0123456789abcdef0123456789abcdef";

fn clients(key: &ClientKey, secret: &str) -> String {
    format!(
        "{SETTINGS}{}\n[[clients]]\nclient_id = \"c2\"\nclient_secret = \"{secret}\"\nintrospect = \"any\"\n\
         token_endpoint_auth_method = \"client_secret_jwt\"\n",
        keyed_client("c1", &[key], "introspect = \"any\""),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_stays_until_its_registration_changes() {
    let key = ClientKey::generate("ES256", "k1");
    let server = TestServer::with_environment(&clients(&key, HS), &[("JWT_SECRET", "")]).await;
    let channel = Channel::from_shared(server.url("")).unwrap().connect().await.unwrap();
    let mut grpc = KeyServiceClient::new(channel);
    let mut watch = async |assertion: String| {
        let request = pb::WatchRevocationsRequest {
            client_authentication: Some(ClientAuthentication::ClientAssertion(pb::ClientAssertion {
                client_id: String::new(),
                client_assertion_type: JWT_BEARER.to_owned(),
                client_assertion: assertion,
            })),
            heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            ..Default::default()
        };
        grpc.watch_revocations(request).await.map(tonic::Response::into_inner)
    };
    let used = key.assertion("ES256", &claims("c1"));
    let mut by_key = watch(used.clone()).await.unwrap();
    let mut by_secret = watch(by_secret("HS256", HS, &claims("c2"))).await.unwrap();
    assert_eq!(watch(used).await.unwrap_err().code(), Code::Unauthenticated);

    // Several heartbeats, and a reload that changes nothing of them.
    for stream in [&mut by_key, &mut by_secret] {
        for _ in 0..3 {
            assert!(stream.message().await.unwrap().is_some());
        }
    }
    server.reload(&clients(&key, HS)).await.unwrap();
    for stream in [&mut by_key, &mut by_secret] {
        for _ in 0..3 {
            assert!(stream.message().await.unwrap().is_some());
        }
    }
    // Another key, and another secret: whoever has the old ones may follow no longer.
    let other = ClientKey::generate("ES256", "k1");
    server.reload(&clients(&other, &HS.to_uppercase())).await.unwrap();
    for mut stream in [by_key, by_secret] {
        let ended = async {
            loop {
                match stream.message().await {
                    Ok(message) => assert!(message.is_some(), "it must end with a status"),
                    Err(status) => break status,
                }
            }
        };
        let status = timeout(Duration::from_secs(30), ended).await.expect("it ends");
        assert_eq!(status.code(), Code::Unauthenticated);
    }
}
