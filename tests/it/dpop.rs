//! DPoP (RFC 9449), over REST and gRPC alike.

mod binding;
mod nonces;
mod proofs;
mod replays;
mod store;

use serde_json::{Value, json};

use crate::support::{
    Auth, Issue, Outcome, TestServer, Wire,
    dpop::{DpopKey, token_claims, userinfo_claims},
    error,
    server::{CLIENTS, ISSUER, NOW},
};

/// A token request with these proofs.
async fn issue(wire: &Wire, proofs: &[String]) -> Outcome {
    wire.proving(proofs).issue(&Auth::of("rs256"), &Issue::default()).await
}

/// A token that is bound to a key.
async fn bound_token(wire: &Wire, key: &DpopKey) -> String {
    let answer = issue(wire, &[key.for_token(wire)]).await.unwrap();
    assert_eq!(answer["token_type"], "DPoP");
    answer["access_token"].as_str().unwrap().to_owned()
}

/// Userinfo for a token under the DPoP scheme, with these proofs.
async fn userinfo(wire: &Wire, token: &str, proofs: &[String]) -> Outcome<String> {
    wire.proving(proofs).userinfo_with(&Auth::header(format!("DPoP {token}")), None).await
}
