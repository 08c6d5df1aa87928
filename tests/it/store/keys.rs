//! `KeyStore`

use mintage::{
    jose::SigningAlgorithm,
    oauth::store::{KeyRecord, KeyWrite, StoreError},
};

use super::*;

pub(super) fn key(kid: &str, alg: SigningAlgorithm, generation: u64) -> KeyRecord {
    KeyRecord {
        kid: kid.to_owned(),
        alg,
        generation,
        sealed: vec![0, 1, 255, 0],
        created_at: at(10),
        publish_at: None,
        activate_at: None,
        retired_at: None,
        revoked_at: None,
        destroyed_at: None,
        revision: 1,
    }
}

fn add(record: &KeyRecord) -> KeyWrite {
    KeyWrite::Add(record.clone())
}

fn remove(kid: &str) -> KeyWrite {
    KeyWrite::Remove { kid: kid.to_owned() }
}

#[tokio::test]
async fn a_key_is_kept_changed_and_removed() {
    on_each(async |database| {
        let store = database.open().await;
        let keys = store.stores().keys;
        assert_eq!(keys.list().await, Ok(Vec::new()));
        let mut records = [
            key("b", SigningAlgorithm::ES256, 2),
            key("c", SigningAlgorithm::EdDSA, 1),
            key("a", SigningAlgorithm::ES256, 10),
            key("d", SigningAlgorithm::RS256, 1),
        ];
        assert_eq!(keys.write(&records.clone().map(KeyWrite::Add), &[]).await, Ok(1));
        records.sort_by_key(|key| (key.alg, key.generation));
        assert_eq!(keys.list().await.as_deref(), Ok(&records[..]));

        let changed = KeyRecord {
            publish_at: Some(at(20)),
            activate_at: Some(at(30)),
            retired_at: Some(at(40)),
            revoked_at: Some(at(50)),
            destroyed_at: Some(at(60)),
            sealed: Vec::new(),
            revision: 2,
            ..records[0].clone()
        };
        assert_eq!(keys.write(&[KeyWrite::Update(changed.clone())], &[]).await, Ok(2));
        assert_eq!(keys.list().await.unwrap()[0], changed);
        assert_eq!(keys.write(&[remove(&changed.kid)], &[]).await, Ok(3));
        assert_eq!(keys.list().await.as_deref(), Ok(&records[1..]));
    })
    .await;
}

#[tokio::test]
async fn all_the_changes_are_made_or_none() {
    on_each(async |database| {
        let store = database.open().await;
        let stores = store.stores();
        let keys = stores.keys;
        let first = key("a", SigningAlgorithm::ES256, 1);
        assert_eq!(keys.write(&[add(&first)], &[]).await, Ok(1));

        let new = key("n", SigningAlgorithm::RS256, 1);
        let update = |revision| KeyWrite::Update(KeyRecord { revision, ..first.clone() });
        let unknown = KeyWrite::Update(KeyRecord { kid: "x".to_owned(), revision: 2, ..first.clone() });
        for (refused, error) in [
            (add(&first), StoreError::Conflict),
            (add(&KeyRecord { generation: 2, ..first.clone() }), StoreError::Conflict),
            // Two replicas that rotate at once: the same generation, other keys (F-12).
            (add(&KeyRecord { kid: "b".to_owned(), ..first.clone() }), StoreError::Conflict),
            (update(1), StoreError::Conflict),
            (update(3), StoreError::Conflict),
            (unknown, StoreError::NotFound),
            (remove("x"), StoreError::NotFound),
            // Whose private half still exists.
            (remove("a"), StoreError::Conflict),
        ] {
            let result = keys.write(&[add(&new), refused.clone()], &[token("t", 500)]).await;
            assert_eq!(result, Err(error), "{refused:?}");
        }
        let state = stores.changes.state(at(0)).await.unwrap();
        assert_eq!((state.sequence, state.keys, state.revocations), (1, vec![first], vec![]));
    })
    .await;
}

#[tokio::test]
async fn revocations_belong_to_the_change() {
    on_each(async |database| {
        let store = database.open().await;
        let stores = store.stores();
        let write = [add(&key("a", SigningAlgorithm::ES256, 1)), add(&key("b", SigningAlgorithm::ES256, 2))];
        let revocations = [token("t1", 500), token("t2", 600)];
        assert_eq!(stores.keys.write(&write, &revocations).await, Ok(3));
        let kept = stores.changes.state(at(0)).await.unwrap().revocations;
        assert_eq!(kept.iter().map(|kept| kept.sequence).collect::<Vec<_>>(), [2, 3]);
        // One that is kept already does not stop the others.
        assert_eq!(stores.keys.write(&[], &[token("t1", 500), token("t3", 1)]).await, Ok(6));
        let kept = stores.changes.state(at(0)).await.unwrap().revocations;
        assert_eq!(kept.iter().map(|kept| kept.sequence).collect::<Vec<_>>(), [2, 3, 6]);
    })
    .await;
}

#[tokio::test]
async fn the_first_sealed_value_stays() {
    on_each(async |database| {
        let store = database.open().await;
        let keys = store.stores().keys;
        assert_eq!(keys.sealed_value("v").await, Ok(None));
        let tasks: Vec<_> = (0..16_u8)
            .map(|n| {
                let keys = keys.clone();
                tokio::spawn(async move { keys.keep_sealed_value("v", &[n, 0, 255]).await.unwrap() })
            })
            .collect();
        let kept = keys.keep_sealed_value("v", b"late").await.unwrap();
        for task in tasks {
            assert_eq!(task.await.unwrap(), kept);
        }
        keys.keep_sealed_value("a", b"").await.unwrap();
        assert_eq!(keys.sealed_value("v").await, Ok(Some(kept.clone())));
        assert_eq!(keys.sealed_values().await, Ok(vec![("a".to_owned(), vec![]), ("v".to_owned(), kept)]));
    })
    .await;
}

#[tokio::test]
async fn everything_is_sealed_anew_or_nothing() {
    on_each(async |database| {
        let store = database.open().await;
        let keys = store.stores().keys;
        let live = key("a", SigningAlgorithm::ES256, 1);
        let destroyed = KeyRecord {
            destroyed_at: Some(at(1)),
            sealed: Vec::new(),
            ..key("b", SigningAlgorithm::ES256, 2)
        };
        keys.write(&[add(&live), add(&destroyed)], &[]).await.unwrap();
        keys.keep_sealed_value("v", b"old").await.unwrap();
        let pair = |name: &str| (name.to_owned(), b"new".to_vec());

        let refusals = [
            (vec![pair("a"), pair("x")], vec![pair("v")], StoreError::NotFound),
            (vec![pair("a")], vec![pair("v"), pair("x")], StoreError::NotFound),
            // What was destroyed does not come back.
            (vec![pair("a"), pair("b")], vec![pair("v")], StoreError::Conflict),
        ];
        for (some, values, error) in refusals {
            assert_eq!(keys.reseal(&some, &values).await, Err(error));
        }
        assert_eq!(keys.list().await, Ok(vec![live.clone(), destroyed.clone()]));
        assert_eq!(keys.sealed_value("v").await, Ok(Some(b"old".to_vec())));

        assert_eq!(keys.reseal(&[pair("a")], &[pair("v")]).await, Ok(2));
        assert_eq!(keys.list().await, Ok(vec![KeyRecord { sealed: b"new".to_vec(), ..live }, destroyed]));
        assert_eq!(keys.sealed_value("v").await, Ok(Some(b"new".to_vec())));
    })
    .await;
}
