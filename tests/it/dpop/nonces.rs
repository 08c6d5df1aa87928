//! Nonces of the server (RFC 9449 §8).

use super::*;
use crate::support::Transport;

async fn server() -> TestServer {
    TestServer::with(&format!("{CLIENTS}\n[dpop]\nnonce = \"required\"\n")).await
}

fn proof(key: &DpopKey, mut claims: Value, nonce: &str, iat: u64) -> String {
    claims["nonce"] = nonce.into();
    claims["iat"] = iat.into();
    key.proof(&claims)
}

// CHK-124
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_without_the_nonce_is_told_it() {
    let server = server().await;
    for wire in Wire::both(&server).await {
        server.clock.set(NOW);
        let key = DpopKey::generate();
        let refused = issue(&wire, &[key.for_token(&wire)]).await.unwrap_err();
        assert_eq!(refused.error, "use_dpop_nonce");
        let nonce = refused.dpop_nonce.unwrap();
        let made_up = issue(&wire, &[proof(&key, token_claims(&wire), "made-up", NOW)]).await.unwrap_err();
        assert_eq!(made_up.error, "use_dpop_nonce");

        let answer = issue(&wire, &[proof(&key, token_claims(&wire), &nonce, NOW)]).await.unwrap();
        let token = answer["access_token"].as_str().unwrap();
        let refused = userinfo(&wire, token, &[key.for_userinfo(&wire, token)]).await.unwrap_err();
        assert_eq!((refused.error.as_str(), refused.dpop_nonce), ("use_dpop_nonce", Some(nonce.clone())));
        let proofs = [proof(&key, userinfo_claims(&wire, token), &nonce, NOW)];
        assert!(userinfo(&wire, token, &proofs).await.is_ok());

        // It grows old, and the next one is told.
        server.clock.set(NOW + 120);
        let proofs = [proof(&key, token_claims(&wire), &nonce, NOW + 120)];
        let old = issue(&wire, &proofs).await.unwrap_err();
        assert_eq!(old.error, "use_dpop_nonce");
        assert_ne!(old.dpop_nonce.unwrap(), nonce);
        // Who uses no proofs needs no nonce.
        assert!(issue(&wire, &[]).await.is_ok());
    }
}

// The refusal for want of a nonce does not use up the jti, and a nonce may be used again.
#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_serves_many_proofs() {
    let server = server().await;
    for wire in Wire::both(&server).await {
        let key = DpopKey::generate();
        let mut claims = token_claims(&wire);
        claims["jti"] = "the-same".into();
        let nonce = issue(&wire, &[key.proof(&claims)]).await.unwrap_err().dpop_nonce.unwrap();
        assert!(issue(&wire, &[proof(&key, claims, &nonce, NOW)]).await.is_ok());
        for _ in 0..3 {
            assert!(issue(&wire, &[proof(&key, token_claims(&wire), &nonce, NOW)]).await.is_ok());
        }
    }
}

// RFC 9449 §8.2: a success tells the nonce as well, so that nobody need be refused when it changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_success_tells_the_nonce() {
    let server = server().await;
    let wires = Wire::both(&server).await;
    for wire in &wires {
        let key = DpopKey::generate();
        let nonce = issue(wire, &[key.for_token(wire)]).await.unwrap_err().dpop_nonce.unwrap();
        let proof = proof(&key, token_claims(wire), &nonce, NOW);
        let told = match wire.transport {
            Transport::Rest => {
                let request = reqwest::Client::new()
                    .post(server.url("/token"))
                    .basic_auth("rs256", Some("secret-of-rs256"))
                    .header("content-type", "application/x-www-form-urlencoded")
                    .header("dpop", proof)
                    .body("grant_type=client_credentials");
                let response = request.send().await.unwrap();
                assert_eq!(response.status(), 200);
                assert_eq!(response.headers()["cache-control"], "no-store");
                response.headers()["dpop-nonce"].to_str().unwrap().to_owned()
            }
            Transport::Grpc => {
                let mut request = Auth::of("rs256").call(Default::default());
                request.metadata_mut().insert("dpop", proof.parse().unwrap());
                let response = wire.grpc().issue(request).await.unwrap();
                response.metadata().get("dpop-nonce").unwrap().to_str().unwrap().to_owned()
            }
        };
        assert_eq!(told, nonce);
    }
    // Where none are required none are told.
    let server = TestServer::shared().await;
    let [rest, _] = Wire::both(server).await;
    let request = reqwest::Client::new()
        .post(server.url("/token"))
        .basic_auth("rs256", Some("secret-of-rs256"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("dpop", DpopKey::generate().for_token(&rest))
        .body("grant_type=client_credentials");
    let response = request.send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers().get("dpop-nonce")), (200, None));
}
