//! Health, reflection and gRPC-Web: what tools and browsers expect on the port.

use base64::engine::{Engine, general_purpose::STANDARD};
use mintage::{
    grpc::pb::token as pb,
    readiness::Readiness,
    serve::{self, Limits, Shutdown},
    telemetry::{Metrics, Telemetry},
};
use prost::Message;
use tokio::net::TcpListener;
use tonic::{Code, codegen::tokio_stream, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb as reflection;

use crate::support::{
    TestServer,
    auth::{basic, secret_of},
    http::{Reply, send},
    raw_grpc::{Connection, ISSUE, frame, framed},
};

async fn channel(url: String) -> Channel {
    Channel::from_shared(url).unwrap().connect().await.unwrap()
}

async fn health(client: &mut HealthClient<Channel>, service: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest { service: service.to_owned() };
    Ok(client.check(request).await.map_err(|status| status.code())?.into_inner().status())
}

// CHK-145
#[tokio::test(flavor = "multi_thread")]
async fn health_is_serving_once_it_is_and_not_before() {
    let server = TestServer::start().await;
    let mut client = HealthClient::new(channel(server.url("")).await);
    for service in ["", "mintage.token.v1.TokenService"] {
        assert_eq!(health(&mut client, service).await, Ok(ServingStatus::Serving), "{service}");
    }
    assert_eq!(health(&mut client, "mintage.token.v2.TokenService").await, Err(Code::NotFound));
    let mut ops = HealthClient::new(channel(format!("http://{}", server.ops)).await);
    assert_eq!(health(&mut ops, "").await, Ok(ServingStatus::Serving));

    // The same routes before anybody says that they are ready.
    let (routes, switch) = server.core.routes(&server.config, &Readiness::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let telemetry = Telemetry::new(Metrics::new("test", std::time::UNIX_EPOCH));
    let shutdown = Shutdown::new();
    tokio::spawn(serve::serve(listener, routes, Limits::default(), telemetry, shutdown.clone()));
    let mut client = HealthClient::new(channel(url).await);
    for (serving, expected) in [
        (None, ServingStatus::NotServing),
        (Some(true), ServingStatus::Serving),
        (Some(false), ServingStatus::NotServing),
    ] {
        if let Some(serving) = serving {
            switch.set_serving(serving).await;
        }
        for service in ["", "mintage.token.v1.TokenService"] {
            assert_eq!(health(&mut client, service).await, Ok(expected), "{serving:?} {service}");
        }
    }
    shutdown.force();
}

/// The names that one version of reflection lists, and the files of the token service.
macro_rules! reflect {
    ($version:ident, $channel:expr) => {{
        use reflection::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let ask = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
        let requests = [
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol("mintage.token.v1.TokenService.Issue".to_owned())),
        ];
        let mut client = ServerReflectionClient::new($channel);
        match client.server_reflection_info(tokio_stream::iter(requests)).await {
            Err(status) => Err(status.code()),
            Ok(response) => {
                let mut responses = response.into_inner();
                let first = responses.message().await.unwrap().unwrap().message_response.unwrap();
                let MessageResponse::ListServicesResponse(list) = first else { panic!("{first:?}") };
                let second = responses.message().await.unwrap().unwrap().message_response.unwrap();
                let MessageResponse::FileDescriptorResponse(files) = second else { panic!("{second:?}") };
                let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
                Ok((names, files.file_descriptor_proto))
            }
        }
    }};
}

// V-64
#[tokio::test(flavor = "multi_thread")]
async fn reflection_of_both_versions_tells_the_schema_when_it_is_on() {
    let server = TestServer::start().await;
    let channel = channel(server.url("")).await;
    for answer in [reflect!(v1, channel.clone()), reflect!(v1alpha, channel.clone())] {
        let (names, files) = answer.unwrap();
        for name in ["mintage.token.v1.TokenService", "grpc.health.v1.Health"] {
            assert!(names.iter().any(|listed| listed == name), "{names:?}");
        }
        assert!(!names.iter().any(|listed| listed.contains("admin")), "{names:?}");
        let file = prost_types::FileDescriptorProto::decode(&*files[0]).unwrap();
        assert_eq!(file.package(), "mintage.token.v1");
        let methods: Vec<&str> = file.service[0].method.iter().map(|method| method.name()).collect();
        assert_eq!(methods, ["Issue", "Introspect", "BatchIntrospect", "Revoke", "UserInfo"]);
    }
}

// V-64
#[tokio::test(flavor = "multi_thread")]
async fn reflection_that_is_off_is_unimplemented() {
    let off = [("MINTAGE_REFLECTION_ENABLED", "false")];
    let server = TestServer::with_environment(crate::support::server::CLIENTS, &off).await;
    let channel = channel(server.url("")).await;
    assert_eq!(reflect!(v1, channel.clone()).unwrap_err(), Code::Unimplemented);
    assert_eq!(reflect!(v1alpha, channel.clone()).unwrap_err(), Code::Unimplemented);
    let mut client = HealthClient::new(channel);
    assert_eq!(health(&mut client, "").await, Ok(ServingStatus::Serving));
}

async fn web(server: &TestServer, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    send(server, "POST", path, headers, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_web_over_http1_gives_a_token() {
    let server = TestServer::start().await;
    let authorization = basic("rs256", &secret_of("rs256"));
    let authorization = ("authorization", authorization.as_str());
    let message = framed(&pb::IssueRequest::default());

    for content_type in
        ["application/grpc-web+proto", "application/grpc-web", "application/grpc-web-text+proto"]
    {
        let text = content_type.contains("text");
        let body = if text { STANDARD.encode(&message).into_bytes() } else { message.clone() };
        let headers = [("content-type", content_type), ("accept", content_type), authorization];
        let reply = web(&server, ISSUE, &headers, &body).await;
        assert_eq!(reply.status, 200, "{content_type}");
        let body = if text { decode_pieces(&reply.body) } else { reply.body.clone() };
        let length = u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize;
        let response = pb::IssueResponse::decode(&body[5..5 + length]).unwrap();
        assert_eq!(response.access_token.split('.').count(), 3, "{content_type}");
        let trailers = &body[5 + length..];
        assert_eq!(trailers[0], 0x80, "a frame of trailers");
        assert!(String::from_utf8_lossy(trailers).contains("grpc-status:0"), "{content_type}");
    }
    let headers = [("content-type", "application/grpc-web+proto")];
    let refused = web(&server, ISSUE, &headers, &message).await;
    let everything = format!("{:?}{}", refused.headers, String::from_utf8_lossy(&refused.body));
    assert_eq!(refused.status, 200);
    assert!(everything.contains("grpc-status") && everything.contains("invalid_client"), "{everything}");
    let unknown = web(&server, "/mintage.token.v1.TokenService/Nothing", &headers, &message).await;
    assert_eq!((unknown.status, unknown.header("grpc-status")), (200, Some("12")));
    assert!(!refused.has_header_like("access-control-"), "V-41");
}

/// gRPC-Web text: base64 pieces one after another, each with its own padding.
fn decode_pieces(text: &[u8]) -> Vec<u8> {
    text.chunks(4).flat_map(|piece| STANDARD.decode(piece).unwrap()).collect()
}

// V-63
#[tokio::test(flavor = "multi_thread")]
async fn grpc_and_rest_are_not_mistaken_for_each_other() {
    let server = TestServer::start().await;
    let message = framed(&pb::IssueRequest::default());
    let plain = web(&server, ISSUE, &[("content-type", "application/grpc")], &message).await;
    assert_eq!(plain.status, 505, "gRPC over HTTP/1.1");
    for content_type in ["application/json", "application/grpc+json", "application/x-www-form-urlencoded"] {
        let reply = web(&server, ISSUE, &[("content-type", content_type)], b"{}").await;
        assert_eq!(reply.status, 415, "{content_type}");
        assert_eq!(reply.header("grpc-status"), None);
    }
    let connection = Connection::open(&server).await;
    let at_rest = connection.call("/token", &[], frame(b"grant_type=client_credentials")).await.unwrap();
    assert_eq!((at_rest.http_status, at_rest.grpc_status), (415, None), "gRPC on a REST path");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = connection.call("/token", &form, "grant_type=client_credentials").await.unwrap();
    assert_eq!((answer.http_status, answer.grpc_status), (400, None), "REST over HTTP/2");
}
