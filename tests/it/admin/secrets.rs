//! Several secrets of one client, and that none is ever told again.

use std::time::Duration;

use mintage::grpc::pb::admin as pb;
use prost_types::Timestamp;
use tonic::Code;

use crate::support::{
    admin::{Admin, AdminServer, client},
    server::NOW,
};

fn at(seconds: u64) -> Option<Timestamp> {
    Some(Timestamp { seconds: i64::try_from(NOW + seconds).unwrap(), nanos: 0 })
}

async fn add(admin: &mut Admin, not_before: Option<Timestamp>, until: Option<Timestamp>) -> (String, String) {
    let request = pb::AddClientSecretRequest {
        client_id: "c".to_owned(),
        not_before_time: not_before,
        expire_time: until,
        ..Default::default()
    };
    let response = admin.add_client_secret(request).await.unwrap();
    (response.secret.unwrap().secret_id, response.client_secret)
}

async fn retire(
    admin: &mut Admin,
    secret_id: &str,
    when: Option<Timestamp>,
) -> Result<Option<Timestamp>, Code> {
    let request = pb::RetireClientSecretRequest {
        client_id: "c".to_owned(),
        secret_id: secret_id.to_owned(),
        expire_time: when,
    };
    let response = admin.retire_client_secret(request).await;
    response.map(|response| response.secret.unwrap().expire_time).map_err(|status| status.code())
}

// V-25
#[tokio::test(flavor = "multi_thread")]
async fn secrets_overlap_and_each_has_its_time() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let (_, first) = admin.create(client("c", "read")).await;
    let (_, second) = add(&mut admin, None, None).await;
    let (_, later) = add(&mut admin, at(60), at(120)).await;
    let works = async |secret: &str| server.token("c", secret).await.is_ok();
    assert_eq!((works(&first).await, works(&second).await, works(&later).await), (true, true, false));
    server.clock.set(NOW + 60);
    assert_eq!((works(&first).await, works(&later).await), (true, true));
    server.clock.set(NOW + 120);
    assert_eq!((works(&first).await, works(&later).await), (true, false));
}

