//! What the metadata says of certificates, and that it is so (RFC 8705 §3.3, §5; RFC 8414 §2).

use mintage::{config, serve::tls::ClientAuth};
use serde_json::{Value, json};

use crate::support::{
    Auth, Issue, TestServer, Wire, error,
    server::CLIENTS,
    tls::{self, Pair, TestCa},
};

const CERTIFICATE_CLIENTS: &str = r#"
[[clients]]
client_id = "issued"
token_endpoint_auth_method = "tls_client_auth"
tls_client_auth_subject_dn = "CN=issued"
access_token_signing_alg = "ES256"
"#;

async fn document(base: &str, http: &reqwest::Client) -> Value {
    let response = http.get(format!("{base}/.well-known/oauth-authorization-server")).send().await.unwrap();
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

fn lists(document: &Value, method: &str) -> bool {
    let of = |member: &str| document[member].as_array().unwrap().contains(&method.into());
    let listed = of("token_endpoint_auth_methods_supported");
    assert_eq!(listed, of("introspection_endpoint_auth_methods_supported"));
    assert_eq!(listed, of("revocation_endpoint_auth_methods_supported"));
    listed
}

// CHK-117, V-30, CHK-102
#[tokio::test]
async fn what_is_advertised_works() {
    let ca = TestCa::new();
    let server =
        TestServer::with_tls(&format!("{CLIENTS}{CERTIFICATE_CLIENTS}"), &ca, ClientAuth::Optional).await;
    let base = format!("https://{}", server.address);
    let document = document(&base, &tls::http(&ca, None)).await;
    assert_eq!(document["tls_client_certificate_bound_access_tokens"], true);
    assert_eq!(
        document["mtls_endpoint_aliases"],
        json!({
            "token_endpoint": "https://id.example/token",
            "introspection_endpoint": "https://id.example/introspect",
            "revocation_endpoint": "https://id.example/revoke",
            "userinfo_endpoint": "https://id.example/userinfo",
        })
    );
    assert!(lists(&document, "tls_client_auth") && lists(&document, "self_signed_tls_client_auth"));
    assert!(!lists(&document, "spiffe_x509"));
    super::assert_granted(&server, &ca, &ca.client("issued", &[]), "issued").await;
}

// CHK-117, V-30, CHK-102
#[tokio::test]
async fn what_cannot_work_is_not_advertised() {
    let ca = TestCa::new();
    let with_tls = TestServer::with_tls(CLIENTS, &ca, ClientAuth::Off).await;
    let base = format!("https://{}", with_tls.address);
    let plain = TestServer::shared().await;
    for document in [
        document(&base, &tls::http(&ca, None)).await,
        document(&plain.url(""), &reqwest::Client::new()).await,
    ] {
        for method in ["tls_client_auth", "self_signed_tls_client_auth", "spiffe_x509"] {
            assert!(!lists(&document, method), "{method}");
        }
        for member in ["tls_client_certificate_bound_access_tokens", "mtls_endpoint_aliases"] {
            assert!(document.get(member).is_none(), "{member}");
        }
    }
    // Nobody is asked for a certificate, so that there is none.
    for wire in Wire::both_with_tls(&with_tls, &ca, Some(&Pair::self_signed("rs256"))).await {
        assert_eq!(error(wire.issue(&Auth::certificate("rs256"), &Issue::default()).await), "invalid_client");
    }
}

fn problems(toml: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mintage.toml");
    std::fs::write(
        &file,
        format!("issuer = \"https://id.example\"\ndatabase_url = \"sqlite::memory:\"\n{toml}"),
    )
    .unwrap();
    let sources = config::Sources { config_file: Some(file), ..Default::default() };
    config::load(&sources).map(|_| String::new()).unwrap_or_else(|errors| errors.to_string())
}

const TLS: &str = "[tls]\ncert_file = \"c.pem\"\nkey_file = \"k.pem\"\n";
const PROXY: &str = "[proxy]\ntrusted = [\"10.0.0.0/8\"]\nclient_cert_header = \"client-cert\"\n";

// A client that can never authenticate is refused when the configuration is read.
#[test]
fn a_client_without_a_way_in_is_a_mistake() {
    let client = |method: &str, members: &str| {
        format!("[[clients]]\nclient_id = \"c\"\ntoken_endpoint_auth_method = \"{method}\"\n{members}\n")
    };
    let issued = client("tls_client_auth", "tls_client_auth_subject_dn = \"CN=c\"");
    let own = client(
        "self_signed_tls_client_auth",
        r#"jwks = { keys = [{ kty = "OKP", crv = "Ed25519", x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] }"#,
    );
    let svid = client("spiffe_x509", "spiffe_id = \"spiffe://example.org/c\"");
    let bound = "[[clients]]\nclient_id = \"c\"\nclient_secret = \"s\"\ntls_client_certificate_bound_access_tokens = true\n";
    let optional = format!("{TLS}client_auth = \"optional\"\n");
    let domain = "[spiffe.trust_domains.\"example.org\"]\nx509_bundle_file = \"b.pem\"\n";

    for client in [&issued, &own, &svid, bound] {
        for settings in [String::new(), TLS.to_owned()] {
            let found = problems(&format!("{settings}{client}"));
            assert!(found.contains("client certificates, which never arrive"), "{client}: {found}");
        }
    }
    let found = problems(&format!("{optional}{issued}"));
    assert!(found.contains("set tls.client_ca_file to their authorities"), "{found}");
    let found = problems(&format!("{optional}{svid}"));
    assert!(found.contains("needs the authorities of example.org"), "{found}");
    for settings in [
        format!("{optional}client_ca_file = \"ca.pem\"\n{domain}"),
        format!("{PROXY}[tls]\nclient_ca_file = \"ca.pem\"\n{domain}"),
    ] {
        for client in [&issued, &own, &svid, bound] {
            assert_eq!(problems(&format!("{settings}{client}")), "", "{settings}{client}");
        }
    }
    let found = problems("[tls]\nclient_ca_file = \"ca.pem\"\n");
    assert!(found.contains("means nothing without client certificates"), "{found}");
}

#[test]
fn a_registered_name_must_be_one() {
    let found = |member: &str, value: &str| {
        problems(&format!(
            "{TLS}client_auth = \"optional\"\nclient_ca_file = \"ca.pem\"\n[[clients]]\nclient_id = \"c\"\n\
             token_endpoint_auth_method = \"tls_client_auth\"\n{member} = '{value}'\n"
        ))
    };
    for (member, value, text) in [
        ("tls_client_auth_subject_dn", "c", "distinguished name of RFC 4514"),
        ("tls_client_auth_subject_dn", "XYZ=c", "dotted object identifier"),
        ("tls_client_auth_san_dns", "*.example", "without wildcard"),
        ("tls_client_auth_san_dns", "a b", "without wildcard"),
        ("tls_client_auth_san_uri", "billing", "must be a URI"),
        ("tls_client_auth_san_ip", "10.0.0.0/8", "IPv4 or IPv6 address"),
        ("tls_client_auth_san_email", "billing", "must be a mail address"),
    ] {
        let found = found(member, value);
        assert!(found.contains(text) && found.contains(member), "{member} {value}: {found}");
    }
    for (member, value) in
        [("tls_client_auth_subject_dn", "CN=c, O=\"Example\""), ("tls_client_auth_san_dns", "")]
    {
        assert_ne!(found(member, value), "", "{member} {value}");
    }
    assert_eq!(found("tls_client_auth_subject_dn", r"CN=c, O=Example\, Inc.,C=DE"), "");
}
