//! Which router answers, and in which form (V-62, dispatch, gRPC-Web, panics).

use http::Request;

use super::{
    EMPTY_MESSAGE, Server, call, grpc_request, grpc_status, http2, quick,
    raw::{self, Raw},
};

const NOT_FOUND: &str = r#"{"error":"not_found","error_description":"nothing is served at this path"}"#;

#[tokio::test]
async fn an_unknown_path_is_answered_in_the_callers_form() {
    let server = Server::start(quick()).await;
    let answer =
        raw::request(server.address, "GET /.well-known/x HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (404, NOT_FOUND));
    assert_eq!(answer.header("content-type"), Some("application/json"));

    let client = http2(server.address).await;
    let get = Request::get("http://localhost/test.Service/Absent").body(()).unwrap();
    let answer = call(&client, get, b"").await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().as_str()), (404, NOT_FOUND));
    for path in ["/test.Service/Absent", "/grpc.health.v1.Health/Absent", "/absent.Service/X"] {
        let answer = call(&client, grpc_request(path).body(()).unwrap(), EMPTY_MESSAGE).await.unwrap();
        assert_eq!((answer.status().as_u16(), grpc_status(answer.headers())), (200, Some("12")), "{path}");
        assert_eq!(answer.headers()["content-type"], "application/grpc");
    }
}

// V-63
#[tokio::test]
async fn a_rest_path_is_not_for_grpc() {
    let server = Server::start(quick()).await;
    let client = http2(server.address).await;
    for path in ["/token", "/hello"] {
        let answer = call(&client, grpc_request(path).body(()).unwrap(), EMPTY_MESSAGE).await.unwrap();
        assert_eq!(answer.status(), 415, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/json");
    }
}

#[tokio::test]
async fn a_grpc_path_is_only_for_grpc() {
    let server = Server::start(quick()).await;
    let path = "/grpc.health.v1.Health/Check";
    let post = format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    assert_eq!(raw::request(server.address, post).await.unwrap().status, 415);
    let odd = format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc+json\r\ncontent-length: 0\r\n\r\n"
    );
    assert_eq!(raw::request(server.address, odd).await.unwrap().status, 415);

    let client = http2(server.address).await;
    let ok = call(&client, grpc_request(path).body(()).unwrap(), EMPTY_MESSAGE).await.unwrap();
    assert_eq!(grpc_status(ok.headers()), Some("0"));
    let get = Request::get(format!("http://localhost{path}")).header("content-type", "application/grpc");
    let answer = call(&client, get.body(()).unwrap(), b"").await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["allow"].to_str().unwrap()), (405, "POST"));
}

// V-62
#[tokio::test]
async fn an_odd_path_reaches_no_handler_by_another_name() {
    let server = Server::start(quick()).await;
    for path in [
        "//hello",
        "/hello/",
        "/Hello",
        "/HELLO",
        "/%68ello",
        "/hello;x",
        "/hello%2f",
        "/./hello",
        "/a/../hello",
    ] {
        let answer =
            raw::request(server.address, format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (404, NOT_FOUND), "{path}");
    }
    for line in ["GET hello", "OPTIONS *", "CONNECT hello:80", "GET http://a//hello"] {
        let answer = raw::request(server.address, format!("{line} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert!(matches!(answer.unwrap().status, 400 | 404), "{line}");
    }
    // RFC 9112 §3.2.2: a server must accept the absolute form; it names the same resource.
    let absolute = "GET http://other/hello?x HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_eq!(raw::request(server.address, absolute).await.unwrap().body, "hello");

    let client = http2(server.address).await;
    for path in [
        "//grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health//Check",
        "/grpc.health.v1.Health/Check/",
        "/grpc.health.v1.Health%2fCheck",
        "/grpc.health.v1.Health/check",
        "/GRPC.health.v1.Health/Check",
        "/grpc.health.v1.Health/Check;x",
        "/grpc.health.v1.Health/%43heck",
    ] {
        let answer = call(&client, grpc_request(path).body(()).unwrap(), EMPTY_MESSAGE).await.unwrap();
        assert_eq!(grpc_status(answer.headers()), Some("12"), "{path}");
    }
}

// V-62
#[tokio::test]
async fn an_http2_path_without_a_slash_is_a_stream_error() {
    let server = Server::start(quick()).await;
    for path in ["grpc.health.v1.Health/Check", "", "*"] {
        let mut raw = Raw::connect(server.address).await;
        raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        raw.send(raw::frame(4, 0, 0, &[])).await;
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", path),
            ("content-type", "application/grpc"),
        ];
        raw.send(raw::headers(1, false, &fields)).await;
        raw.send(raw::frame(0, 1, 1, EMPTY_MESSAGE)).await;
        let answer = raw.until_closed().await.unwrap();
        let said = String::from_utf8_lossy(&answer);
        // An answer of the health service would carry its message: field 1, SERVING.
        assert!(!answer.windows(7).any(|bytes| bytes == [0, 0, 0, 0, 2, 8, 1]), "{path}: {said}");
    }
    assert!(server.is_serving().await);
}

#[tokio::test]
async fn grpc_web_is_served_on_the_same_port() {
    let server = Server::start(quick()).await;
    for (kind, message) in
        [("application/grpc-web+proto", "\0\0\0\0\0"), ("application/grpc-web-text", "AAAAAAA=")]
    {
        let request = |path: &str| {
            format!(
                "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: {kind}\r\naccept: {kind}\r\n\
                 content-length: {}\r\n\r\n{message}",
                message.len()
            )
        };
        let mut raw = Raw::connect(server.address).await;
        raw.send(request("/grpc.health.v1.Health/Check")).await;
        let answer = raw.until_closed().await.unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
        let trailers = if kind.contains("text") { "ncnBjLXN0YXR1czow" } else { "grpc-status:0" };
        assert!(text.contains(trailers), "{text}");

        let mut raw = Raw::connect(server.address).await;
        raw.send(request("/absent.Service/X")).await;
        let text = String::from_utf8_lossy(&raw.until_closed().await.unwrap()).into_owned();
        assert!(text.contains("grpc-status: 12"), "{text}");
    }
}

#[tokio::test]
async fn a_request_knows_its_peer() {
    let server = Server::start(quick()).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send("GET /peer HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.unwrap().body, raw.stream.local_addr().unwrap().to_string());
}

// F-33
#[tokio::test]
async fn a_panic_costs_only_its_own_request() {
    let server = Server::start(quick()).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send("GET /panic HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let answer = raw.answer().await.unwrap();
    assert_eq!(answer.status, 500);
    assert!(answer.body.starts_with(r#"{"error":"server_error","#) && !answer.body.contains("purpose"));

    let client = http2(server.address).await;
    let panics =
        call(&client, grpc_request("/test.Service/Panic").body(()).unwrap(), EMPTY_MESSAGE).await.unwrap();
    assert_eq!(grpc_status(panics.headers()), Some("13"));
    assert_eq!(panics.headers()["oauth-error"], "server_error");
    let check = grpc_request("/grpc.health.v1.Health/Check").body(()).unwrap();
    assert_eq!(grpc_status(call(&client, check, EMPTY_MESSAGE).await.unwrap().headers()), Some("0"));
}
