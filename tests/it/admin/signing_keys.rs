//! Signing keys through the admin service and on the command line.

use std::process::Command;

use mintage::grpc::pb::admin::{
    self as pb, SigningKeyState, signing_key_service_client::SigningKeyServiceClient,
};
use serde_json::Value;
use tonic::{Code, Request, Status, transport::Channel};

use crate::support::{
    admin::{AdminServer, SECRET},
    jwt::header,
};

const MASTER_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const NEW_MASTER_KEY: &str = "YWJjZGVmZ2hpamFiY2RlZmdoaWphYmNkZWZnaGlqYWI=";

/// The service as a client sees it whose token has its scopes.
struct Keys {
    client: SigningKeyServiceClient<Channel>,
    token: String,
}

impl Keys {
    async fn of(server: &AdminServer, client_id: &str) -> Self {
        let client = SigningKeyServiceClient::new(server.channel(server.ops).await);
        Self { client, token: server.token(client_id, SECRET).await.unwrap() }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        request
    }

    async fn list(&mut self, alg: &str) -> Result<Vec<pb::SigningKey>, Status> {
        let request = self.request(pb::ListSigningKeysRequest { alg: alg.to_owned() });
        Ok(self.client.list_signing_keys(request).await?.into_inner().signing_keys)
    }

    async fn prepare(&mut self, alg: &str) -> Result<pb::SigningKey, Status> {
        let request = self.request(pb::PrepareSigningKeyRequest { alg: alg.to_owned() });
        Ok(self.client.prepare_signing_key(request).await?.into_inner().signing_key.unwrap())
    }
}

fn kid(key: &pb::SigningKey) -> String {
    key.kid.clone()
}

