//! Tokens of trusted issuers as client assertion and as grant (RFC 7521 §4, RFC 7523 §2 and §3), with an issuer that
//! behaves like a cluster: discovery, keys that rotate, audiences in a list, claims in objects, no `jti`.

use std::time::Duration;

use mintage::{grpc::pb::token as pb, jose::JwsAlgorithm};
use serde_json::{Value, json};

use crate::support::{
    TestServer, Wire,
    auth::Auth,
    issuer::StandInIssuer,
    server::{ISSUER, NOW},
    wire::{Issue, Outcome, Transport, error},
};

mod svid;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A server that trusts a cluster by discovery, whose tokens have no `jti`, and a CI provider by URL, whose tokens are used
/// once.
struct Fixture {
    cluster: StandInIssuer,
    ci: StandInIssuer,
    server: TestServer,
    wires: [Wire; 2],
}

impl Fixture {
    async fn new() -> Self {
        let cluster = StandInIssuer::start(JwsAlgorithm::RS256).await;
        let ci = StandInIssuer::start(JwsAlgorithm::ES256).await;
        let toml = format!(
            r#"
[limits]
failed_auth_rate = "off"

[tokens]
signing_alg = "EdDSA"

[jwks_fetch]
allow_hosts = ["{cluster_host}", "{ci_host}"]
allow_http = true
timeout = "10s"

[[trusted_issuers]]
issuer = "{cluster}"
discovery = true
replay = "none"
conditions = {{ "kubernetes.io.namespace" = "prod" }}

[[trusted_issuers]]
issuer = "{ci}"
jwks_uri = "{ci}/openid/v1/jwks"
audience = "mintage"
algorithms = ["ES256"]

[[clients]]
client_id = "billing"
scope = "read write"
grant_types = ["client_credentials", "{GRANT}"]
federated = [{{ issuer = "{cluster}", subject = "system:serviceaccount:prod:billing" }}, {{ issuer = "{ci}", subject = "repo:org/billing:*" }}]

[[clients]]
client_id = "reports"
federated = [{{ issuer = "{cluster}", subject = "system:serviceaccount:prod:*" }}, {{ issuer = "{ci}", subject = "repo:org/*" }}]

[[clients]]
client_id = "with-secret"
client_secret = "secret-of-with-secret"
token_endpoint_auth_method = "client_secret_basic"
grant_types = ["{GRANT}"]
federated = [{{ issuer = "{cluster}", subject = "system:serviceaccount:prod:*" }}, {{ issuer = "{ci}", subject = "repo:org/*" }}]

[[clients]]
client_id = "switched-off"
enabled = false
federated = [{{ issuer = "{cluster}", subject = "*" }}]

[[clients]]
client_id = "of-nobody"
client_secret = "secret-of-of-nobody"
grant_types = ["client_credentials", "{GRANT}"]
federated = [{{ issuer = "{cluster}", subject = "system:serviceaccount:prod" }}]
"#,
            cluster = cluster.issuer(),
            cluster_host = cluster.host(),
            ci = ci.issuer(),
            ci_host = ci.host(),
        );
        let server = TestServer::with(&toml).await;
        let wires = Wire::both(&server).await;
        Self { cluster, ci, server, wires }
    }

    /// A projected token as a kubelet writes it.
    fn projected(&self, account: &str) -> Value {
        json!({
            "aud": [ISSUER, "https://kubernetes.default.svc"],
            "exp": NOW + 3607,
            "iat": NOW,
            "nbf": NOW,
            "iss": self.cluster.issuer(),
            "sub": format!("system:serviceaccount:prod:{account}"),
            "kubernetes.io": {
                "namespace": "prod",
                "node": { "name": "n1", "uid": "2" },
                "pod": { "name": "billing-7d4", "uid": "3" },
                "serviceaccount": { "name": account, "uid": "4" },
            },
        })
    }

    /// A token of a CI run.
    fn run(&self, jti: &str) -> Value {
        json!({
            "aud": "mintage",
            "exp": NOW + 300,
            "iat": NOW,
            "iss": self.ci.issuer(),
            "sub": "repo:org/billing:ref:refs/heads/main",
            "jti": jti,
        })
    }
}

fn assertion(client_id: &str, assertion: &str) -> Auth {
    Auth::Assertion {
        client_id: client_id.to_owned(),
        kind: JWT_BEARER.to_owned(),
        assertion: assertion.to_owned(),
    }
}

