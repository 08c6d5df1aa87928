//! `ClientStore`

use mintage::oauth::store::{ClientOrder, ClientQuery, ClientRecord, ClientStore, SecretUse, StoreError};

use super::*;

#[tokio::test]
async fn a_client_is_kept_changed_and_removed() {
    on_each(async |database| {
        let store = database.open().await;
        let clients = store.stores().clients;
        let mut record = client("a: b~\"'\\");
        assert_eq!(clients.get(&record.client_id).await, Ok(None));
        assert_eq!(clients.create(&record, None).await, Ok(1));
        assert_eq!(clients.get(&record.client_id).await, Ok(Some(record.clone())));

        record.revision = 2;
        (record.enabled, record.document, record.updated_at) =
            (false, "{\"é\":\"\\u0000\"}".to_owned(), at(2000));
        assert_eq!(clients.update(&record).await, Ok(2));
        assert_eq!(clients.get(&record.client_id).await, Ok(Some(record.clone())));

        assert_eq!(clients.delete(&record.client_id, Some(2)).await, Ok(3));
        assert_eq!(clients.get(&record.client_id).await, Ok(None));
        assert_eq!(clients.create(&client("a: b~\"'\\"), None).await, Ok(4));
        assert_eq!(clients.delete(&record.client_id, None).await, Ok(5));
    })
    .await;
}

#[tokio::test]
async fn what_is_not_as_expected_is_not_written() {
    on_each(async |database| {
        let store = database.open().await;
        let clients = store.stores().clients;
        let record = client("a");
        let next = ClientRecord { revision: 2, document: "{}".to_owned(), ..record.clone() };
        assert_eq!(clients.update(&next).await, Err(StoreError::NotFound));
        assert_eq!(clients.delete(&record.client_id, None).await, Err(StoreError::NotFound));
        assert_eq!(clients.create(&record, None).await, Ok(1));

        assert_eq!(clients.create(&next, None).await, Err(StoreError::Conflict));
        for revision in [1, 3, 7] {
            let stale = ClientRecord { revision, ..next.clone() };
            assert_eq!(clients.update(&stale).await, Err(StoreError::Conflict));
        }
        assert_eq!(clients.delete(&record.client_id, Some(2)).await, Err(StoreError::Conflict));
        assert_eq!(clients.get(&record.client_id).await, Ok(Some(record)));
        // Nothing was used up either.
        assert_eq!(clients.update(&next).await, Ok(2));
    })
    .await;
}

#[tokio::test]
async fn a_request_creates_one_client() {
    on_each(async |database| {
        let store = database.open().await;
        let clients = store.stores().clients;
        assert_eq!(clients.created_by("r1").await, Ok(None));
        assert_eq!(clients.create(&client("a"), Some("r1")).await, Ok(1));
        assert_eq!(clients.create(&client("a"), Some("r1")).await, Err(StoreError::Conflict));
        assert_eq!(clients.create(&client("b"), Some("r1")).await, Err(StoreError::Conflict));
        assert_eq!(clients.created_by("r1").await, Ok(Some(id("a"))));
        assert_eq!(clients.get(&id("b")).await, Ok(None));
        // No request at all is not the same request.
        assert_eq!(clients.create(&client("c"), None).await, Ok(2));
        assert_eq!(clients.create(&client("d"), None).await, Ok(3));
    })
    .await;
}

/// Every client of a query, a page at a time.
async fn pages(clients: &dyn ClientStore, query: &ClientQuery) -> Vec<ClientRecord> {
    let mut all = Vec::new();
    let mut query = ClientQuery { limit: 4, ..query.clone() };
    loop {
        let page = clients.list(&query).await.unwrap();
        assert!(page.len() <= 4);
        let Some(last) = page.last() else { return all };
        query.after = Some((last.client_id.clone(), last.created_at));
        all.extend(page);
    }
}

