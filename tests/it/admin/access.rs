//! Who may call the admin services, and where they are.

use mintage::grpc::pb::admin::{self as pb, client_service_client::ClientServiceClient};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::support::{
    admin::{AdminServer, SECRET, client},
    raw_grpc::{Connection, frame},
    server::NOW,
};

fn oauth_error(status: &Status) -> &str {
    status.metadata().get("oauth-error").map_or("", |value| value.to_str().unwrap())
}

fn get() -> pb::GetClientRequest {
    pb::GetClientRequest { client_id: "plain".to_owned() }
}

// CHK-34
#[tokio::test(flavor = "multi_thread")]
async fn a_call_needs_a_token_with_the_scope_for_it() {
    let server = AdminServer::start().await;
    for (caller, read, write) in [
        ("operator", None, None),
        ("viewer", None, Some("insufficient_scope")),
        ("plain", Some("insufficient_scope"), Some("insufficient_scope")),
        ("registrar", Some("insufficient_scope"), Some("insufficient_scope")),
        // Its token is for another resource server.
        ("elsewhere", Some("invalid_token"), Some("invalid_token")),
    ] {
        let mut admin = server.as_client(caller).await;
        let check = |result: Result<(), Status>, expected: Option<&str>| match (result, expected) {
            (Ok(()), None) => {}
            (Err(status), Some(code)) => {
                let info = status.get_details_error_info().unwrap();
                assert_eq!((oauth_error(&status), info.domain.as_str()), (code, "mintage"), "{caller}");
                assert_eq!(info.reason, code.to_uppercase());
                let expected =
                    if code == "invalid_token" { Code::Unauthenticated } else { Code::PermissionDenied };
                assert_eq!(status.code(), expected, "{caller}");
            }
            (result, expected) => panic!("{caller}: {result:?}, not {expected:?}"),
        };
        let id = || "plain".to_owned();
        check(admin.get_client(get()).await.map(drop), read);
        check(admin.list_clients(pb::ListClientsRequest::default()).await.map(drop), read);
        check(
            admin
                .explain_token(pb::ExplainTokenRequest { client_id: id(), ..Default::default() })
                .await
                .map(drop),
            read,
        );
        let create = pb::CreateClientRequest { client: Some(client("", "read")), ..Default::default() };
        check(admin.create_client(create).await.map(drop), write);
        // None of the tokens here.
        let until = Some(prost_types::Timestamp { seconds: i64::try_from(NOW).unwrap() - 1, nanos: 0 });
        let revoke = pb::RevokeClientTokensRequest { client_id: id(), issued_until_time: until };
        check(admin.revoke_client_tokens(revoke).await.map(drop), write);
        // Who may write is told that there is nothing to write; who may not is told that first.
        let refused = write.unwrap_or("");
        for status in [
            admin
                .update_client(pb::UpdateClientRequest {
                    client: Some(client("no", "x")),
                    ..Default::default()
                })
                .await
                .unwrap_err(),
            admin
                .delete_client(pb::DeleteClientRequest { client_id: "no".to_owned(), ..Default::default() })
                .await
                .unwrap_err(),
            admin
                .add_client_secret(pb::AddClientSecretRequest {
                    client_id: "no".to_owned(),
                    ..Default::default()
                })
                .await
                .unwrap_err(),
            admin
                .retire_client_secret(pb::RetireClientSecretRequest {
                    client_id: "no".to_owned(),
                    ..Default::default()
                })
                .await
                .unwrap_err(),
        ] {
            assert_eq!(oauth_error(&status), refused, "{caller}");
            assert_eq!(status.code() == Code::NotFound, write.is_none());
        }
        let secrets = pb::ListClientSecretsRequest { client_id: "no".to_owned() };
        let status = admin.list_client_secrets(secrets).await.unwrap_err();
        assert_eq!(oauth_error(&status), read.unwrap_or(""), "{caller}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_a_good_token_is_unauthenticated() {
    let server = AdminServer::start().await;
    let token = server.token("operator", SECRET).await.unwrap();
    let mut forged = token.clone();
    forged.replace_range(forged.len() - 6.., "AAAAAA");
    for bad in ["", "x", &forged] {
        let status = server.as_bearer(bad).await.get_client(get()).await.unwrap_err();
        assert_eq!((status.code(), oauth_error(&status)), (Code::Unauthenticated, "invalid_token"));
    }
    let mut ops = ClientServiceClient::new(server.channel(server.ops).await);
    let mut twice = Request::new(get());
    for _ in 0..2 {
        twice.metadata_mut().append("authorization", format!("Bearer {token}").parse().unwrap());
    }
    assert_eq!(ops.get_client(twice).await.unwrap_err().code(), Code::InvalidArgument);

    let mut admin = server.as_bearer(&token).await;
    admin.get_client(get()).await.unwrap();
    server.clock.advance(std::time::Duration::from_secs(3600));
    assert_eq!(admin.get_client(get()).await.unwrap_err().code(), Code::Unauthenticated);
}

// V-25
#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_who_is_disabled_revoked_or_demoted_is_none() {
    let server = AdminServer::start().await;
    let mut operator = server.operator().await;
    for change in ["disable", "revoke", "demote"] {
        let (created, secret) = operator.create(client(change, "mintage:admin read")).await;
        let token = server.token(&created.client_id, &secret).await.unwrap();
        let mut second = server.as_bearer(&token).await;
        second.get_client(get()).await.unwrap();
        let mut changed = client(change, "read");
        if change == "revoke" {
            let request =
                pb::RevokeClientTokensRequest { client_id: change.to_owned(), issued_until_time: None };
            operator.revoke_client_tokens(request).await.unwrap();
            server.core.replica.sync().await.unwrap();
        } else {
            changed.enabled = (change == "disable").then_some(false);
            let request = pb::UpdateClientRequest { client: Some(changed), ..Default::default() };
            operator.update_client(request).await.unwrap();
        }
        let status = second.get_client(get()).await.unwrap_err();
        let expected = if change == "demote" { Code::PermissionDenied } else { Code::Unauthenticated };
        assert_eq!(status.code(), expected, "{change}");
    }
}

// V-64
#[tokio::test(flavor = "multi_thread")]
async fn the_public_port_has_no_admin_services() {
    let server = AdminServer::start().await;
    let token = server.token("operator", SECRET).await.unwrap();
    let mut public = ClientServiceClient::new(server.channel(server.address).await);
    let mut request = Request::new(get());
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    assert_eq!(public.get_client(request).await.unwrap_err().code(), Code::Unimplemented);
    let reply = server.http("GET", "/mintage.admin.v1.ClientService/GetClient", Some(&token), None).await;
    assert_eq!(reply.status, 404);
}

// V-64
#[tokio::test(flavor = "multi_thread")]
async fn each_port_reflects_its_own_services_alone() {
    let server = AdminServer::start().await;
    let names = async |address| {
        use tonic_reflection::pb::v1::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let ask = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
        let requests = [
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol("mintage.admin.v1.ClientService".to_owned())),
        ];
        let mut client = ServerReflectionClient::new(server.channel(address).await);
        let response =
            client.server_reflection_info(tonic::codegen::tokio_stream::iter(requests)).await.unwrap();
        let mut responses = response.into_inner();
        let first = responses.message().await.unwrap().unwrap().message_response.unwrap();
        let MessageResponse::ListServicesResponse(list) = first else { panic!("{first:?}") };
        let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
        (
            names.iter().any(|name| name.contains("mintage.admin")),
            responses.message().await.is_ok_and(|answer| {
                matches!(answer.unwrap().message_response, Some(MessageResponse::FileDescriptorResponse(_)))
            }),
        )
    };
    assert_eq!(names(server.address).await, (false, false));
    assert_eq!(names(server.ops).await, (true, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_has_one_message() {
    let server = AdminServer::start().await;
    let token = server.token("operator", SECRET).await.unwrap();
    let connection = Connection::to(server.ops).await;
    let message = prost::Message::encode_to_vec(&get());
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let path = "/mintage.admin.v1.ClientService/GetClient";
    let one = connection.call(path, &headers, frame(&message)).await.unwrap();
    assert_eq!(one.grpc_status, Some(0));
    let two = connection.call(path, &headers, [frame(&message), frame(&message)].concat()).await.unwrap();
    assert_eq!(two.grpc_status, Some(Code::Internal as u16));
}
