//! How long a token lives: the client's lifetime, the caller's wish, the server's cap.

use mintage::grpc::pb::token as pb;
use prost_types::Duration;

use crate::support::{
    Auth, Issue, TestServer, Wire, error,
    jwt::claims,
    server::{CLIENTS, NOW},
};

// CHK-11, CHK-89
#[tokio::test(flavor = "multi_thread")]
async fn a_token_lives_as_long_as_its_client_says() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        for (client_id, lifetime) in [("rs256", 3600), ("es256", 300)] {
            let response = wire.issue(&Auth::of(client_id), &Issue::default()).await.unwrap();
            assert_eq!(response["expires_in"], lifetime);
            let claims = claims(response["access_token"].as_str().unwrap());
            assert_eq!(claims["iat"], NOW);
            assert_eq!(claims["nbf"], NOW);
            assert_eq!(claims["exp"], NOW + lifetime);
        }
    }
}

// A second is a second even in the middle of one.
#[tokio::test(flavor = "multi_thread")]
async fn times_are_whole_seconds() {
    let server = TestServer::start().await;
    server.clock.advance(std::time::Duration::from_millis(1_999));
    for wire in Wire::both(&server).await {
        let claims = claims(&wire.token("es256").await);
        assert_eq!(claims["iat"], NOW + 1);
        assert_eq!(claims["exp"], NOW + 301);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_is_granted_up_to_the_clients_lifetime() {
    let server = TestServer::shared().await;
    let [_, grpc] = Wire::both(server).await;
    for (seconds, nanos, granted) in [
        (1, 0, 1),
        (1, 999_999_999, 1),
        (60, 0, 60),
        (299, 999_999_999, 299),
        (300, 0, 300),
        (301, 0, 300),
        (i64::MAX, 0, 300),
        (i64::MAX, i32::MAX, 300),
    ] {
        let message = pb::IssueRequest { lifetime: Some(Duration { seconds, nanos }), ..Default::default() };
        let response = grpc.issue_message(&Auth::of("es256"), message).await.unwrap();
        let claims = claims(&response.access_token);
        let now = i64::try_from(NOW).unwrap();
        assert_eq!(response.expires_in.unwrap(), Duration { seconds: granted, nanos: 0 });
        assert_eq!(claims["exp"], now + granted);
        let instant = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        assert_eq!(response.expire_time, instant(now + granted));
        // Whoever keeps tokens asks again after four fifths of the lifetime.
        assert_eq!(response.refresh_time, instant(now + granted * 4 / 5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_for_no_time_is_refused() {
    let server = TestServer::shared().await;
    let [_, grpc] = Wire::both(server).await;
    for (seconds, nanos) in [
        (0, 0),
        (0, 1),
        (0, 999_999_999),
        (1, -1),
        (-1, 0),
        (0, -1),
        (-1, 999_999_999),
        (i64::MIN, 0),
        (i64::MIN, i32::MIN),
        (0, i32::MIN),
    ] {
        let message = pb::IssueRequest { lifetime: Some(Duration { seconds, nanos }), ..Default::default() };
        let outcome = grpc.issue_message(&Auth::of("es256"), message).await;
        assert_eq!(error(outcome), "invalid_request", "{seconds} s {nanos} ns");
    }
}

// The cap holds for clients that say nothing themselves.
#[tokio::test(flavor = "multi_thread")]
async fn the_default_lifetime_is_the_servers() {
    let toml = CLIENTS.replacen(
        "[limits]",
        "[tokens]\ndefault_lifetime = \"2m\"\nmax_lifetime = \"5m\"\n[limits]",
        1,
    );
    let server = TestServer::with(&toml).await;
    let [rest, grpc] = Wire::both(&server).await;
    for wire in [&rest, &grpc] {
        let response = wire.issue(&Auth::of("rs256"), &Issue::default()).await.unwrap();
        assert_eq!(response["expires_in"], 120);
    }
    let lifetime = Some(Duration { seconds: 300, nanos: 0 });
    let message = pb::IssueRequest { lifetime, ..Default::default() };
    let response = grpc.issue_message(&Auth::of("rs256"), message).await.unwrap();
    assert_eq!(response.expires_in.unwrap().seconds, 120);
}
