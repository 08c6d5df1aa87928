//! Versions, suites, ALPN, and what is not TLS.

use http::Request;
use mintage::serve::{Limits, tls::ClientAuth};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Encrypted, hello, hello::Said, raw::Raw};
use crate::{
    support::tls::{client_config, client_config_for, connect},
    transport::{EMPTY_MESSAGE, call, grpc_request, grpc_status},
};

const TLS_1_0: u16 = 0x0301;
const TLS_1_1: u16 = 0x0302;
const TLS_1_2: u16 = 0x0303;

/// What the server says to a ClientHello and nothing more.
async fn answer(server: &Encrypted, version: u16, suites: &[u16]) -> Said {
    let mut raw = Raw::connect(server.server.address).await;
    raw.send(hello::record(22, &hello::message(version, suites))).await;
    hello::said(&raw.at_least(7).await)
}

// CHK-139
#[tokio::test]
async fn tls_1_0_and_1_1_are_refused() {
    let server = Encrypted::start(Limits::default(), ClientAuth::Off).await;
    for version in [TLS_1_0, TLS_1_1] {
        // AES with CBC and SHA-1 is what there was then; with a modern suite it is refused as well.
        for suites in [&[0xc009, 0xc013, 0x002f][..], &[hello::GOOD_SUITE]] {
            // protocol_version
            assert_eq!(answer(&server, version, suites).await, Said::Alert(70), "{version:x}");
        }
    }
}

// CHK-143
#[tokio::test]
async fn tls_1_2_is_spoken_with_the_suites_of_bcp_195_only() {
    let server = Encrypted::start(Limits::default(), ClientAuth::Off).await;
    for (suite, name) in [
        (0xc009, "ECDHE_ECDSA AES_128_CBC_SHA"),
        (0xc00a, "ECDHE_ECDSA AES_256_CBC_SHA"),
        (0xc023, "ECDHE_ECDSA AES_128_CBC_SHA256"),
        (0xc008, "ECDHE_ECDSA 3DES_EDE_CBC_SHA"),
        (0xc007, "ECDHE_ECDSA RC4_128_SHA"),
        (0x009c, "RSA AES_128_GCM_SHA256: no forward secrecy"),
        (0x002f, "RSA AES_128_CBC_SHA"),
        (0x009e, "DHE_RSA AES_128_GCM_SHA256"),
        (0xc006, "ECDHE_ECDSA NULL_SHA"),
        (0xc018, "ECDH_anon AES_128_CBC_SHA"),
    ] {
        // handshake_failure
        assert_eq!(answer(&server, TLS_1_2, &[suite]).await, Said::Alert(40), "{name}");
    }
    for suite in [hello::GOOD_SUITE, 0xc02c, 0xcca9] {
        // A ServerHello, and then the wait for a client that says no more.
        assert_eq!(answer(&server, TLS_1_2, &[suite]).await, Said::Handshake(2), "{suite:x}");
    }
}

#[tokio::test]
async fn both_versions_and_both_protocols_are_spoken() {
    let server = Encrypted::start(Limits::default(), ClientAuth::Off).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = client_config_for(&[version], &server.ca, None, &["http/1.1"]);
        let answer = server.get(&config.into(), "/hello").await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));

        let config = client_config_for(&[version], &server.ca, None, &["h2"]).into();
        let stream = connect(server.server.address, &config).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let get = Request::get("https://localhost/hello").body(()).unwrap();
        assert_eq!(call(&client, get, b"").await.unwrap().body(), "hello");
        let check = grpc_request("/grpc.health.v1.Health/Check").body(()).unwrap();
        let answer = call(&client, check, EMPTY_MESSAGE).await.unwrap();
        assert_eq!(grpc_status(answer.headers()), Some("0"));
    }
}

#[tokio::test]
async fn alpn_takes_the_better_of_what_is_offered_and_nothing_else() {
    let server = Encrypted::start(Limits::default(), ClientAuth::Off).await;
    for (offered, chosen) in [
        (&["http/1.1", "h2"][..], Some(&b"h2"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        (&["http/1.0", "http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let config = client_config(&server.ca, None, offered).into();
        let stream = connect(server.server.address, &config).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
    }
    // RFC 7301 section 3.2: no_application_protocol.
    let config = client_config(&server.ca, None, &["acme-tls/1"]).into();
    assert!(
        connect(server.server.address, &config)
            .await
            .unwrap_err()
            .to_string()
            .contains("ApplicationProtocol")
    );
}

#[tokio::test]
async fn the_first_bytes_decide_whatever_alpn_said() {
    let server = Encrypted::start(Limits::default(), ClientAuth::Off).await;
    let config = client_config(&server.ca, None, &["h2"]).into();
    let mut stream = connect(server.server.address, &config).await.unwrap();
    stream.write_all(b"GET /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with("hello"), "{text}");

    let config = client_config(&server.ca, None, &["http/1.1"]).into();
    let stream = connect(server.server.address, &config).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let get = Request::get("https://localhost/hello").body(()).unwrap();
    assert_eq!(call(&client, get, b"").await.unwrap().body(), "hello");
}

// CHK-29
#[tokio::test]
async fn plaintext_is_hung_up_on_without_a_redirect() {
    let server = Encrypted::start(Limits::default(), ClientAuth::Off).await;
    for plain in [
        "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST /token HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\na=b",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\r\n",
    ] {
        let mut raw = Raw::connect(server.server.address).await;
        raw.send(plain).await;
        let said = raw.until_closed().await.expect("the connection ends");
        assert!(matches!(hello::said(&said), Said::Nothing | Said::Alert(_)), "{said:?}");
    }
    assert!(server.is_serving().await);
}
