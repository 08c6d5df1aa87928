//! Tokens bound to a certificate (RFC 8705 §3): worth nothing without it.

use mintage::{certificates::x5t_s256, grpc::pb::token as pb};
use serde_json::json;

use super::server;
use crate::support::{
    Auth, Issue, TestServer, Wire, error, jwt,
    tls::{self, Pair, TestCa},
};

const CLIENTS: &str = r#"
[admin]
registration = true

[[clients]]
client_id = "bound"
token_endpoint_auth_method = "tls_client_auth"
tls_client_auth_subject_dn = "CN=bound"
tls_client_certificate_bound_access_tokens = true
scope = "mintage:register"

[[clients]]
client_id = "unbound"
token_endpoint_auth_method = "tls_client_auth"
tls_client_auth_subject_dn = "CN=bound"

[[clients]]
client_id = "secret"
client_secret = "mint_0000000000000000000000000000000000000000000"
tls_client_certificate_bound_access_tokens = true

[[clients]]
client_id = "resource-server"
client_secret = "mint_0000000000000000000000000000000000000000000"
grant_types = []
introspect = "any"
"#;

fn secret(client_id: &str) -> Auth {
    Auth::basic(client_id, "mint_0000000000000000000000000000000000000000000")
}

struct World {
    ca: TestCa,
    pair: Pair,
    server: TestServer,
}

impl World {
    async fn start() -> Self {
        let ca = TestCa::new();
        let (pair, server) = (ca.client("bound", &[]), server(CLIENTS, &ca).await);
        Self { ca, pair, server }
    }

    async fn wires(&self, pair: Option<&Pair>) -> [Wire; 2] {
        Wire::both_with_tls(&self.server, &self.ca, pair).await
    }

    async fn token(&self, client_id: &str) -> String {
        let [rest, _] = self.wires(Some(&self.pair)).await;
        rest.granted(&Auth::certificate(client_id), &Issue::default()).await
    }
}

// CHK-115, CHK-46
#[tokio::test]
async fn a_token_names_its_certificate() {
    let world = World::start().await;
    let thumbprint = x5t_s256(&world.pair.leaf());
    for wire in world.wires(Some(&world.pair)).await {
        for auth in [Auth::certificate("bound"), secret("secret")] {
            let answer = wire.issue(&auth, &Issue::default()).await.unwrap();
            assert_eq!(answer["token_type"], "Bearer");
            let token = answer["access_token"].as_str().unwrap();
            assert_eq!(jwt::claims(token)["cnf"], json!({ "x5t#S256": thumbprint }));
            let asked = wire.introspect(&secret("resource-server"), token).await.unwrap();
            assert_eq!(asked["cnf"], json!({ "x5t#S256": thumbprint }));
            assert_eq!(asked["token_type"], "Bearer");
            let message = pb::IntrospectRequest { token: token.to_owned(), ..Default::default() };
            let asked = wire.introspect_message(&secret("resource-server"), message).await.unwrap();
            let expected = pb::Confirmation { x5t_s256: thumbprint.clone(), jkt: String::new() };
            assert_eq!(asked.confirmation, Some(expected));
        }
        let token = wire.granted(&Auth::certificate("unbound"), &Issue::default()).await;
        assert!(jwt::claims(&token).get("cnf").is_none());
        let message = pb::IntrospectRequest { token, ..Default::default() };
        let asked = wire.introspect_message(&secret("resource-server"), message).await.unwrap();
        assert_eq!((asked.active, asked.confirmation), (true, None));
    }
    for wire in world.wires(None).await {
        assert_eq!(error(wire.issue(&secret("secret"), &Issue::default()).await), "invalid_request");
    }
}

// CHK-116, V-47
#[tokio::test]
async fn a_bound_token_needs_its_certificate() {
    let world = World::start().await;
    let (bound, unbound) = (world.token("bound").await, world.token("unbound").await);
    for wire in world.wires(Some(&world.pair)).await {
        assert_eq!(wire.userinfo(Some(&bound)).await.unwrap()["sub"], "bound");
        assert_eq!(
            error(wire.userinfo_with(&Auth::header(format!("DPoP {bound}")), None).await),
            "invalid_token"
        );
    }
    // No certificate; another of the same subject and authority; another's chain with the right one behind it.
    let other = world.ca.client("bound", &[]);
    let mut with_extra = other.clone();
    with_extra.certificates += &world.pair.certificates;
    for pair in [None, Some(&other), Some(&with_extra)] {
        for wire in world.wires(pair).await {
            assert_eq!(error(wire.userinfo(Some(&bound)).await), "invalid_token");
            assert_eq!(error(wire.userinfo_with(&Auth::None, Some(&bound)).await), "invalid_token");
            assert!(wire.userinfo(Some(&unbound)).await.is_ok());
            // Whoever asks about it is told what it is bound to, and needs no certificate of the token's owner.
            assert_eq!(wire.introspect(&secret("resource-server"), &bound).await.unwrap()["active"], true);
        }
    }
}

// CHK-116
#[tokio::test]
async fn whoever_registers_clients_is_asked_for_it_too() {
    let world = World::start().await;
    let bound = world.token("bound").await;
    let register = async |pair: Option<&Pair>| {
        let request = tls::http(&world.ca, pair).post(format!("https://{}/register", world.server.address));
        let request = request.header("authorization", format!("Bearer {bound}"));
        let request = request.header("content-type", "application/json").body("{}");
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(register(Some(&world.pair)).await, 201);
    assert_eq!(register(None).await, 401);
    assert_eq!(register(Some(&world.ca.client("bound", &[]))).await, 401);
}
