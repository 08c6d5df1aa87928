//! A whole server that speaks TLS: both transports, its files while it runs, and its command line.

mod dev;
mod process;
mod reload;

use mintage::serve::tls::ClientAuth;

use crate::support::{
    Auth, Issue, TestServer, Wire,
    server::CLIENTS,
    tls::{Pair, TestCa},
};

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_served_over_tls_as_without() {
    let ca = TestCa::new();
    for (client_auth, client) in [
        (ClientAuth::Off, None),
        (ClientAuth::Optional, None),
        (ClientAuth::Required, Some(Pair::self_signed("somebody"))),
    ] {
        let server = TestServer::with_tls(CLIENTS, &ca, client_auth).await;
        for wire in Wire::both_with_tls(&server, &ca, client.as_ref()).await {
            let token = wire.granted(&Auth::of("es256"), &Issue::default()).await;
            assert!(wire.is_active(&token).await);
            wire.revoke(&Auth::of("es256"), &token, "").await.unwrap();
            assert!(!wire.is_active(&token).await);
            // A refusal is the same too.
            let refused = wire.issue(&Auth::of("nobody"), &Issue::default()).await.unwrap_err();
            assert_eq!(refused.error, "invalid_client");
        }
        // The certificate of the tests ends in the year 4096.
        assert_eq!(server.metric("mintage_tls_certificate_expiry_seconds"), 67_090_118_400);
        assert_eq!(server.metric("mintage_file_stale{file=\"tls\"}"), 0);
    }
}
