//! tls_client_auth: a certificate of an authority that is trusted, and the one registered name (RFC 8705 §2.1).

use std::fs;

use rcgen::{
    CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, KeyIdMethod,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

use super::{assert_granted, assert_refused, server};
use crate::support::{
    Auth, Issue, TestServer, Wire, error,
    patience::eventually,
    tls::{Pair, San, TestCa, params},
};

const CLIENTS: &str = r#"
[[clients]]
client_id = "a"
token_endpoint_auth_method = "tls_client_auth"
tls_client_auth_subject_dn = "CN=A,O=Example"

[[clients]]
client_id = "b"
token_endpoint_auth_method = "tls_client_auth"
tls_client_auth_subject_dn = "CN=B"

[[clients]]
client_id = "dns"
token_endpoint_auth_method = "tls_client_auth"
tls_client_auth_san_dns = "billing.example"

[[clients]]
client_id = "uri"
token_endpoint_auth_method = "tls_client_auth"
tls_client_auth_san_uri = "spiffe://example.org/billing"

[[clients]]
client_id = "ip"
token_endpoint_auth_method = "tls_client_auth"
tls_client_auth_san_ip = "2001:db8::7"

[[clients]]
client_id = "email"
token_endpoint_auth_method = "tls_client_auth"
tls_client_auth_san_email = "billing@example.com"

[[clients]]
client_id = "disabled"
token_endpoint_auth_method = "tls_client_auth"
tls_client_auth_subject_dn = "CN=B"
enabled = false

[[clients]]
client_id = "secret"
client_secret = "mint_0000000000000000000000000000000000000000000"

[[clients]]
client_id = "resource-server"
client_secret = "rs-secret"
grant_types = []
introspect = "any"
"#;

/// A client's certificate of which something is changed before it is signed.
fn with(ca: &TestCa, common_name: &str, change: impl FnOnce(&mut CertificateParams)) -> Pair {
    let mut params = params(common_name, &[], ExtendedKeyUsagePurpose::ClientAuth);
    change(&mut params);
    ca.sign(params)
}

// CHK-113
#[tokio::test]
async fn the_registered_name_authenticates() {
    let ca = TestCa::new();
    let server = server(CLIENTS, &ca).await;
    let a = with(&ca, "A", |params| params.distinguished_name.push(DnType::OrganizationName, "Example"));
    // The certificate has the organization after the common name, and its text before it.
    assert_refused(&server, &ca, &a, "a").await;
    let a = with(&ca, "", |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.distinguished_name.push(DnType::CommonName, "A");
    });
    assert_granted(&server, &ca, &a, "a").await;
    assert_granted(&server, &ca, &ca.client("B", &[]), "b").await;
    let names = [
        ("dns", San::dns("Billing.example"), San::dns("*.example")),
        ("uri", San::uri("spiffe://example.org/billing"), San::uri("spiffe://example.org/billing/x")),
        ("ip", San::ip("2001:db8::7"), San::ip("2001:db8::8")),
        ("email", San::email("billing@EXAMPLE.com"), San::email("Billing@example.com")),
    ];
    for (client_id, name, other) in names {
        let unrelated = San::dns("unrelated.example");
        assert_granted(&server, &ca, &ca.client("x", &[unrelated.clone(), name]), client_id).await;
        assert_refused(&server, &ca, &ca.client("x", &[unrelated, other]), client_id).await;
        // A name in the subject is none of these.
        assert_refused(&server, &ca, &ca.client("billing.example", &[]), client_id).await;
    }
}

