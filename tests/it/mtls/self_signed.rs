//! self_signed_tls_client_auth: a registered certificate, or one with a registered key (RFC 8705 §2.2).

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::engine::{Engine, general_purpose::STANDARD};
use mintage::{
    certificates::{Certificate, PublicKey},
    jose::base64url,
};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{assert_granted, assert_refused, server};
use crate::support::{
    patience::eventually,
    tls::{Pair, TestCa, params},
};

/// The key of a certificate as a client registers it, with the certificate or without.
fn jwk(pair: &Pair, with_certificate: bool) -> Value {
    let PublicKey::Ec { curve, x, y } = Certificate::parse(&pair.leaf()).unwrap().public_key.unwrap() else {
        panic!("test keys are of P-256")
    };
    let mut jwk = json!({ "kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y) });
    if with_certificate {
        jwk["x5c"] = json!([STANDARD.encode(pair.leaf())]);
    }
    jwk
}

fn client(client_id: &str, keys: &[Value]) -> String {
    format!(
        "[[clients]]\nclient_id = \"{client_id}\"\ntoken_endpoint_auth_method = \"self_signed_tls_client_auth\"\n\
         jwks = {}\n",
        toml(&json!({ "keys": keys }))
    )
}

/// JSON as TOML writes it in a line.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<_> =
                members.iter().map(|(name, value)| format!("{name} = {}", toml(value))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// A certificate that only its own key signed, with something changed.
fn own(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Pair {
    let mut params = params("own", &[], ExtendedKeyUsagePurpose::ClientAuth);
    params.use_authority_key_identifier_extension = false;
    change(&mut params);
    Pair { certificates: params.self_signed(key).unwrap().pem(), key: key.serialize_pem() }
}

// CHK-114, V-20
#[tokio::test]
async fn what_is_registered_authenticates_and_nothing_else() {
    let ca = TestCa::new();
    let key = KeyPair::generate().unwrap();
    let registered = own(&key, |_| ());
    let renewed = own(&key, |params| params.not_after = date_time_ymd(2030, 1, 1));
    let namesake = own(&KeyPair::generate().unwrap(), |_| ());
    let expired = own(&key, |params| params.not_after = date_time_ymd(2027, 1, 14));
    let early = own(&key, |params| params.not_before = date_time_ymd(2027, 1, 16));
    let server_only =
        own(&key, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let clients = [
        client("by-certificate", &[jwk(&Pair::self_signed("x"), true), jwk(&registered, true)]),
        client("by-key", &[jwk(&registered, false)]),
        client("expired", &[jwk(&expired, true)]),
        // The certificate of one key beside the numbers of another.
        client(
            "torn",
            &[{
                let mut jwk = jwk(&namesake, false);
                jwk["x5c"] = json!([STANDARD.encode(registered.leaf())]);
                jwk
            }],
        ),
    ];
    let server = server(&clients.concat(), &ca).await;

    assert_granted(&server, &ca, &registered, "by-certificate").await;
    assert_granted(&server, &ca, &registered, "by-key").await;
    // Another certificate of the same key is another certificate, unless only the key was registered.
    assert_refused(&server, &ca, &renewed, "by-certificate").await;
    assert_granted(&server, &ca, &renewed, "by-key").await;
    for client_id in ["by-certificate", "by-key"] {
        assert_refused(&server, &ca, &namesake, client_id).await;
        // An authority that is trusted has no say here.
        assert_refused(&server, &ca, &ca.client("own", &[]), client_id).await;
    }
    for pair in [&expired, &early, &server_only] {
        assert_refused(&server, &ca, pair, "by-key").await;
    }
    assert_refused(&server, &ca, &expired, "expired").await;
    for pair in [&registered, &namesake] {
        assert_refused(&server, &ca, pair, "torn").await;
    }
    // The registered certificate beside one's own: nobody proved to have its key.
    let mut with_extra = namesake.clone();
    with_extra.certificates += &registered.certificates;
    assert_refused(&server, &ca, &with_extra, "by-certificate").await;
}

/// Serves a key set that can be changed.
async fn publish(set: Arc<Mutex<Value>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let body = set.lock().unwrap().to_string();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    request.push(byte);
                }
                let head =
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: max-age=3600\r\n";
                let answer =
                    format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

// CHK-114
#[tokio::test]
async fn a_published_certificate_may_be_a_new_one() {
    let ca = TestCa::new();
    let (first, second) = (Pair::self_signed("first"), Pair::self_signed("second"));
    let set = Arc::new(Mutex::new(json!({ "keys": [jwk(&first, true)] })));
    let address = publish(Arc::clone(&set)).await;
    let clients = format!(
        "[jwks_fetch]\nallow_hosts = [\"{address}\"]\nallow_http = true\n[[clients]]\nclient_id = \"published\"\n\
         token_endpoint_auth_method = \"self_signed_tls_client_auth\"\njwks_uri = \"http://{address}/jwks\"\n"
    );
    let server = server(&clients, &ca).await;
    assert_granted(&server, &ca, &first, "published").await;
    assert_refused(&server, &ca, &second, "published").await;

    *set.lock().unwrap() = json!({ "keys": [jwk(&second, true)] });
    eventually("the new certificate is found before the old set's time is over", async || {
        server.clock.advance(Duration::from_secs(31));
        let [rest, _] = crate::support::Wire::both_with_tls(&server, &ca, Some(&second)).await;
        let auth = crate::support::Auth::certificate("published");
        rest.issue(&auth, &crate::support::Issue::default()).await.is_ok()
    })
    .await;
    assert_refused(&server, &ca, &first, "published").await;
}
