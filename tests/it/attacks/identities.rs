//! Many tokens of many clients at once: no answer is about another token (V-11).

use std::sync::Arc;

use tokio::task::JoinSet;

use super::judge::Judge;
use crate::support::{TestServer, auth::basic, forge::part, http::FORM, server::CLIENTS};

const TOKENS: usize = 1000;
const MANY: usize = 100;

fn secret(n: usize) -> String {
    format!("mint_{n:043}")
}

// V-11
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_about_the_token_it_was_asked_about() {
    let clients: String = (0..MANY)
        .map(|n| {
            let alg = ["ES256", "EdDSA", "HS256"][n % 3];
            let secret = secret(n);
            format!("\n[[clients]]\nclient_id = \"many-{n}\"\nclient_secret = \"{secret}\"\naccess_token_signing_alg = \"{alg}\"\n")
        })
        .collect();
    let server = TestServer::with(&format!("{CLIENTS}{clients}")).await;
    let http = reqwest::Client::new();
    let mut tokens = Vec::new();
    for n in 0..TOKENS {
        let client = n % MANY;
        let request = http.post(server.url("/token")).header(FORM.0, FORM.1);
        let request = request.header("authorization", basic(&format!("many-{client}"), &secret(client)));
        let response = request.body("grant_type=client_credentials").send().await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        tokens.push(json["access_token"].as_str().unwrap().to_owned());
    }

    let judge = Arc::new(Judge::of(&server).await);
    // The resource server's own first login costs an Argon2id hash; after it, everything is fast.
    judge.accepts(&tokens[0]).await;
    let mut asking = JoinSet::new();
    for (n, token) in tokens.into_iter().enumerate() {
        let judge = Arc::clone(&judge);
        asking.spawn(async move {
            let claims = part(&token, 1);
            let damaged = damage(&token);
            if n % 2 == 0 {
                let (_, body) = judge.introspected(&token).await;
                let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
                assert_eq!(answer["active"], true);
                assert_eq!(answer["jti"], claims["jti"]);
                assert_eq!(answer["client_id"], format!("many-{}", n % MANY));
                assert_eq!(judge.introspected(&damaged).await.1, r#"{"active":false}"#);
            } else {
                let answer = judge.introspected_by_grpc(&token).await;
                assert!(answer.active);
                assert_eq!(answer.token_id, claims["jti"].as_str().unwrap());
                assert_eq!(answer.client_id, format!("many-{}", n % MANY));
                assert!(!judge.introspected_by_grpc(&damaged).await.active);
            }
            claims["jti"].as_str().unwrap().to_owned()
        });
    }
    let ids = asking.join_all().await;
    assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), TOKENS);
}

/// The token with the last byte of its signature changed.
fn damage(token: &str) -> String {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = crate::support::forge::unb64(signature);
    *bytes.last_mut().unwrap() ^= 1;
    format!("{input}.{}", crate::support::forge::b64(bytes))
}
