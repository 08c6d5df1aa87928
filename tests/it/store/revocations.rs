//! `RevocationStore`

use mintage::oauth::store::{Change, Changes, NewRevocation, Revocation, RevocationStore, Revoked};

use super::*;

fn client_until(issued_until: u64, expires_at: u64) -> NewRevocation {
    let revoked = Revoked::Client { client_id: id("a"), issued_until: at(issued_until) };
    NewRevocation { revoked, ..token("", expires_at) }
}

fn kept(sequence: u64, new: &NewRevocation) -> Revocation {
    let NewRevocation { revoked, revoked_at, expires_at } = new.clone();
    Revocation { sequence, revoked, revoked_at, expires_at }
}

// CHK-53: revoking again is no error.
#[tokio::test]
async fn revoking_again_changes_nothing_unless_it_reaches_further() {
    on_each(async |database| {
        let store = database.open().await;
        let revocations = store.stores().revocations;
        let first = token("t", 500);
        assert_eq!(revocations.revoke(&first).await, Ok(kept(1, &first)));
        let again = NewRevocation { revoked_at: at(200), ..token("t", 400) };
        assert_eq!(revocations.revoke(&again).await, Ok(kept(1, &first)));
        let further = NewRevocation { revoked_at: at(300), ..token("t", 600) };
        assert_eq!(revocations.revoke(&further).await, Ok(kept(2, &further)));

        // The same text as something else is something else.
        let key = NewRevocation { revoked: Revoked::Key { kid: "t".to_owned() }, ..first.clone() };
        assert_eq!(revocations.revoke(&key).await, Ok(kept(3, &key)));

        assert_eq!(revocations.revoke(&client_until(10, 500)).await, Ok(kept(4, &client_until(10, 500))));
        assert_eq!(revocations.revoke(&client_until(9, 500)).await, Ok(kept(4, &client_until(10, 500))));
        assert_eq!(revocations.revoke(&client_until(11, 400)).await, Ok(kept(5, &client_until(11, 500))));
        assert_eq!(revocations.revoke(&client_until(5, 700)).await, Ok(kept(6, &client_until(11, 700))));
        let Revoked::Client { client_id, .. } = client_until(5, 700).revoked else { unreachable!() };
        assert_eq!(revocations.client_refused_until(&client_id).await, Ok(Some(at(11))));
        let nobody = ClientId::parse("t").unwrap();
        assert_eq!(revocations.client_refused_until(&nobody).await, Ok(None));
    })
    .await;
}

#[tokio::test]
async fn what_has_expired_is_forgotten() {
    on_each(async |database| {
        let store = database.open().await;
        let stores = store.stores();
        let all: Vec<_> = (0..12_u64).map(|n| token(&n.to_string(), 100 + n)).collect();
        for new in &all {
            stores.revocations.revoke(new).await.unwrap();
        }
        let left = async |now| {
            let state = stores.changes.state(at(now)).await.unwrap();
            state.revocations.iter().map(|kept| kept.expires_at.seconds()).collect::<Vec<_>>()
        };
        assert_eq!(left(0).await, (100..112).collect::<Vec<_>>());
        assert_eq!(left(105).await, (105..112).collect::<Vec<_>>());
        assert_eq!(stores.revocations.purge(at(105)).await, Ok(5));
        assert_eq!(stores.revocations.purge(at(105)).await, Ok(0));
        assert_eq!(left(0).await, (105..112).collect::<Vec<_>>());

        // Whoever follows passes over what was forgotten.
        let incarnation = stores.changes.state(at(0)).await.unwrap().incarnation;
        let Changes::After { changes, sequence } = stores.changes.changes(&incarnation, 0).await.unwrap()
        else {
            panic!("a gap")
        };
        assert_eq!((changes.len(), sequence), (7, 12));
        assert_eq!(changes[0], (6, Change::Revocation(kept(6, &all[5]))));
        // What was revoked, forgotten and is revoked again is new.
        assert_eq!(stores.revocations.revoke(&all[0]).await, Ok(kept(13, &all[0])));
    })
    .await;
}

#[tokio::test]
async fn a_large_purge_is_done_in_portions() {
    on_each_shared(async |database| {
        let store = database.open().await;
        database.sql(
            "INSERT INTO revocations (kind, subject, sequence, issued_until, revoked_at, expires_at) \
             WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 12000) \
             SELECT 'token', 'jti-' || x, 100000 + x, 0, 1, 50 FROM n",
        );
        assert_eq!(RevocationStore::purge(&*store, at(51)).await, Ok(12_000));
    })
    .await;
}