// V-73
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_led_through_their_life_by_the_service() {
    let server = AdminServer::start().await;
    let mut keys = Keys::of(&server, "operator").await;
    let all = keys.list("").await.unwrap();
    let algs = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];
    assert_eq!(all.iter().map(|key| key.alg.as_str()).collect::<Vec<_>>(), algs);
    assert!(all.iter().all(|key| key.state() == SigningKeyState::Active && key.generation == 1));

    let key = keys.prepare("ES256").await.unwrap();
    assert_eq!((key.state(), key.generation, key.publish_time), (SigningKeyState::Prepared, 2, None));
    let request = keys.request(pb::PublishSigningKeyRequest { kid: kid(&key) });
    let key = keys.client.publish_signing_key(request).await.unwrap().into_inner().signing_key.unwrap();
    assert_eq!(key.state(), SigningKeyState::Published);
    // Too early for some verifier, and named as what it is.
    let now = key.publish_time;
    let early = pb::ActivateSigningKeyRequest { kid: kid(&key), activate_time: now, force: false };
    let status = keys.client.activate_signing_key(keys.request(early.clone())).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("a verifier may not know"), "{}", status.message());
    let forced = keys.request(pb::ActivateSigningKeyRequest { force: true, ..early });
    let key = keys.client.activate_signing_key(forced).await.unwrap().into_inner().signing_key.unwrap();
    assert_eq!(key.state(), SigningKeyState::Active);
    let token = server.token("plain", SECRET).await.unwrap();
    assert_eq!(header(&token)["kid"], key.kid);
    let request = keys.request(pb::RetireSigningKeyRequest { kid: kid(&key) });
    assert_eq!(keys.client.retire_signing_key(request).await.unwrap_err().code(), Code::FailedPrecondition);

    let request =
        keys.request(pb::RotateSigningKeysRequest { algs: vec!["ES256".to_owned(), "EdDSA".to_owned()] });
    let next = keys.client.rotate_signing_keys(request).await.unwrap().into_inner().signing_keys;
    assert_eq!(next.len(), 2);
    assert!(next.iter().all(|key| key.state() == SigningKeyState::Published && key.activate_time.is_some()));
    let request = keys.request(pb::RetireSigningKeyRequest { kid: kid(&next[1]) });
    let retired = keys.client.retire_signing_key(request).await.unwrap().into_inner().signing_key.unwrap();
    assert_eq!(retired.state(), SigningKeyState::Retired);

    // F-11: the published one takes over.
    let request = keys.request(pb::RevokeSigningKeyRequest { kid: kid(&key) });
    let revoked = keys.client.revoke_signing_key(request).await.unwrap().into_inner();
    assert_eq!(revoked.signing_key.unwrap().state(), SigningKeyState::Revoked);
    assert_eq!(revoked.successor.unwrap().kid, next[0].kid);
    assert!(!server.is_active(&token).await);
    // The caller's own token was signed by the first key, which is still trusted.
    let request = keys.request(pb::GetSigningKeyRequest { kid: kid(&key) });
    let key = keys.client.get_signing_key(request).await.unwrap().into_inner().signing_key.unwrap();
    assert!(key.destroy_time.is_some() && key.revoke_time.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_do_what_with_keys() {
    let server = AdminServer::start().await;
    let mut viewer = Keys::of(&server, "viewer").await;
    assert_eq!(viewer.list("EdDSA").await.unwrap().len(), 1);
    assert_eq!(viewer.prepare("ES256").await.unwrap_err().code(), Code::PermissionDenied);
    for client_id in ["plain", "registrar"] {
        let mut keys = Keys::of(&server, client_id).await;
        assert_eq!(keys.list("").await.unwrap_err().code(), Code::PermissionDenied, "{client_id}");
    }
    let mut nobody = Keys { token: String::new(), ..viewer };
    assert_eq!(nobody.list("").await.unwrap_err().code(), Code::Unauthenticated);
    // Not on the public port (V-64).
    let mut public = Keys::of(&server, "operator").await;
    public.client = SigningKeyServiceClient::new(server.channel(server.address).await);
    assert_eq!(public.list("").await.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_the_key_service() {
    let server = AdminServer::start().await;
    let mut keys = Keys::of(&server, "operator").await;
    for alg in ["", "HS256", "none", "es256"] {
        assert_eq!(keys.prepare(alg).await.unwrap_err().code(), Code::InvalidArgument, "{alg}");
    }
    assert_eq!(keys.list("none").await.unwrap_err().code(), Code::InvalidArgument);
    let request = keys.request(pb::GetSigningKeyRequest { kid: "none".to_owned() });
    assert_eq!(keys.client.get_signing_key(request).await.unwrap_err().code(), Code::NotFound);
    let request = keys.request(pb::RevokeSigningKeyRequest::default());
    assert_eq!(keys.client.revoke_signing_key(request).await.unwrap_err().code(), Code::NotFound);
}

/// `mintage key`, on a database of its own: the exit code, and what it prints as JSON.
struct Host(tempfile::TempDir);

impl Host {
    fn run(&self, master_key: &str, arguments: &[&str]) -> (Option<i32>, Value) {
        let database = format!("sqlite://{}", self.0.path().join("mintage.db").display());
        let output = Command::new(env!("CARGO_BIN_EXE_mintage"))
            .env_clear()
            .env("ISSUER_URL", "https://id.example")
            .env("MINTAGE_DATABASE_URL", database)
            .env("MINTAGE_MASTER_KEY", master_key)
            .args(["--output", "json", "key"])
            .args(arguments)
            .output()
            .unwrap();
        let text = if output.status.success() { &output.stdout } else { &output.stderr };
        let json = serde_json::from_slice(text);
        (output.status.code(), json.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(text))))
    }
}

#[test]
fn keys_on_the_command_line() {
    let host = Host(tempfile::tempdir().unwrap());
    let run = |arguments: &[&str]| host.run(MASTER_KEY, arguments);
    assert_eq!(run(&["list"]).1["keys"].as_array().unwrap().len(), 0);
    let (code, first) = run(&["rotate", "EdDSA"]);
    assert_eq!((code, &first["keys"][0]["state"]), (Some(0), &Value::from("active")));
    let first = first["keys"][0]["kid"].as_str().unwrap().to_owned();
    let (_, second) = run(&["prepare", "EdDSA"]);
    assert_eq!(second["keys"][0]["state"], "prepared");
    let second = second["keys"][0]["kid"].as_str().unwrap().to_owned();
    let (code, refusal) = run(&["activate", &second, "--at", "1h"]);
    assert_eq!(code, Some(1));
    assert!(refusal["error"].as_str().unwrap().contains("force it"), "{refusal}");
    assert_eq!(run(&["activate", &second, "--at", "7d"]).1["keys"][0]["state"], "published");
    assert_eq!(run(&["retire", &first]).0, Some(1), "it signs");
    let (_, both) = run(&["rotate", "--compromised", &first]);
    assert_eq!(
        (&both["keys"][0]["state"], &both["keys"][1]["kid"]),
        (&"revoked".into(), &second.clone().into())
    );
    assert_eq!(both["keys"][1]["state"], "active");
    for (arguments, expected) in [
        (&["prepare", "HS256"][..], Some(2)),
        (&["rotate", "ES255"], Some(2)),
        (&["retire", "none"], Some(1)),
        (&["activate", &second, "--at", "soon"], Some(2)),
    ] {
        assert_eq!(run(arguments).0, expected, "{arguments:?}");
    }

    // Another master key: without the old one nothing is lost or changed, with both all is sealed anew.
    assert_eq!(host.run(NEW_MASTER_KEY, &["rewrap"]).0, Some(1));
    let both = format!("{NEW_MASTER_KEY} {MASTER_KEY}");
    assert_eq!(host.run(&both, &["rewrap"]).1["resealed"], 1);
    assert_eq!(host.run(NEW_MASTER_KEY, &["rewrap"]).1["resealed"], 0);
    assert_eq!(host.run(NEW_MASTER_KEY, &["list"]).1["keys"].as_array().unwrap().len(), 2);
}