// V-25
#[tokio::test(flavor = "multi_thread")]
async fn a_retired_secret_ends_and_stays_so() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let (_, first) = admin.create(client("c", "read")).await;
    let (id, second) = add(&mut admin, None, None).await;
    let works = async |secret: &str| server.token("c", secret).await.is_ok();

    assert_eq!(retire(&mut admin, &id, at(60)).await, Ok(at(60)));
    assert!(works(&second).await);
    server.clock.set(NOW + 60);
    assert!(!works(&second).await && works(&first).await);
    // Retiring it once more does not revive it.
    assert_eq!(retire(&mut admin, &id, at(600)).await, Ok(at(60)));
    assert!(!works(&second).await);

    let (id, third) = add(&mut admin, None, None).await;
    assert!(works(&third).await);
    for past in [None, at(0)] {
        assert_eq!(retire(&mut admin, &id, past).await, Ok(at(60)));
        assert!(!works(&third).await);
    }
    assert_eq!(retire(&mut admin, "nobody", None).await, Err(Code::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chosen_secret_is_not_repeated_and_only_one_is_kept() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let chosen = |secret: &str| pb::AddClientSecretRequest {
        client_id: "c".to_owned(),
        client_secret: secret.to_owned(),
        ..Default::default()
    };
    let request = pb::CreateClientRequest {
        client: Some(client("c", "read")),
        client_secret: "correct horse battery".to_owned(),
        ..Default::default()
    };
    let created = admin.create_client(request).await.unwrap();
    assert_eq!(created.client_secret, "");
    assert!(server.token("c", "correct horse battery").await.is_ok());
    let status = admin.add_client_secret(chosen("another horse battery")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    retire(&mut admin, &created.secret_id, None).await.unwrap();
    let added = admin.add_client_secret(chosen("another horse battery")).await.unwrap();
    assert_eq!(added.client_secret, "");
    assert!(server.token("c", "another horse battery").await.is_ok());
    assert!(server.token("c", "correct horse battery").await.is_err());
    for bad in ["short", &"x".repeat(1025), "fünfzehn Zeichen und mehr", "tab\tin the middle of it"] {
        let status = admin.add_client_secret(chosen(bad)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(!status.message().contains(bad), "V-71");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_bounded_in_number_and_time() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    admin.create(client("c", "read")).await;
    let mut ids = Vec::new();
    for _ in 0..9 {
        ids.push(add(&mut admin, None, None).await.0);
    }
    let one_more = pb::AddClientSecretRequest { client_id: "c".to_owned(), ..Default::default() };
    assert_eq!(admin.add_client_secret(one_more).await.unwrap_err().code(), Code::FailedPrecondition);
    for (not_before_time, expire_time) in
        [(None, at(0)), (at(60), at(60)), (at(60), at(30)), (None, Some(Timestamp { seconds: -1, nanos: 0 }))]
    {
        let request = pb::AddClientSecretRequest {
            client_id: "c".to_owned(),
            not_before_time,
            expire_time,
            ..Default::default()
        };
        assert_eq!(admin.add_client_secret(request).await.unwrap_err().code(), Code::InvalidArgument);
    }
    // Those that have ended make room, and the record does not grow for ever.
    for round in 0..30 {
        let id = ids.pop().unwrap();
        retire(&mut admin, &id, None).await.unwrap();
        server.clock.advance(Duration::from_secs(1));
        ids.insert(0, add(&mut admin, None, None).await.0);
        let list = pb::ListClientSecretsRequest { client_id: "c".to_owned() };
        let listed = admin.list_client_secrets(list).await.unwrap().secrets.len();
        assert!(listed <= 21, "{round}: {listed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_tells_when_a_secret_was_last_used() {
    let server = AdminServer::start().await;
    let mut admin = server.operator().await;
    let (_, first) = admin.create(client("c", "read")).await;
    add(&mut admin, at(60), None).await;
    server.clock.advance(Duration::from_secs(10));
    server.token("c", &first).await.unwrap();
    server.core.replica.flush_uses().await.unwrap();
    let list = pb::ListClientSecretsRequest { client_id: "c".to_owned() };
    let secrets = admin.list_client_secrets(list).await.unwrap().secrets;
    assert_eq!(secrets[0].last_used_time, at(10));
    assert_eq!(secrets[0].create_time, at(0));
    assert_eq!((secrets[1].last_used_time, secrets[1].not_before_time), (None, at(60)));
}

// V-73
#[tokio::test(flavor = "multi_thread")]
async fn no_answer_tells_a_secret_or_a_hash() {
    let server = AdminServer::start().await;
    let mut operator = server.operator().await;
    let (_, secret) = operator.create(client("c", "read")).await;
    let (id, second) = add(&mut operator, None, None).await;
    let record = server
        .core
        .store
        .stores
        .clients
        .get(&mintage::oauth::client::ClientId::parse("c").unwrap())
        .await
        .unwrap()
        .unwrap();
    let document: serde_json::Value = serde_json::from_str(&record.document).unwrap();
    let hashes: Vec<&str> = document["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| secret["hash"].as_str().unwrap())
        .collect();
    assert_eq!(hashes.len(), 2);

    for caller in ["viewer", "operator"] {
        let mut admin = server.as_client(caller).await;
        let client_id = || "c".to_owned();
        let mut answers = vec![
            format!("{:?}", admin.get_client(pb::GetClientRequest { client_id: client_id() }).await.unwrap()),
            format!("{:?}", admin.list_clients(pb::ListClientsRequest::default()).await.unwrap()),
            format!(
                "{:?}",
                admin
                    .list_client_secrets(pb::ListClientSecretsRequest { client_id: client_id() })
                    .await
                    .unwrap()
            ),
            format!(
                "{:?}",
                admin
                    .explain_token(pb::ExplainTokenRequest { client_id: client_id(), ..Default::default() })
                    .await
                    .unwrap()
            ),
        ];
        if caller == "operator" {
            let update = pb::UpdateClientRequest { client: Some(client("c", "write")), ..Default::default() };
            answers.push(format!("{:?}", admin.update_client(update).await.unwrap()));
            let retire = pb::RetireClientSecretRequest {
                client_id: client_id(),
                secret_id: id.clone(),
                expire_time: None,
            };
            answers.push(format!("{:?}", admin.retire_client_secret(retire).await.unwrap()));
        }
        for answer in answers {
            for hidden in hashes.iter().copied().chain([secret.as_str(), &second, "hmac", "argon2"]) {
                assert!(!answer.contains(hidden), "{answer}");
            }
        }
    }
    assert!(!record.document.contains(&secret));
}
