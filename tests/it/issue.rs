//! Issuing tokens, over REST and gRPC alike.

use crate::support::{Auth, Issue, TestServer, Wire};

// CHK-7, CHK-11, CHK-13
#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_a_token_with_all_its_scopes() {
    let server = TestServer::start().await;
    for wire in Wire::both(&server).await {
        for auth in [Auth::of("rs256"), Auth::post("rs256")] {
            let response = wire.issue(&auth, &Issue::default()).await.unwrap();
            assert_eq!(response["token_type"], "Bearer");
            assert_eq!(response["expires_in"], 3600);
            assert_eq!(response["scope"], "read write admin");
        }
    }
}
