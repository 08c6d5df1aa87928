//! Clients that prove themselves by certificate, and tokens that are bound to one (RFC 8705, X.509-SVID).

mod binding;
mod issued;
mod metadata;
mod proxies;
mod self_signed;
mod spiffe;

use mintage::serve::tls::ClientAuth;

use crate::support::{
    Auth, Issue, TestServer, Wire, error,
    tls::{Pair, TestCa},
};

/// Who presents a certificate must be refused as this client, over both transports.
async fn assert_refused(server: &TestServer, ca: &TestCa, pair: &Pair, client_id: &str) {
    for wire in Wire::both_with_tls(server, ca, Some(pair)).await {
        let outcome = wire.issue(&Auth::certificate(client_id), &Issue::default()).await;
        assert_eq!(error(outcome), "invalid_client", "{client_id} {wire:?}");
    }
}

/// Who presents a certificate must be granted a token as this client, over both transports.
async fn assert_granted(server: &TestServer, ca: &TestCa, pair: &Pair, client_id: &str) {
    for wire in Wire::both_with_tls(server, ca, Some(pair)).await {
        let outcome = wire.issue(&Auth::certificate(client_id), &Issue::default()).await;
        assert!(outcome.is_ok(), "{client_id} {wire:?} {outcome:?}");
    }
}

/// A server that asks for certificates, all of whose clients sign with ES256.
async fn server(clients: &str, ca: &TestCa) -> TestServer {
    let toml = format!("[limits]\nfailed_auth_rate = \"off\"\n[tokens]\nsigning_alg = \"ES256\"\n{clients}");
    TestServer::with_tls(&toml, ca, ClientAuth::Optional).await
}
