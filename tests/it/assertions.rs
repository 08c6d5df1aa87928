//! Client assertions (RFC 7523, OpenID Connect Core 1.0 §9), over REST and gRPC alike: private_key_jwt and
//! client_secret_jwt under every profile.

mod accepted;
mod administered;
mod keys;
mod local;
mod logged;
mod profiles;
mod published;
mod refused;
mod replay;
mod replicas;
mod secrets;
mod watched;

use std::net::IpAddr;

use mintage::{
    oauth::{
        Error,
        client::{ClientAuthentication, PresentedCredentials, assertion::refusal::AssertionRefusal},
        error::ClientRefusal,
        issue::TokenRequest,
        sender::{Endpoint, Sender},
    },
    secret::Secret,
};
use serde_json::{Value, json};

use crate::support::{
    Auth, Issue, TestServer, Wire,
    assertion::{
        ASYMMETRIC, ClientKey, JWT_BEARER, by_secret, claims, claims_with, header, keyed_client, presented,
        presented_as,
    },
    error,
    forge::{b64, part},
    server::{ISSUER, NOW},
};

/// What every configuration here begins with.
const SETTINGS: &str = r#"
[limits]
failed_auth_rate = "off"

[tokens]
signing_alg = "ES256"

[[clients]]
client_id = "resource-server"
client_secret = "mint_0000000000000000000000000000000000000000000"
grant_types = []
introspect = "any"
"#;

/// The secret in [`SETTINGS`].
const SECRET: &str = "mint_0000000000000000000000000000000000000000000";

/// A server with these clients beside the one of [`SETTINGS`].
async fn server_with(clients: &str) -> TestServer {
    TestServer::with_environment(&format!("{SETTINGS}{clients}"), &[("JWT_SECRET", "")]).await
}

/// A server with one client, `c1`, whose key is for ES256; `more` are further members of it.
async fn server_of_one(more: &str) -> (TestServer, ClientKey) {
    let key = ClientKey::generate("ES256", "k1");
    (server_with(&keyed_client("c1", &[&key], more)).await, key)
}

async fn granted(wire: &Wire, auth: &Auth) -> Value {
    wire.issue(auth, &Issue::default()).await.unwrap_or_else(|refused| panic!("{wire:?}: {refused:?}"))
}

/// Every transport refuses, and this is why. The reason is for the log alone.
async fn refused_for(server: &TestServer, auth: &Auth, what: &str) -> ClientRefusal {
    for wire in Wire::both(server).await {
        let refused = wire.issue(auth, &Issue::default()).await.expect_err(what);
        assert_eq!(refused.error, "invalid_client", "{wire:?} {what}");
        assert_eq!(refused.description, "client authentication failed", "CHK-70 {what}");
    }
    reason(server, auth).await
}

/// The same for an assertion that is sent alone.
async fn refusal(server: &TestServer, assertion: &str, what: &str) -> AssertionRefusal {
    match refused_for(server, &presented(assertion), what).await {
        ClientRefusal::Assertion(refusal) | ClientRefusal::NeedsCompat(refusal) => refusal,
        other => panic!("{what}: {other:?}"),
    }
}

/// Why the core refuses.
async fn reason(server: &TestServer, auth: &Auth) -> ClientRefusal {
    let Auth::Assertion { client_id, kind, assertion } = auth else { panic!("an assertion") };
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let read = ClientAuthentication::read(PresentedCredentials {
        client_id: text(client_id),
        client_assertion: text(assertion).map(Secret::new),
        client_assertion_type: text(kind),
        ..PresentedCredentials::default()
    });
    let issued = match read {
        Ok(authentication) => {
            let sender = Sender {
                source: IpAddr::from([127, 0, 0, 1]),
                certificate: None,
                dpop_proofs: Vec::new(),
                http_method: "POST",
                endpoint: Endpoint::Rest("/token"),
            };
            let request = TokenRequest {
                authentication,
                sender,
                grant_type: Some("client_credentials".to_owned()),
                scope: None,
                resources: Vec::new(),
                audiences: Vec::new(),
                lifetime: None,
                assertion: None,
            };
            server.core.server.issue(&request).await.map(drop)
        }
        Err(error) => Err(error),
    };
    match issued {
        Err(Error::InvalidClient(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}
