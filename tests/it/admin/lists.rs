//! Lists of clients: pages, filters, orders (AIP-132, AIP-158, AIP-160).

use mintage::grpc::pb::admin as pb;
use tonic::Code;

use crate::support::admin::{Admin, AdminServer, client};

async fn populated(server: &AdminServer) -> Admin {
    let mut admin = server.operator().await;
    for id in ["bill-3", "bill-1", "bill-2", "other", "bi*"] {
        admin.create(client(id, "read")).await;
        server.clock.advance(std::time::Duration::from_secs(1));
    }
    let disabled = pb::Client { enabled: Some(false), ..client("bill-2", "") };
    let request = pb::UpdateClientRequest { client: Some(disabled), ..Default::default() };
    admin.update_client(request).await.unwrap();
    admin
}

fn request(filter: &str, order_by: &str, page_size: i32, page_token: &str) -> pb::ListClientsRequest {
    pb::ListClientsRequest {
        page_size,
        page_token: page_token.to_owned(),
        filter: filter.to_owned(),
        order_by: order_by.to_owned(),
    }
}

/// All identifiers, page by page.
async fn ids(admin: &mut Admin, filter: &str, order_by: &str, page_size: i32) -> Vec<String> {
    let (mut ids, mut token) = (Vec::new(), String::new());
    loop {
        let page = admin.list_clients(request(filter, order_by, page_size, &token)).await.unwrap();
        assert!(page_size == 0 || page.clients.len() <= usize::try_from(page_size).unwrap());
        ids.extend(page.clients.into_iter().map(|client| client.client_id));
        token = page.next_page_token;
        if token.is_empty() {
            return ids;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_orders() {
    let server = AdminServer::start().await;
    let mut admin = populated(&server).await;
    for page_size in [0, 1, 2, 5, 1000, 5000] {
        for (filter, order_by, expected) in [
            ("", "", &["bi*", "bill-1", "bill-2", "bill-3", "other"][..]),
            ("", "client_id desc", &["other", "bill-3", "bill-2", "bill-1", "bi*"]),
            ("", "create_time", &["bill-3", "bill-1", "bill-2", "other", "bi*"]),
            ("", "create_time desc", &["bi*", "other", "bill-2", "bill-1", "bill-3"]),
            ("client_id = \"bill*\"", "", &["bill-1", "bill-2", "bill-3"]),
            ("client_id = \"bill*\" AND enabled = true", "create_time", &["bill-3", "bill-1"]),
            ("enabled = false", "", &["bill-2"]),
            ("client_id = \"bill-1\"", "", &["bill-1"]),
            ("client_id = \"bill-2\" AND enabled = true", "", &[]),
            ("client_id = \"bi\\*\"", "", &["bi*"]),
            ("client_id = \"%\"", "", &[]),
            ("client_id = \"bill__*\"", "", &[]),
            ("client_id = \"' OR '1'='1*\"", "", &[]),
        ] {
            assert_eq!(
                ids(&mut admin, filter, order_by, page_size).await,
                expected,
                "{filter} {order_by} {page_size}"
            );
        }
    }
}

// V-43
#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_is_refused_unless_it_is_of_this_list() {
    let server = AdminServer::start().await;
    let mut admin = populated(&server).await;
    let page = admin.list_clients(request("enabled = true", "create_time", 2, "")).await.unwrap();
    let token = page.next_page_token;
    assert!(!token.is_empty());
    // The size may change.
    admin.list_clients(request("enabled = true", "create_time", 1, &token)).await.unwrap();

    let mut edited = token.clone().into_bytes();
    edited[60] ^= 1;
    let edited = String::from_utf8(edited).unwrap();
    let other = AdminServer::start().await;
    let mut foreign = populated(&other).await;
    let foreign = foreign.list_clients(request("enabled = false", "", 1, "")).await.unwrap().next_page_token;
    for (filter, order_by, token) in [
        ("enabled = false", "create_time", token.as_str()),
        ("", "create_time", &token),
        ("enabled = true", "", &token),
        ("enabled = true", "create_time desc", &token),
        ("client_id = \"bill-1\"", "create_time", &token),
        ("enabled = true", "create_time", &edited),
        ("enabled = true", "create_time", &token[..token.len() - 4]),
        ("enabled = true", "create_time", "x"),
        ("enabled = true", "create_time", "' OR 1=1 --"),
        ("enabled = true", "create_time", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    ] {
        let status = admin.list_clients(request(filter, order_by, 2, token)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{filter} {order_by} {token}");
        assert!(status.message().starts_with("page_token"), "{}", status.message());
    }
    assert_eq!(foreign, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_list_is_refused() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    for (list, member) in [
        (request("enabled = maybe", "", 0, ""), "filter"),
        (request("client_secret = \"x\"", "", 0, ""), "filter"),
        (request("", "enabled", 0, ""), "order_by"),
        (request("", "client_id; DROP TABLE clients", 0, ""), "order_by"),
        (request("", "", -1, ""), "page_size"),
    ] {
        let status = admin.list_clients(list).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(member), "{}", status.message());
    }
}