async fn ask(wire: &Wire, auth: &Auth) -> Outcome {
    wire.issue(auth, &Issue::default()).await
}

/// Asks with the grant; `client_id` stands alone when there is no other authentication.
async fn ask_grant(wire: &Wire, auth: &Auth, client_id: &str, token: &str) -> Outcome {
    match wire.transport {
        Transport::Rest => {
            let mut form = vec![("grant_type", GRANT.to_owned())];
            form.extend((!token.is_empty()).then(|| ("assertion", token.to_owned())));
            form.extend((!client_id.is_empty()).then(|| ("client_id", client_id.to_owned())));
            wire.post("/token", auth, form).await.map(|text| serde_json::from_str(&text).unwrap())
        }
        Transport::Grpc => {
            let grant = pb::JwtBearerGrant { assertion: token.to_owned() };
            let message = pb::IssueRequest {
                grant: Some(pb::issue_request::Grant::JwtBearer(grant)),
                client_id: client_id.to_owned(),
                ..Default::default()
            };
            let response = wire.issue_message(auth, message).await?;
            Ok(json!({ "access_token": response.access_token, "scope": response.scopes.join(" ") }))
        }
    }
}

/// The claims of a token that was issued.
fn claims(outcome: Outcome) -> Value {
    let response = outcome.unwrap();
    let token = response["access_token"].as_str().unwrap();
    let payload = mintage::jose::base64url_decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_authenticates_its_clients() {
    let fixture = Fixture::new().await;
    let billing = fixture.cluster.sign(&fixture.projected("billing"));
    let reports = fixture.cluster.sign(&fixture.projected("reports"));
    for wire in &fixture.wires {
        // The request says which of its clients is meant, and a projected token is used until it ends.
        for _ in 0..2 {
            for client_id in ["billing", "reports"] {
                let claims = claims(ask(wire, &assertion(client_id, &billing)).await);
                assert_eq!((&claims["sub"], &claims["client_id"]), (&json!(client_id), &json!(client_id)));
            }
        }
        assert!(ask(wire, &assertion("reports", &reports)).await.is_ok());
        for client_id in ["billing-2", "switched-off", "of-nobody", "with-secret"] {
            assert_eq!(
                error(ask(wire, &assertion(client_id, &billing)).await),
                "invalid_client",
                "{client_id}"
            );
        }
        assert_eq!(error(ask(wire, &assertion("billing", &reports)).await), "invalid_client");
        // It is no JWT-SVID.
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe".to_owned();
        let as_svid = Auth::Assertion { client_id: "billing".to_owned(), kind, assertion: billing.clone() };
        assert_eq!(error(ask(wire, &as_svid).await), "invalid_client");
        // Without client_id the subject would be the client, and is none.
        assert_eq!(error(ask(wire, &assertion("", &billing)).await), "invalid_client");
    }
    // Metadata and keys, once.
    assert_eq!(fixture.cluster.requests(), 2);
}

// CHK-65, CHK-67, CHK-71 to CHK-76, V-1, V-6, V-7
#[tokio::test(flavor = "multi_thread")]
async fn each_check_of_a_projected_token() {
    let fixture = Fixture::new().await;
    let good = fixture.projected("billing");
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    };
    let cases = [
        ("iss", json!("https://evil.example")),
        ("iss", json!(format!("{}/", fixture.cluster.issuer()))),
        ("iss", json!([fixture.cluster.issuer()])),
        ("iss", Value::Null),
        // Of the other trusted issuer, under the keys of this one.
        ("iss", json!(fixture.ci.issuer())),
        ("sub", json!("system:serviceaccount:prod:billing ")),
        ("sub", json!("system:serviceaccount:dev:billing")),
        ("sub", json!("system:serviceaccount:prod:Billing")),
        ("sub", json!(1)),
        ("sub", Value::Null),
        ("aud", json!(["https://kubernetes.default.svc"])),
        ("aud", json!(format!("{ISSUER}/"))),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("exp", json!(NOW - 10)),
        ("exp", json!((NOW + 60).to_string())),
        ("exp", json!(-1)),
        ("exp", Value::Null),
        ("nbf", json!(NOW + 11)),
        ("iat", json!(NOW + 11)),
        ("kubernetes.io", json!({ "namespace": "dev" })),
        ("kubernetes.io", json!({})),
        ("kubernetes.io", json!("namespace")),
        ("kubernetes.io", Value::Null),
        // Then the namespace could be read in two places.
        ("kubernetes.io.namespace", json!("prod")),
    ];
    let refused: Vec<_> = cases
        .iter()
        .map(|(name, value)| (format!("{name} = {value}"), fixture.cluster.sign(&with(name, value.clone()))))
        .chain([
            ("typ at+jwt".to_owned(), fixture.cluster.sign_with(&json!({ "typ": "at+jwt" }), &good)),
            ("typ dpop+jwt".to_owned(), fixture.cluster.sign_with(&json!({ "typ": "dpop+jwt" }), &good)),
            ("crit".to_owned(), fixture.cluster.sign_with(&json!({ "crit": ["x"] }), &good)),
            ("kid".to_owned(), fixture.cluster.sign_with(&json!({ "kid": "another" }), &good)),
            ("key".to_owned(), fixture.ci.sign(&good)),
            // It has the key, and may not use the algorithm (CHK-74).
            ("alg".to_owned(), fixture.cluster.sign_as(JwsAlgorithm::ES384, &good)),
            ("changed".to_owned(), {
                let token = fixture.cluster.sign(&good);
                let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
                parts[1] =
                    mintage::jose::base64url(with("sub", json!("system:serviceaccount:prod:x")).to_string());
                parts.join(".")
            }),
        ])
        .collect();
    let accepted: Vec<_> = [
        ("aud", json!(ISSUER)),
        ("aud", json!([ISSUER])),
        ("exp", json!(NOW - 9)),
        ("exp", json!(NOW as f64 + 0.5)),
        ("exp", json!(NOW + 365 * 24 * 3600)),
        ("nbf", json!(NOW + 10)),
        ("nbf", Value::Null),
        ("iat", Value::Null),
        ("jti", json!("x")),
    ]
    .into_iter()
    .map(|(name, value)| (format!("{name} = {value}"), fixture.cluster.sign(&with(name, value))))
    .chain([("typ".to_owned(), fixture.cluster.sign_with(&json!({ "typ": "JWT" }), &good))])
    .chain([("no kid".to_owned(), fixture.cluster.sign_with(&json!({ "kid": null }), &good))])
    .collect();

    for wire in &fixture.wires {
        for (what, token) in &refused {
            assert_eq!(error(ask(wire, &assertion("billing", token)).await), "invalid_client", "{what}");
            let grant = ask_grant(wire, &Auth::None, "billing", token).await;
            assert_eq!(error(grant), "invalid_grant", "{what}");
        }
        for (what, token) in &accepted {
            assert!(ask(wire, &assertion("billing", token)).await.is_ok(), "{what}");
            assert!(ask_grant(wire, &Auth::None, "billing", token).await.is_ok(), "{what}");
        }
    }
}