// V-20, CHK-113
#[tokio::test]
async fn a_certificate_of_somebody_else_is_refused() {
    let ca = TestCa::new();
    let server = server(CLIENTS, &ca).await;
    let b = ca.client("B", &[]);
    let refused = |pair: Pair| {
        let (server, ca) = (&server, &ca);
        async move { assert_refused(server, ca, &pair, "b").await }
    };
    refused(ca.client("A", &[])).await;
    refused(ca.client("b", &[])).await;
    refused(ca.client("x", &[San::dns("B")])).await;
    // What looks like the name in another attribute, and two common names.
    refused(with(&ca, "A", |params| params.distinguished_name.push(DnType::OrganizationName, "CN=B"))).await;
    refused(with(&ca, "A,CN=B", |_| ())).await;
    refused(with(&ca, "B\0", |_| ())).await;
    let common_name = DnType::CustomDnType(vec![2, 5, 4, 3]);
    refused(with(&ca, "A", |params| params.distinguished_name.push(common_name.clone(), "B"))).await;
    refused(with(&ca, "B", |params| params.distinguished_name.push(common_name, "A"))).await;
    // B's certificate beside one's own: nobody proved to have its key.
    let mut with_extra = ca.client("A", &[]);
    with_extra.certificates += &b.certificates;
    refused(with_extra).await;
    // The same name from another authority, and from nobody; the authority's own certificate beside it changes nothing.
    refused(TestCa::named("other").client("B", &[])).await;
    refused(TestCa::new().client("B", &[])).await;
    let mut with_ca = TestCa::new().client("B", &[]);
    with_ca.certificates += &ca.pem();
    refused(with_ca).await;
    refused(Pair::self_signed("B")).await;
    // Not now, and not for this.
    refused(with(&ca, "B", |params| params.not_after = date_time_ymd(2027, 1, 14))).await;
    refused(with(&ca, "B", |params| params.not_before = date_time_ymd(2027, 1, 16))).await;
    refused(ca.sign(params("B", &[], ExtendedKeyUsagePurpose::ServerAuth))).await;

    assert_granted(&server, &ca, &b, "b").await;
    for other in ["a", "dns", "secret", "resource-server", "disabled", "unknown"] {
        assert_refused(&server, &ca, &b, other).await;
    }
}

// CHK-112
#[tokio::test]
async fn the_client_must_say_who_it_is() {
    let ca = TestCa::new();
    let server = server(CLIENTS, &ca).await;
    for wire in Wire::both_with_tls(&server, &ca, Some(&ca.client("B", &[]))).await {
        assert_eq!(error(wire.issue(&Auth::None, &Issue::default()).await), "invalid_request");
        assert_eq!(error(wire.introspect(&Auth::None, "x").await), "invalid_request");
        assert_eq!(error(wire.revoke(&Auth::None, "x", "").await), "invalid_request");
    }
    for wire in Wire::both_with_tls(&server, &ca, None).await {
        assert_eq!(error(wire.issue(&Auth::certificate("b"), &Issue::default()).await), "invalid_client");
        assert_eq!(error(wire.issue(&Auth::None, &Issue::default()).await), "invalid_client");
    }
}

// A certificate on the connection is no second method: other credentials stand for themselves.
#[tokio::test]
async fn a_secret_counts_beside_a_certificate() {
    let ca = TestCa::new();
    let server = server(CLIENTS, &ca).await;
    let secret = Auth::basic("secret", "mint_0000000000000000000000000000000000000000000");
    for wire in Wire::both_with_tls(&server, &ca, Some(&ca.client("B", &[]))).await {
        assert!(wire.issue(&secret, &Issue::default()).await.is_ok());
        // Nor does the certificate help where the secret is wrong, or the client's method another.
        let wrong = Auth::basic("secret", "mint_1111111111111111111111111111111111111111111");
        assert_eq!(error(wire.issue(&wrong, &Issue::default()).await), "invalid_client");
        assert_eq!(error(wire.issue(&Auth::basic("b", "x"), &Issue::default()).await), "invalid_client");
    }
}

