//! Clients of the store that authenticate by assertion: registered and changed while the server runs.

use mintage::{
    admin::{
        AdminError,
        clients::{ClientUpdate, NewClient},
        secrets::NewSecret,
    },
    oauth::client::ClientRegistration,
};
use serde_json::value::RawValue;

use super::*;

const CHOSEN: &str = "0123456789abcdef0123456789abcdef";

fn registration(client_id: &str, method: &str) -> ClientRegistration {
    ClientRegistration {
        client_id: client_id.to_owned(),
        token_endpoint_auth_method: Some(method.to_owned()),
        scope: Some("read".to_owned()),
        ..Default::default()
    }
}

fn jwks(keys: &[&ClientKey]) -> Option<Box<RawValue>> {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    Some(RawValue::from_string(json!({ "keys": keys }).to_string()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_keys_has_no_secret_and_may_change_its_keys() {
    let server = server_with("").await;
    let admin = &server.core.client_admin;
    let (old, new) = (ClientKey::generate("ES256", "old"), ClientKey::generate("EdDSA", "new"));
    let keyed = |keys: &[&ClientKey]| ClientRegistration {
        jwks: jwks(keys),
        ..registration("c1", "private_key_jwt")
    };
    let created =
        admin.create(NewClient { registration: keyed(&[&old]), ..Default::default() }).await.unwrap();
    assert!(created.secret.is_none() && created.secret_id.is_none());
    let change = async |keys: &[&ClientKey]| {
        let update = ClientUpdate { registration: keyed(keys), mask: None, etag: None, validate_only: false };
        admin.update(&update).await.unwrap();
    };
    for wire in Wire::both(&server).await {
        change(&[&old, &new]).await;
        granted(&wire, &presented(&old.assertion("ES256", &claims("c1")))).await;
        granted(&wire, &presented(&new.assertion("EdDSA", &claims("c1")))).await;
        change(&[&new]).await;
        let refused = refusal(&server, &old.assertion("ES256", &claims("c1")), "old").await;
        assert_eq!(refused, AssertionRefusal::NoKey);
        granted(&wire, &presented(&new.assertion("EdDSA", &claims("c1")))).await;
    }
    let chosen = NewSecret { chosen: Some(CHOSEN.into()), ..Default::default() };
    let refused = admin
        .create(NewClient {
            registration: ClientRegistration { client_id: "c3".to_owned(), ..keyed(&[&old]) },
            secret: chosen,
            ..Default::default()
        })
        .await;
    assert!(matches!(refused, Err(AdminError::InvalidArgument(_))), "{refused:?}");
}

// Overlapping secrets: each counts while it is usable, and its use is noted
#[tokio::test(flavor = "multi_thread")]
async fn several_secrets_overlap() {
    let server = server_with("").await;
    let admin = &server.core.client_admin;
    let created = admin
        .create(NewClient { registration: registration("c1", "client_secret_jwt"), ..Default::default() })
        .await
        .unwrap();
    let first = created.secret.unwrap();
    let chosen = NewSecret { chosen: Some(CHOSEN.into()), ..Default::default() };
    let (second, told) = admin.add_secret("c1", &chosen).await.unwrap();
    assert!(told.is_none());
    let assert_granted = async |secret: &str, alg: &str| {
        for wire in Wire::both(&server).await {
            granted(&wire, &presented(&by_secret(alg, secret, &claims("c1")))).await;
        }
    };
    assert_granted(first.expose(), "HS256").await;
    assert_granted(first.expose(), "HS384").await;
    assert_granted(CHOSEN, "HS256").await;

    server.core.replica.flush_uses().await.unwrap();
    let used = admin.list_secrets("c1").await.unwrap();
    assert!(used.iter().all(|secret| secret.last_used_at.is_some()), "{used:?}");

    let first_id = created.secret_id.unwrap();
    admin.retire_secret("c1", &first_id, None).await.unwrap();
    let refused = refusal(&server, &by_secret("HS256", first.expose(), &claims("c1")), "retired").await;
    assert_eq!(refused, AssertionRefusal::Signature);
    assert_granted(CHOSEN, "HS256").await;
    admin.retire_secret("c1", &second.secret_id, None).await.unwrap();
    let refused = refusal(&server, &by_secret("HS256", CHOSEN, &claims("c1")), "retired").await;
    assert_eq!(refused, AssertionRefusal::NoKey);

    // Too short for any hash.
    let short = NewSecret { chosen: Some(CHOSEN[1..].into()), ..Default::default() };
    let refused = admin.add_secret("c1", &short).await;
    assert!(matches!(refused, Err(AdminError::InvalidArgument(_))), "{refused:?}");
}

// A secret is kept in the form that its method needs: after a change of method another one is added
#[tokio::test(flavor = "multi_thread")]
async fn the_method_may_change_and_its_secrets_with_it() {
    let server = server_with("").await;
    let admin = &server.core.client_admin;
    let created = admin
        .create(NewClient { registration: registration("c1", "client_secret_basic"), ..Default::default() })
        .await
        .unwrap();
    let hashed = created.secret.unwrap();
    let update = |method| ClientUpdate {
        registration: registration("c1", method),
        mask: None,
        etag: None,
        validate_only: false,
    };
    let wire = &Wire::both(&server).await[0];
    granted(wire, &Auth::basic("c1", hashed.expose())).await;
    admin.update(&update("client_secret_jwt")).await.unwrap();
    let refused = refusal(&server, &by_secret("HS256", hashed.expose(), &claims("c1")), "hashed").await;
    assert_eq!(refused, AssertionRefusal::NoKey);
    let (_, sealed) = admin.add_secret("c1", &NewSecret::default()).await.unwrap();
    let sealed = sealed.unwrap();
    granted(wire, &presented(&by_secret("HS256", sealed.expose(), &claims("c1")))).await;
    admin.update(&update("client_secret_basic")).await.unwrap();
    for ended in [hashed, sealed] {
        let refused = wire.issue(&Auth::basic("c1", ended.expose()), &Issue::default()).await;
        assert_eq!(error(refused), "invalid_client");
    }
    let (_, hashed) = admin.add_secret("c1", &NewSecret::default()).await.unwrap();
    granted(wire, &Auth::basic("c1", hashed.unwrap().expose())).await;
}

// V-73: what is kept of a secret of client_secret_jwt is no secret anybody can read
#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_secret_is_nowhere_to_be_read() {
    let server = server_with("").await;
    let admin = &server.core.client_admin;
    let created = admin
        .create(NewClient { registration: registration("c1", "client_secret_jwt"), ..Default::default() })
        .await
        .unwrap();
    let secret = created.secret.unwrap();
    let client = server.core.clients.find("c1").await.unwrap().unwrap();
    let record = server.core.store.stores.clients.get(&client.client_id).await.unwrap().unwrap();
    assert!(record.document.contains("$sealed$"));
    let bytes = secret.expose()["mint_".len()..].to_owned();
    for written in
        [record.document.clone(), format!("{client:?}{record:?}{created:?}", created = client.secrets)]
    {
        assert!(!written.contains(&bytes), "{written}");
        assert!(!written.contains(&b64(secret.expose())), "{written}");
    }
    assert!(!format!("{client:?}").contains("$sealed$"));
}