// RFC 7523 §2.1
#[tokio::test(flavor = "multi_thread")]
async fn a_projected_token_is_a_grant() {
    let fixture = Fixture::new().await;
    let token = fixture.cluster.sign(&fixture.projected("billing"));
    let secret = Auth::of("with-secret");
    for wire in &fixture.wires {
        // Alone, for the client that client_id chooses.
        let claims = claims(ask_grant(wire, &Auth::None, "billing", &token).await);
        assert_eq!((&claims["sub"], &claims["scope"]), (&json!("billing"), &json!("read write")));
        // Beside the client's own authentication.
        assert_eq!(self::claims(ask_grant(wire, &secret, "", &token).await)["sub"], "with-secret");
        // Beside itself as assertion: it is used until it ends.
        assert!(ask_grant(wire, &assertion("billing", &token), "", &token).await.is_ok());

        for (auth, client_id, sent, code) in [
            (&Auth::None, "", &*token, "invalid_request"),
            (&Auth::None, "billing", "", "invalid_client"),
            (&secret, "", "", "invalid_request"),
            (&Auth::None, "unknown", &token, "invalid_grant"),
            (&Auth::None, "switched-off", &token, "invalid_grant"),
            // It is registered for the secret, and the grant is no substitute (CHK-25).
            (&Auth::None, "with-secret", &token, "invalid_grant"),
            (&Auth::of("of-nobody"), "", &token, "invalid_grant"),
            (&Auth::basic("with-secret", "wrong"), "", &token, "invalid_client"),
            (&Auth::None, "reports", &token, "unauthorized_client"),
        ] {
            let outcome = ask_grant(wire, auth, client_id, sent).await;
            assert_eq!(error(outcome), code, "{auth:?} {client_id}");
        }
        // The grant it may have does not stand for one it may not.
        assert_eq!(error(ask(wire, &secret).await), "unauthorized_client");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grant_is_there_when_somebody_is_trusted() {
    let fixture = Fixture::new().await;
    let offered = |server: &TestServer| {
        let url = server.url("/.well-known/oauth-authorization-server");
        async move {
            let text = reqwest::get(url).await.unwrap().text().await.unwrap();
            let document: Value = serde_json::from_str(&text).unwrap();
            document["grant_types_supported"].as_array().unwrap().contains(&json!(GRANT))
        }
    };
    assert!(offered(&fixture.server).await);
    let nobody = TestServer::start().await;
    assert!(!offered(&nobody).await);
    for wire in Wire::both(&nobody).await {
        let token = fixture.cluster.sign(&fixture.projected("billing"));
        let outcome = ask_grant(&wire, &Auth::of("es256"), "", &token).await;
        assert_eq!(error(outcome), "unsupported_grant_type");
        assert_eq!(error(ask(&wire, &assertion("es256", &token)).await), "invalid_client");
    }
}

// V-44, V-46
#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_a_jti_is_used_once_by_whatever_client() {
    let fixture = Fixture::new().await;
    let run = |jti: &str| fixture.ci.sign(&fixture.run(jti));
    for (round, wire) in fixture.wires.iter().enumerate() {
        let jti = |name: &str| format!("{name}-{round}");
        // Those who may not use it do not use it up.
        let first = run(&jti("a"));
        assert_eq!(error(ask(wire, &assertion("with-secret", &first)).await), "invalid_client");
        assert!(ask(wire, &assertion("billing", &first)).await.is_ok());
        assert_eq!(error(ask(wire, &assertion("billing", &first)).await), "invalid_client");
        assert_eq!(error(ask(wire, &assertion("reports", &first)).await), "invalid_client");
        assert_eq!(error(ask_grant(wire, &Auth::None, "billing", &first).await), "invalid_grant");

        let second = run(&jti("b"));
        assert!(ask_grant(wire, &Auth::None, "billing", &second).await.is_ok());
        assert_eq!(error(ask_grant(wire, &Auth::of("with-secret"), "", &second).await), "invalid_grant");

        for (name, value) in [
            ("jti", Value::Null),
            ("jti", json!("")),
            ("jti", json!(7)),
            ("jti", json!("x".repeat(257))),
            ("aud", json!(ISSUER)),
            ("exp", json!(NOW + 24 * 3600 + 1)),
            ("sub", json!("repo:other/billing:ref")),
        ] {
            let mut claims = fixture.run(&jti(name));
            claims[name] = value.clone();
            claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            let token = fixture.ci.sign(&claims);
            assert_eq!(
                error(ask(wire, &assertion("billing", &token)).await),
                "invalid_client",
                "{name} {value}"
            );
        }
    }
}

// V-34
#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate() {
    let fixture = Fixture::new().await;
    let wire = &fixture.wires[0];
    let token = |fixture: &Fixture| fixture.cluster.sign(&fixture.projected("billing"));
    let old = token(&fixture);
    assert!(ask(wire, &assertion("billing", &old)).await.is_ok());

    fixture.cluster.rotate(true);
    let new = token(&fixture);
    assert_eq!(error(ask(wire, &assertion("billing", &new)).await), "invalid_client");
    fixture.server.clock.advance(Duration::from_secs(30));
    assert!(ask(wire, &assertion("billing", &new)).await.is_ok());
    assert!(ask(wire, &assertion("billing", &old)).await.is_ok());
    assert_eq!(fixture.cluster.requests(), 4);

    // A key that was withdrawn is forgotten when the set is fetched again.
    fixture.cluster.rotate(false);
    let newest = token(&fixture);
    fixture.server.clock.advance(Duration::from_secs(30));
    assert!(ask(wire, &assertion("billing", &newest)).await.is_ok());
    assert_eq!(error(ask(wire, &assertion("billing", &new)).await), "invalid_client");
}
