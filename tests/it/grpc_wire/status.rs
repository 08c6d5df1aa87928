//! Which status a call ends with (CHK-144, 147, 148).

use std::{future::Future, pin::pin, task::Poll};

use mintage::grpc::pb::token as pb;
use tonic::{Code, Request};

use crate::support::{
    Auth, Issue, TestServer, Wire,
    auth::{basic, secret_of},
    raw_grpc::{Connection, ISSUE, frame, framed},
};

const OK: Option<u16> = Some(0);
const DEADLINE_EXCEEDED: Option<u16> = Some(4);
const UNIMPLEMENTED: Option<u16> = Some(12);
const UNAUTHENTICATED: Option<u16> = Some(16);

fn issue() -> Vec<u8> {
    framed(&pb::IssueRequest::default())
}

// CHK-148, V-62, V-64
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_unimplemented() {
    let server = TestServer::start().await;
    let connection = Connection::open(&server).await;
    let authorization = basic("rs256", &secret_of("rs256"));
    for path in [
        "/mintage.token.v1.TokenService/Nothing",
        "/mintage.token.v1.TokenService/issue",
        "/mintage.token.v1.TokenService/Issue/",
        "/mintage.token.v1.TokenService/Issue;x",
        "/mintage.token.v1.TokenService//Issue",
        "//mintage.token.v1.TokenService/Issue",
        "/mintage.token.v1.TokenService%2FIssue",
        "/mintage.token.v1.tokenservice/Issue",
        "/mintage.token.v1.TokenService/",
        "/mintage.token.v2.TokenService/Issue",
        "/mintage.admin.v1.ClientService/ListClients",
        "/mintage.admin.v1.SigningKeyService/RotateSigningKey",
        "/grpc.channelz.v1.Channelz/GetServers",
        "/metrics",
        "/",
    ] {
        let answer = connection.call(path, &[("authorization", &authorization)], issue()).await.unwrap();
        assert_eq!((answer.http_status, answer.grpc_status), (200, UNIMPLEMENTED), "{path}");
        assert_eq!(answer.metadata["content-type"], "application/grpc", "{path}");
        assert_eq!(answer.told(), ("invalid_request", "INVALID_REQUEST".to_owned()), "{path}");
        assert!(!answer.metadata["grpc-message"].is_empty(), "{path}");
    }
    let answer = connection.call(ISSUE, &[("authorization", &authorization)], issue()).await.unwrap();
    assert_eq!(answer.grpc_status, OK);
}

// V-60: tonic has refused them before any of our code; what every refusal carries they carry too, and nobody is paged for them
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_read_is_the_callers_fault() {
    let server = TestServer::start().await;
    let connection = Connection::open(&server).await;
    let gzip = [("grpc-encoding", "gzip")];
    let unknown = [("grpc-encoding", "zstd")];
    for (name, headers, body) in [
        ("no protobuf", &[][..], frame(&[0xff, 0xff])),
        ("no message", &[], Vec::new()),
        ("two messages", &[], [issue(), issue()].concat()),
        ("a long message", &[], frame(&[0; 70_000])),
        ("many elements", &[], frame(&[10, 0].repeat(4097))),
        ("no gzip", &gzip, [&[1][..], &frame(b"x")[1..]].concat()),
        ("a compression that is not served", &unknown, [&[1][..], &frame(b"x")[1..]].concat()),
    ] {
        let answer = connection.call(ISSUE, headers, body).await.unwrap();
        assert_ne!(answer.grpc_status, OK, "{name}");
        assert_eq!(answer.told(), ("invalid_request", "INVALID_REQUEST".to_owned()), "{name}");
    }
    let count = |outcome| {
        server
            .metric(&format!("mintage_requests_total{{endpoint=\"other\",grant=\"\",outcome=\"{outcome}\"}}"))
    };
    assert_eq!((count("refused"), count("failed")), (7, 0));
}

