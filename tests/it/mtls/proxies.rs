//! Certificates that a proxy in front of the server took (RFC 9440, Envoy).

use base64::engine::{Engine, general_purpose::STANDARD};
use mintage::{
    certificates::x5t_s256,
    grpc::pb::token::{self as pb, token_service_client::TokenServiceClient},
};
use tonic::{Request, transport::Channel};

use crate::support::{
    TestServer, jwt,
    tls::{Pair, TestCa},
};

/// A server that believes `trusted` about this header.
async fn start(ca: &TestCa, trusted: &str, header: &str) -> (TestServer, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("ca.pem"), ca.pem()).unwrap();
    let toml = format!(
        r#"
[limits]
failed_auth_rate = "off"
[tokens]
signing_alg = "ES256"
[tls]
client_ca_file = "{}/ca.pem"
[proxy]
trusted = ["{trusted}"]
client_cert_header = "{header}"

[[clients]]
client_id = "billing"
token_endpoint_auth_method = "tls_client_auth"
tls_client_auth_subject_dn = "CN=billing"
tls_client_certificate_bound_access_tokens = true
"#,
        directory.path().display()
    );
    (TestServer::with(&toml).await, directory)
}

/// Asks for a token with these headers, over both transports: the token or the error, the same from both.
async fn ask(server: &TestServer, headers: &[(&'static str, &str)]) -> Result<String, String> {
    let mut request = reqwest::Client::new()
        .post(server.url("/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials&client_id=billing");
    let message = pb::IssueRequest { client_id: "billing".to_owned(), ..Default::default() };
    let mut call = Request::new(message);
    for (name, value) in headers {
        request = request.header(*name, *value);
        call.metadata_mut().append(*name, value.parse().unwrap());
    }
    let body = request.send().await.unwrap().bytes().await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let rest = match body["access_token"].as_str() {
        Some(token) => Ok(token.to_owned()),
        None => Err(body["error"].as_str().unwrap().to_owned()),
    };
    let channel = Channel::from_shared(server.url("")).unwrap().connect().await.unwrap();
    let mut client = TokenServiceClient::new(channel);
    let grpc = match client.issue(call).await {
        Ok(response) => Ok(response.into_inner().access_token),
        Err(status) => Err(status.metadata().get("oauth-error").unwrap().to_str().unwrap().to_owned()),
    };
    assert_eq!(rest.is_ok(), grpc.is_ok(), "{headers:?}: {rest:?} {grpc:?}");
    assert_eq!(rest.as_ref().err(), grpc.as_ref().err());
    rest
}

fn envoy(pair: &Pair) -> String {
    let pem = percent_encoding::utf8_percent_encode(&pair.certificates, percent_encoding::NON_ALPHANUMERIC);
    format!("Hash=00;Cert=\"{pem}\";Subject=\"CN=billing\";URI=")
}

fn client_cert(pair: &Pair) -> String {
    format!(":{}:", STANDARD.encode(pair.leaf()))
}

// V-21, CHK-115
#[tokio::test]
async fn a_trusted_proxy_passes_the_certificate_on() {
    let ca = TestCa::new();
    let (billing, other) = (ca.client("billing", &[]), ca.client("other", &[]));
    type Write = fn(&Pair) -> String;
    let kinds: [(&'static str, Write, &'static str, Write); 2] = [
        ("x-forwarded-client-cert", envoy, "client-cert", client_cert),
        ("client-cert", client_cert, "x-forwarded-client-cert", envoy),
    ];
    for (header, write, another, write_another) in kinds {
        let (server, _directory) = start(&ca, "127.0.0.0/8", header).await;
        let token = ask(&server, &[(header, &write(&billing))]).await.unwrap();
        assert_eq!(jwt::claims(&token)["cnf"]["x5t#S256"], x5t_s256(&billing.leaf()).as_str());

        // The proxy vouches for possession; whom to believe is decided here.
        let refused = Err("invalid_client".to_owned());
        assert_eq!(ask(&server, &[(header, &write(&other))]).await, refused);
        let foreign = TestCa::new().client("billing", &[]);
        assert_eq!(ask(&server, &[(header, &write(&foreign))]).await, refused);
        // The header that was chosen, once and well-formed, or none.
        let sound = write(&billing);
        assert_eq!(ask(&server, &[]).await, refused);
        assert_eq!(ask(&server, &[(header, &sound), (header, &sound)]).await, refused);
        assert_eq!(ask(&server, &[(header, &format!("{sound},{sound}"))]).await, refused);
        assert_eq!(ask(&server, &[(header, &sound[..sound.len() - 1])]).await, refused);
        assert_eq!(ask(&server, &[(another, &write_another(&billing))]).await, refused);
        for name in ["x-client-cert", "ssl-client-cert", "x-ssl-client-cert", "x-ssl-cert"] {
            assert_eq!(ask(&server, &[(name, &sound)]).await, refused, "{name}");
        }
    }
}

// V-21
#[tokio::test]
async fn nobody_else_is_believed() {
    let ca = TestCa::new();
    let billing = ca.client("billing", &[]);
    for header in ["x-forwarded-client-cert", "client-cert"] {
        let (server, _directory) = start(&ca, "192.0.2.0/24", header).await;
        for (name, value) in
            [("x-forwarded-client-cert", envoy(&billing)), ("client-cert", client_cert(&billing))]
        {
            assert_eq!(ask(&server, &[(name, &value)]).await, Err("invalid_client".to_owned()), "{name}");
        }
    }
    // Nor anybody where no proxy is configured.
    let server = TestServer::with(crate::support::server::CLIENTS).await;
    assert_eq!(
        ask(&server, &[("client-cert", &client_cert(&billing))]).await,
        Err("invalid_client".to_owned())
    );
}
