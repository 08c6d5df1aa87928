//! Certificates of clients: asked for, proven, passed on, and remembered in sessions.

use std::sync::Arc;

use mintage::serve::tls::ClientAuth;
use rustls::{ClientConfig, client::ResolvesClientCert, crypto::aws_lc_rs, sign::CertifiedKey};

use super::{Answer, Encrypted, Limits, Pair, TestCa};
use crate::support::tls::{San, client_config_for};

impl Answer {
    fn intermediates(&self) -> &str {
        self.headers["x-intermediates"].to_str().unwrap()
    }
}

#[tokio::test]
async fn the_leaf_and_its_chain_reach_every_request() {
    let server = Encrypted::start(Limits::default(), ClientAuth::Optional).await;
    let mut client = TestCa::new().client("billing", &[San::dns("billing.example")]);
    let answer = server.get(&server.caller(Some(&client)), "/certificate").await.unwrap();
    assert_eq!((answer.body.clone(), answer.intermediates()), (client.leaf(), "0"));
    assert_eq!(answer.headers["x-secure"], "true");

    client.certificates += &TestCa::named("between").pem();
    let answer = server.get(&server.caller(Some(&client)), "/certificate").await.unwrap();
    assert_eq!((answer.body.clone(), answer.intermediates()), (client.leaf(), "1"));
}

// Whom to believe is decided per client, in the core.
#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_passed_on() {
    let server = Encrypted::start(Limits::default(), ClientAuth::Required).await;
    let own = Pair::self_signed("own");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = client_config_for(&[version], &server.ca, Some(&own), &["http/1.1"]);
        assert_eq!(server.get(&config.into(), "/certificate").await.unwrap().body, own.leaf());
    }
}

#[tokio::test]
async fn who_shows_none_is_let_in_unless_one_is_required() {
    for client_auth in [ClientAuth::Off, ClientAuth::Optional] {
        let server = Encrypted::start(Limits::default(), client_auth).await;
        let answer = server.get(&server.caller(None), "/certificate").await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 0));
    }
    let server = Encrypted::start(Limits::default(), ClientAuth::Required).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = client_config_for(&[version], &server.ca, None, &["http/1.1"]);
        assert!(server.get(&config.into(), "/hello").await.is_none());
    }
    assert_eq!((server.handshakes("failed"), server.handshakes("full")), (2, 0));
}

#[tokio::test]
async fn who_is_not_asked_shows_none() {
    let server = Encrypted::start(Limits::default(), ClientAuth::Off).await;
    let answer = server.get(&server.caller(Some(&Pair::self_signed("own"))), "/certificate").await.unwrap();
    assert_eq!(answer.body.len(), 0);
}

/// Shows a certificate and signs with another key.
#[derive(Debug)]
struct Impostor(Arc<CertifiedKey>);

impl ResolvesClientCert for Impostor {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

// V-20
#[tokio::test]
async fn the_key_must_be_proven() {
    let server = Encrypted::start(Limits::default(), ClientAuth::Optional).await;
    let (victim, own) = (server.ca.client("victim", &[]), server.ca.client("own", &[]));
    let with = |version, certificates: &Pair, key: &Pair| {
        use rustls::pki_types::{PrivateKeyDer, pem::PemObject};

        let key = PrivateKeyDer::from_pem_slice(key.key.as_bytes()).unwrap();
        let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
        let chain = certificates.der().into_iter().map(Into::into).collect();
        let mut config: ClientConfig = client_config_for(&[version], &server.ca, None, &["http/1.1"]);
        config.client_auth_cert_resolver = Arc::new(Impostor(Arc::new(CertifiedKey::new(chain, key))));
        Arc::new(config)
    };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        assert!(server.get(&with(version, &victim, &own), "/certificate").await.is_none());
        let answer = server.get(&with(version, &victim, &victim), "/certificate").await.unwrap();
        assert_eq!(answer.body, victim.leaf());
    }
    assert_eq!(server.handshakes("failed"), 2);
}

#[tokio::test]
async fn chains_beyond_16_kib_are_refused() {
    let server = Encrypted::start(Limits::default(), ClientAuth::Optional).await;
    let more = server.ca.pem();
    let chain = |length: usize| {
        let mut client = server.ca.client("billing", &[]);
        while client.der().concat().len() + server.ca.der().len() <= length {
            client.certificates += &more;
        }
        client
    };
    let fits = chain(16 * 1024);
    let answer = server.get(&server.caller(Some(&fits)), "/certificate").await.unwrap();
    assert_eq!(answer.body, fits.leaf());
    let mut long = fits.clone();
    long.certificates += &more;
    assert!(server.get(&server.caller(Some(&long)), "/certificate").await.is_none());
    assert!(server.is_serving().await);
}

#[tokio::test]
async fn a_resumed_session_has_the_certificate_of_its_first_handshake() {
    let server = Encrypted::start(Limits::default(), ClientAuth::Optional).await;
    let (one, other) = (server.ca.client("one", &[]), server.ca.client("other", &[]));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let caller = |client| Arc::new(client_config_for(&[version], &server.ca, client, &["http/1.1"]));
        let callers =
            [(caller(Some(&one)), one.leaf()), (caller(Some(&other)), other.leaf()), (caller(None), vec![])];
        for resumed in [false, true, true] {
            for (caller, leaf) in &callers {
                let answer = server.get(caller, "/certificate").await.unwrap();
                assert_eq!((answer.resumed, &answer.body), (resumed, leaf), "{version:?}");
            }
        }
    }
    assert_eq!((server.handshakes("full"), server.handshakes("resumed")), (6, 12));
}

// A client without session tickets, which few are.
#[tokio::test]
async fn sessions_in_memory_are_resumed_with_their_certificate() {
    let server = Encrypted::start(Limits::default(), ClientAuth::Required).await;
    let client = server.ca.client("one", &[]);
    let mut config = client_config_for(&[&rustls::version::TLS12], &server.ca, Some(&client), &["http/1.1"]);
    config.resumption = rustls::client::Resumption::in_memory_sessions(8)
        .tls12_resumption(rustls::client::Tls12Resumption::SessionIdOnly);
    let caller = Arc::new(config);
    for resumed in [false, true] {
        let answer = server.get(&caller, "/certificate").await.unwrap();
        assert_eq!((answer.resumed, answer.body), (resumed, client.leaf()));
    }
}