#[tokio::test]
async fn lists_are_filtered_ordered_and_paged() {
    on_each(async |database| {
        let store = database.open().await;
        let clients = store.stores().clients;
        // Byte order is neither that of a dictionary nor that of any language.
        let ids = [
            "a", "B", "b", "ab", "a b", "a%", "a_", "a~", "a~~", "-", " ", "~", "Z", "0", "10", "9", "a\"",
            "a'",
        ];
        let mut all = Vec::new();
        for (at_index, client_id) in ids.into_iter().enumerate() {
            let record = ClientRecord {
                enabled: at_index % 3 != 0,
                created_at: at(1000 + at_index as u64 % 4),
                ..client(client_id)
            };
            clients.create(&record, None).await.unwrap();
            all.push(record);
        }
        for order in [ClientOrder::ClientId, ClientOrder::CreatedAt] {
            for descending in [false, true] {
                for enabled in [None, Some(true), Some(false)] {
                    for client_id_prefix in [None, Some(""), Some("a"), Some("a~"), Some("x")] {
                        let mut expected: Vec<_> = all
                            .iter()
                            .filter(|record| enabled.is_none_or(|enabled| record.enabled == enabled))
                            .filter(|record| {
                                record.client_id.as_str().starts_with(client_id_prefix.unwrap_or(""))
                            })
                            .cloned()
                            .collect();
                        let by_time = order == ClientOrder::CreatedAt;
                        expected.sort_by_key(|record| {
                            let time = if by_time { record.created_at.seconds() } else { 0 };
                            (time, record.client_id.as_str().as_bytes().to_vec())
                        });
                        if descending {
                            expected.reverse();
                        }
                        let query = ClientQuery {
                            client_id_prefix: client_id_prefix.map(str::to_owned),
                            enabled,
                            order,
                            descending,
                            after: None,
                            limit: 0,
                        };
                        assert_eq!(pages(&*clients, &query).await, expected, "{query:?}");
                    }
                }
            }
        }
    })
    .await;
}

// V-43
#[tokio::test]
async fn what_is_searched_for_is_never_part_of_a_statement() {
    on_each(async |database| {
        let store = database.open().await;
        let clients = store.stores().clients;
        clients.create(&client("a"), None).await.unwrap();
        for text in [
            "'",
            "' OR 1=1 --",
            "a'; DROP TABLE clients; --",
            "%",
            "_",
            "$1",
            "?1",
            "a\0",
            "\0",
            "é",
            "a\u{7f}",
        ] {
            let query =
                ClientQuery { client_id_prefix: Some(text.to_owned()), limit: 10, ..ClientQuery::default() };
            assert_eq!(clients.list(&query).await, Ok(Vec::new()), "{text:?}");
        }
        for text in ["'", "' OR 1=1 --", "'; DROP TABLE clients; --", "é"] {
            assert_eq!(clients.created_by(text).await, Ok(None), "{text:?}");
        }
        assert_eq!(clients.get(&id("a' OR '1'='1")).await, Ok(None));
        assert_eq!(clients.get(&id("a")).await, Ok(Some(client("a"))));
    })
    .await;
}

fn used(client_id: &str, secret_id: &str, used_at: u64) -> SecretUse {
    SecretUse { client_id: id(client_id), secret_id: secret_id.to_owned(), used_at: at(used_at) }
}

#[tokio::test]
async fn the_last_use_of_a_secret_is_the_latest() {
    on_each(async |database| {
        let store = database.open().await;
        let clients = store.stores().clients;
        clients.create(&client("a"), None).await.unwrap();
        clients.record_uses(&[]).await.unwrap();
        clients
            .record_uses(&[used("a", "s2", 5), used("a", "s1", 7), used("a", "s1", 6), used("b", "s1", 9)])
            .await
            .unwrap();
        clients.record_uses(&[used("a", "s1", 3), used("a", "s2", 8)]).await.unwrap();
        assert_eq!(clients.uses(&id("a")).await, Ok(vec![used("a", "s1", 7), used("a", "s2", 8)]));

        let many: Vec<_> = (0..2500).map(|n| used("c", &format!("{n:04}"), n)).collect();
        clients.record_uses(&many).await.unwrap();
        assert_eq!(clients.uses(&id("c")).await, Ok(many));

        // A use is no change that others follow, and goes with its client.
        assert_eq!(clients.delete(&id("a"), None).await, Ok(2));
        assert_eq!(clients.uses(&id("a")).await, Ok(Vec::new()));
        assert_eq!(clients.uses(&id("b")).await, Ok(vec![used("b", "s1", 9)]));
    })
    .await;
}
