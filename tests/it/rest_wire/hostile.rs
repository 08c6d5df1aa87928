//! Input made to break the answer or the server: sizes and characters.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    TestServer,
    auth::{basic, secret_of},
    http::{FORM, Reply, exchange, get, post, post_as, request},
};

const GRANT: &str = "grant_type=client_credentials";

// V-61
#[tokio::test(flavor = "multi_thread")]
async fn a_body_ends_at_64_kib() {
    let server = TestServer::start().await;
    for target in ["/token", "/introspect"] {
        let start = format!("{GRANT}&token=x&pad=");
        let fits = format!("{start}{}", "a".repeat(64 * 1024 - start.len()));
        assert_eq!(post_as(&server, "es256", target, &fits).await.status, 200, "{target}");
        let reply = post_as(&server, "es256", target, &format!("{fits}a")).await;
        assert_eq!(reply.refusal(), (413, "invalid_request".to_owned()), "{target}");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
}

// V-61
#[tokio::test(flavor = "multi_thread")]
async fn an_endless_body_is_refused_while_it_is_being_sent() {
    let server = TestServer::start().await;
    let authorization = basic("es256", &secret_of("es256"));
    for target in ["/token", "/introspect"] {
        let headers = [FORM, ("authorization", authorization.as_str()), ("transfer-encoding", "chunked")];
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        writer.write_all(&request(server.address, "POST", target, &headers, b"")).await.unwrap();
        let sender = tokio::spawn(async move {
            let chunk = format!("1000\r\n{}\r\n", "a".repeat(0x1000));
            let mut sent = 0_usize;
            // It ends when the server has had enough and closes.
            while writer.write_all(chunk.as_bytes()).await.is_ok() {
                sent += 0x1000;
            }
            sent
        });
        let mut answer = vec![0; 4096];
        let length = reader.read(&mut answer).await.unwrap();
        assert_eq!(Reply::parse(&answer[..length]).refusal(), (413, "invalid_request".to_owned()));
        drop(reader);
        sender.await.unwrap();
    }
    assert_eq!(post_as(&server, "es256", "/token", GRANT).await.status, 200);
}

// V-38
#[tokio::test(flavor = "multi_thread")]
async fn a_huge_scope_is_refused() {
    let server = TestServer::start().await;
    let tokens = |count: usize| (0..count).map(|n| format!("s{n}")).collect::<Vec<_>>().join("+");
    for (scope, expected) in [
        (tokens(100_000), (413, "invalid_request")),
        ("a".repeat(1024 * 1024), (413, "invalid_request")),
        (tokens(9_000), (400, "invalid_scope")),
        ("a".repeat(60 * 1024), (400, "invalid_scope")),
        ("a+".repeat(30 * 1024), (400, "invalid_scope")),
    ] {
        let reply = post_as(&server, "es256", "/token", &format!("{GRANT}&scope={scope}")).await;
        assert_eq!(reply.refusal(), (expected.0, expected.1.to_owned()), "{} bytes", scope.len());
        assert!(reply.body.len() < 512, "the answer does not grow with the question");
    }
}

// V-42
#[tokio::test(flavor = "multi_thread")]
async fn hostile_characters_never_reach_a_header() {
    let server = TestServer::start().await;
    let ordinary = post(&server, "/token", &[("authorization", &basic("nobody", "x"))], GRANT).await;
    for text in [
        "a\r\nset-cookie: evil=1",
        "a\nb",
        "a\"b",
        "a\\\"b",
        "a\u{1b}[31mb",
        "a\", error=\"none",
        "<script>",
        "{\"a\":1}",
        "a\u{0}b",
        "\u{e9}\u{202e}",
    ] {
        // In the client identifier, as header and as parameter.
        let reply = post(&server, "/token", &[("authorization", &basic(text, "x"))], GRANT).await;
        assert_eq!(reply.status, 401, "{text:?}");
        assert_eq!(reply.body, ordinary.body, "{text:?}");
        assert_eq!(reply.header("www-authenticate"), ordinary.header("www-authenticate"), "{text:?}");
        let names = |reply: &Reply| reply.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&reply), names(&ordinary), "{text:?}");

        // In the scope, whose unregistered token is named in the description.
        let encoded = percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
        let reply = post_as(&server, "es256", "/token", &format!("{GRANT}&scope={encoded}")).await;
        assert_eq!(reply.refusal(), (400, "invalid_scope".to_owned()), "{text:?}");
        assert!(!reply.has_header_like("set-cookie"));
        let description = reply.json()["error_description"].as_str().unwrap().to_owned();
        assert!(
            description.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\'),
            "{text:?}"
        );
    }
}

// V-42: a token that is no token goes into no challenge
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_bearer_token_gets_the_ordinary_challenge() {
    let server = TestServer::start().await;
    let challenge = async |token: &str| {
        let reply =
            crate::support::http::send(&server, "GET", "/userinfo", &[("authorization", token)], b"").await;
        assert_eq!(reply.status, 401, "{token:?}");
        reply.header("www-authenticate").unwrap().to_owned()
    };
    let ordinary = challenge("Bearer x").await;
    for token in ["Bearer \"", "Bearer a\", error=\"x", "Bearer \\", "Bearer a\tb", "Bearer <>"] {
        assert_eq!(challenge(token).await, ordinary, "{token}");
    }
    // A value that is not ASCII is no credential of any scheme.
    assert_eq!(challenge("Bearer é").await, "Bearer realm=\"mintage\"");
}

// V-63, V-42: raw bytes that no client library would send
#[tokio::test(flavor = "multi_thread")]
async fn broken_requests_are_refused_and_the_server_goes_on() {
    let server = TestServer::start().await;
    for bytes in [
        &b"POST /token HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef"[..],
        b"POST /token HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /token HTTP/1.1\r\nhost: a\r\nauthorization: Basic \x00\r\nconnection: close\r\n\r\n",
        b"POST /token HTTP/9.9\r\nhost: a\r\n\r\n",
        b"\r\n\r\nnonsense\r\n\r\n",
    ] {
        let reply = exchange(server.address, bytes).await;
        assert_eq!(reply.status, 400, "{}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(get(&server, "/healthz").await.status, 200);
}