// CHK-148, V-39
#[tokio::test(flavor = "multi_thread")]
async fn doubled_authorization_metadata_is_unauthenticated() {
    let server = TestServer::start().await;
    let connection = Connection::open(&server).await;
    let (good, other) = (basic("rs256", &secret_of("rs256")), basic("es256", &secret_of("es256")));
    for second in [&good, &other] {
        let headers = [("authorization", good.as_str()), ("authorization", second.as_str())];
        let answer = connection.call(ISSUE, &headers, issue()).await.unwrap();
        assert_eq!(answer.grpc_status, UNAUTHENTICATED);
        assert_eq!(answer.metadata["oauth-error"], "invalid_client");
    }
}

// CHK-144: the reason is for the log; on the wire all failed logins are one, and REST's words are gRPC's
#[tokio::test(flavor = "multi_thread")]
async fn failed_logins_cannot_be_told_apart() {
    let server = TestServer::start().await;
    let connection = Connection::open(&server).await;
    let mut answers = Vec::new();
    for authorization in [
        basic("rs256", "wrong"),
        basic("nobody", "wrong"),
        basic("disabled", &secret_of("disabled")),
        basic("post-only", &secret_of("post-only")),
        basic("public", "x"),
        basic("rs256", ""),
        "Basic ?".to_owned(),
        "Bearer x".to_owned(),
    ] {
        let answer = connection.call(ISSUE, &[("authorization", &authorization)], issue()).await.unwrap();
        let mut metadata: Vec<_> = answer.metadata.into_iter().collect();
        metadata.retain(|(name, _)| name != "x-request-id" && name != "date");
        metadata.sort();
        answers.push((answer.http_status, answer.grpc_status, metadata, answer.body));
    }
    assert_eq!(answers[0].1, UNAUTHENTICATED);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
}

// CHK-147
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_has_passed_ends_the_call_and_nothing_else() {
    let server = TestServer::start().await;
    let connection = Connection::open(&server).await;
    // The first login of a client costs an Argon2id hash, which takes longer than any of these.
    let authorization = basic("rs256", &secret_of("rs256"));
    for deadline in ["1n", "1u", "1m"] {
        let headers = [("authorization", authorization.as_str()), ("grpc-timeout", deadline)];
        let answer = connection.call(ISSUE, &headers, issue()).await.unwrap();
        assert_eq!((answer.http_status, answer.grpc_status), (200, DEADLINE_EXCEEDED), "{deadline}");
    }
    let generous = [("authorization", authorization.as_str()), ("grpc-timeout", "10S")];
    assert_eq!(connection.call(ISSUE, &generous, issue()).await.unwrap().grpc_status, OK);
}

// CHK-147
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_calls_leave_the_server_as_it_was() {
    let server = TestServer::start().await;
    let [rest, wire] = Wire::both(&server).await;
    for _ in 0..50 {
        let mut grpc = wire.grpc();
        let mut request = Request::new(pb::IssueRequest::default());
        request.metadata_mut().insert("authorization", basic("rs256", "wrong").parse().unwrap());
        let mut call = pin!(grpc.issue(request));
        // Polled until the request is on its way, then dropped: the stream is reset.
        for _ in 0..3 {
            let poll = std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
            assert!(poll.is_pending() || poll.is_ready());
            tokio::task::yield_now().await;
        }
    }
    for wire in [rest, wire] {
        wire.issue(&Auth::of("rs256"), &Issue::default()).await.unwrap();
    }
}

// CHK-144
#[tokio::test(flavor = "multi_thread")]
async fn an_error_carries_no_message_of_a_body_and_a_success_no_error() {
    let server = TestServer::start().await;
    let connection = Connection::open(&server).await;
    let refused = connection.call(ISSUE, &[], issue()).await.unwrap();
    assert_eq!((refused.grpc_status, refused.body.len()), (UNAUTHENTICATED, 0));
    assert!(refused.metadata.contains_key("grpc-status-details-bin"));
    assert!(refused.metadata.contains_key("x-request-id"));
    let authorization = basic("rs256", &secret_of("rs256"));
    let granted = connection.call(ISSUE, &[("authorization", &authorization)], issue()).await.unwrap();
    assert!(!granted.metadata.contains_key("oauth-error") && granted.grpc_status == OK);

    let mut grpc = Wire::both(&server).await[1].grpc();
    let status = grpc.user_info(pb::UserInfoRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}