// CHK-102
#[tokio::test]
async fn it_works_at_every_endpoint() {
    let ca = TestCa::new();
    let server = server(CLIENTS, &ca).await;
    let auth = Auth::certificate("b");
    for wire in Wire::both_with_tls(&server, &ca, Some(&ca.client("B", &[]))).await {
        let token = wire.granted(&auth, &Issue::default()).await;
        assert_eq!(wire.introspect(&auth, &token).await.unwrap()["active"], true);
        wire.revoke(&auth, &token, "").await.unwrap();
        assert_eq!(wire.introspect(&auth, &token).await.unwrap()["active"], false);
    }
}

fn accepted_by(server: &TestServer, ca: &TestCa, pair: &Pair) -> impl AsyncFnMut() -> bool {
    async move || {
        let [rest, _] = Wire::both_with_tls(server, ca, Some(pair)).await;
        rest.issue(&Auth::certificate("b"), &Issue::default()).await.is_ok()
    }
}

// F-29, V-66
#[tokio::test]
async fn the_authorities_are_read_again_when_they_change() {
    let (ca, next) = (TestCa::new(), TestCa::named("next"));
    let server = server(CLIENTS, &ca).await;
    let file = server.directory().join("ca.pem");
    let (old, new) = (ca.client("B", &[]), next.client("B", &[]));
    assert_refused(&server, &ca, &new, "b").await;

    fs::write(&file, format!("{}{}", ca.pem(), next.pem())).unwrap();
    eventually("the new authority is trusted", accepted_by(&server, &ca, &new)).await;
    assert_granted(&server, &ca, &old, "b").await;

    // What cannot be used changes nothing, but raises the alarm.
    fs::write(&file, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n").unwrap();
    let stale = r#"mintage_file_stale{file="client_ca"}"#;
    eventually("the alarm", async || server.metric(stale) == 1).await;
    assert_granted(&server, &ca, &new, "b").await;

    fs::write(&file, next.pem()).unwrap();
    let mut is_old_accepted = accepted_by(&server, &ca, &old);
    eventually("the old authority is forgotten", async || !is_old_accepted().await).await;
    assert_granted(&server, &ca, &new, "b").await;
    assert_eq!(server.metric(stale), 0);
}

// V-66
#[tokio::test]
async fn a_revoked_certificate_is_refused() {
    let ca = TestCa::new();
    let server = server(CLIENTS, &ca).await;
    let numbered =
        |number: u64| with(&ca, "B", |params| params.serial_number = Some(SerialNumber::from(number)));
    let (revoked, sound) = (numbered(7), numbered(8));
    assert_granted(&server, &ca, &revoked, "b").await;

    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2027, 1, 1),
        next_update: date_time_ymd(2027, 2, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: SerialNumber::from(7),
            revocation_time: date_time_ymd(2027, 1, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let file = server.directory().join("ca.pem");
    fs::write(&file, format!("{}{}", ca.pem(), ca.revocation_list(&list))).unwrap();
    let mut is_accepted = accepted_by(&server, &ca, &revoked);
    eventually("the list is read", async || !is_accepted().await).await;
    assert_granted(&server, &ca, &sound, "b").await;

    // A list that cannot be read does not take the place of one that could.
    fs::write(&file, format!("{}-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n", ca.pem()))
        .unwrap();
    let stale = r#"mintage_file_stale{file="client_ca"}"#;
    eventually("the alarm", async || server.metric(stale) == 1).await;
    assert_refused(&server, &ca, &revoked, "b").await;
}

#[tokio::test]
async fn a_name_of_another_kind_is_no_name() {
    let ca = TestCa::new();
    let server = server(CLIENTS, &ca).await;
    let misplaced = with(&ca, "x", |params| {
        params.subject_alt_names = vec![
            SanType::URI("billing.example".try_into().unwrap()),
            SanType::DnsName("spiffe://example.org/billing".try_into().unwrap()),
            SanType::DnsName("billing@example.com".try_into().unwrap()),
            SanType::DnsName("2001:db8::7".try_into().unwrap()),
        ];
    });
    for client_id in ["dns", "uri", "ip", "email"] {
        assert_refused(&server, &ca, &misplaced, client_id).await;
    }
}
