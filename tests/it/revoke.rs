//! Revocation (RFC 7009), over REST and gRPC alike, and what follows from it on every replica.

use std::time::Duration;

use mintage::oauth::{
    client::ClientId,
    store::{NewRevocation, RevocationStore, Revoked},
};

use crate::support::{
    Auth, Issue, TestServer, WRONG, Wire, error,
    jwt::{broken, claims, header},
    patience::PATIENCE,
    replica::{Cluster, Mode, TestReplica},
    server::{CLIENTS, NOW},
};

fn auth(client_id: &str) -> Auth {
    Auth::basic(client_id, &Cluster::secret_text(client_id, 1))
}

async fn token(wire: &Wire, client_id: &str) -> String {
    wire.granted(&auth(client_id), &Issue::default()).await
}

async fn is_active(wire: &Wire, token: &str) -> bool {
    wire.introspect(&auth("resource-server"), token).await.unwrap()["active"].as_bool().unwrap()
}

/// A new cluster for each transport, two replicas of it, and both as that transport sees them.
async fn each(mut test: impl AsyncFnMut(&Cluster, [&TestReplica; 2], [&Wire; 2])) {
    for transport in 0..2 {
        let cluster = Cluster::new();
        let (here, there) = (cluster.replica().await, cluster.replica().await);
        let (at_here, at_there) = (Wire::at(&here.url()).await, Wire::at(&there.url()).await);
        test(&cluster, [&here, &there], [&at_here[transport], &at_there[transport]]).await;
    }
}

// CHK-51, V-29
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_inactive_everywhere_and_its_siblings_are_not() {
    each(async |cluster, [_, there], [at_here, at_there]| {
        let revoked = token(at_here, "a").await;
        let siblings = [token(at_here, "a").await, token(at_here, "b").await];
        assert!(is_active(at_here, &revoked).await);
        at_here.revoke(&auth("a"), &revoked, "").await.unwrap();

        // Here at once, there with the next look at the store.
        assert!(!is_active(at_here, &revoked).await);
        assert_eq!(error(at_here.userinfo(Some(&revoked)).await), "invalid_token");
        there.sync().await;
        assert!(!is_active(at_there, &revoked).await);
        assert_eq!(error(at_there.userinfo(Some(&revoked)).await), "invalid_token");
        for sibling in &siblings {
            for wire in [at_here, at_there] {
                assert!(is_active(wire, sibling).await);
                wire.userinfo(Some(sibling)).await.unwrap();
            }
        }
        // A replica that starts later knows it too.
        let later = cluster.replica().await;
        assert!(!is_active(&Wire::at(&later.url()).await[0], &revoked).await);
    })
    .await;
}

// CHK-51, with the store of a server
#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_every_algorithm_can_be_revoked() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        for client_id in ["rs256", "ps256", "es256", "es384", "eddsa", "hs256"] {
            let (revoked, sibling) = (wire.token(client_id).await, wire.token(client_id).await);
            let refused = wire.revoke(&Auth::of("resource-server"), &revoked, "").await;
            assert_eq!(error(refused), "unauthorized_client");
            assert!(wire.is_active(&revoked).await);
            wire.revoke(&Auth::of(client_id), &revoked, "").await.unwrap();
            assert!(!wire.is_active(&revoked).await, "{client_id}");
            assert!(wire.is_active(&sibling).await, "{client_id}");
        }
    }
}

// CHK-51, V-29: two servers on one database, and one that starts later
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_reaches_every_server_of_a_database_and_outlives_them() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("mintage.db").display());
    let start = async || {
        let environment = [("MINTAGE_DATABASE_URL", url.as_str()), ("MINTAGE_STORE_POLL_INTERVAL", "50ms")];
        TestServer::with_environment(CLIENTS, &environment).await
    };
    let (here, there) = (start().await, start().await);
    for (here, there) in Wire::both(&here).await.into_iter().zip(Wire::both(&there).await) {
        let (revoked, sibling) = (here.token("es256").await, here.token("es256").await);
        assert!(there.is_active(&revoked).await);
        here.revoke(&Auth::of("es256"), &revoked, "").await.unwrap();
        assert!(!here.is_active(&revoked).await);
        let news = async {
            while there.is_active(&revoked).await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, news).await.expect("the news arrives");
        assert!(there.is_active(&sibling).await);
        let later = start().await;
        let [later, _] = Wire::both(&later).await;
        assert!(!later.is_active(&revoked).await);
        assert!(later.is_active(&sibling).await);
    }
}

// CHK-52, V-29: not even a client that may introspect it
#[tokio::test(flavor = "multi_thread")]
async fn nobody_revokes_the_token_of_another_client() {
    each(async |cluster, [here, _], [wire, _]| {
        let of_a = token(wire, "a").await;
        for client_id in ["b", "resource-server"] {
            let refused = error(wire.revoke(&auth(client_id), &of_a, "access_token").await);
            assert_eq!(refused, "unauthorized_client");
        }
        assert_eq!(cluster.store.revocations(), 0);
        here.sync().await;
        assert!(is_active(wire, &of_a).await);
        // Whether it was revoked already is not told either.
        wire.revoke(&auth("a"), &of_a, "").await.unwrap();
        assert_eq!(error(wire.revoke(&auth("b"), &of_a, "").await), "unauthorized_client");
    })
    .await;
}

// CHK-53
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_of_this_server_needs_no_revocation() {
    each(async |cluster, [here, _], [wire, _]| {
        let good = token(wire, "a").await;
        for (what, text) in broken(&good) {
            wire.revoke(&auth("a"), &text, "").await.unwrap_or_else(|refused| panic!("{what}: {refused:?}"));
        }
        let stranger = Cluster::new().replica().await;
        let foreign = token(&Wire::at(&stranger.url()).await[0], "a").await;
        wire.revoke(&auth("a"), &foreign, "").await.unwrap();
        assert!(is_active(wire, &good).await);

        here.clock.advance(Duration::from_secs(3600 + 60));
        wire.revoke(&auth("a"), &good, "").await.unwrap();
        assert_eq!(cluster.store.revocations(), 0);
    })
    .await;
}

// V-29: on a clock that is late, a token that is not valid yet must not become valid
#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_the_future_is_revoked_too() {
    each(async |cluster, [here, _], [wire, _]| {
        let good = token(wire, "a").await;
        here.clock.set(NOW - 60);
        here.sync().await;
        wire.revoke(&auth("a"), &good, "").await.unwrap();
        assert_eq!(cluster.store.revocations(), 1);
        here.clock.set(NOW);
        here.sync().await;
        assert!(!is_active(wire, &good).await);
        // One that has just expired here may be valid where the clock is late.
        let late = token(wire, "a").await;
        here.clock.set(NOW + 3600 + 59);
        here.sync().await;
        wire.revoke(&auth("a"), &late, "").await.unwrap();
        assert_eq!(cluster.store.revocations(), 2);
    })
    .await;
}

// CHK-54
#[tokio::test(flavor = "multi_thread")]
async fn revoking_again_or_with_any_hint_is_the_same() {
    each(async |cluster, [_, there], [at_here, at_there]| {
        for hint in ["", "access_token", "refresh_token", "unknown", "\"\\\u{1b}"] {
            let revoked = token(at_here, "a").await;
            for _ in 0..2 {
                at_here.revoke(&auth("a"), &revoked, hint).await.unwrap();
            }
            // Another replica, which has or has not heard of it.
            at_there.revoke(&auth("a"), &revoked, hint).await.unwrap();
            there.sync().await;
            at_there.revoke(&auth("a"), &revoked, hint).await.unwrap();
            assert!(!is_active(at_here, &revoked).await);
            assert!(!is_active(at_there, &revoked).await);
        }
        assert_eq!(cluster.store.revocations(), 5);
    })
    .await;
}

// CHK-55
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_proves_who_it_is_and_says_what_to_revoke() {
    each(async |cluster, _, [wire, _]| {
        let good = token(wire, "a").await;
        for hint in ["", "access_token"] {
            assert_eq!(error(wire.revoke(&auth("a"), "", hint).await), "invalid_request");
        }
        for auth in [
            Auth::None,
            Auth::basic("a", WRONG),
            Auth::form("a", WRONG),
            Auth::form("a", ""),
            Auth::basic("nobody", &Cluster::secret_text("a", 1)),
            // The token is no credential.
            Auth::header(format!("Bearer {good}")),
        ] {
            for text in [good.as_str(), "garbage", ""] {
                assert_eq!(error(wire.revoke(&auth, text, "").await), "invalid_client", "{auth:?}");
            }
        }
        assert_eq!(cluster.store.revocations(), 0);
        assert!(is_active(wire, &good).await);
        wire.revoke(&Auth::form("a", &Cluster::secret_text("a", 1)), &good, "").await.unwrap();
        assert!(!is_active(wire, &good).await);
    })
    .await;
}

// CHK-56, V-29
#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_kept_was_not_revoked() {
    each(async |cluster, [here, _], [wire, _]| {
        let good = token(wire, "a").await;
        for mode in [Mode::ReadOnly, Mode::Down, Mode::Frozen] {
            cluster.store.set(mode);
            let outcome = tokio::time::timeout(PATIENCE, wire.revoke(&auth("a"), &good, "")).await;
            let refused = outcome.unwrap_or_else(|_| panic!("{mode:?}: no answer")).unwrap_err();
            assert_eq!(refused.error, "temporarily_unavailable", "{mode:?}");
            assert_eq!(refused.retry_after, Some(1));
            // What needs no store is answered: the token is what it was.
            assert!(is_active(wire, &good).await);
            wire.revoke(&auth("a"), "garbage", "").await.unwrap();
            assert_eq!(error(wire.revoke(&auth("b"), &good, "").await), "unauthorized_client");
        }
        cluster.store.set(Mode::Up);
        here.sync().await;
        wire.revoke(&auth("a"), &good, "").await.unwrap();
        assert!(!is_active(wire, &good).await);
    })
    .await;
}

// V-29, V-70: never "active" on knowledge that is too old
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_hears_nothing_does_not_vouch_for_tokens() {
    each(async |cluster, [here, there], [at_here, at_there]| {
        let (good, revoked) = (token(at_here, "a").await, token(at_here, "a").await);
        // Both know the client from now on.
        token(at_there, "a").await;
        let active = async |wire: &Wire, text: &str| {
            wire.introspect(&auth("a"), text).await.unwrap()["active"] == true
        };
        assert!(active(at_there, &good).await);
        at_here.revoke(&auth("a"), &revoked, "").await.unwrap();
        cluster.store.set(Mode::Down);
        for replica in [here, there] {
            replica.clock.advance(Duration::from_secs(31));
            replica.replica.sync().await.unwrap_err();
        }

        for text in [&good, &revoked] {
            let refused = at_there.introspect(&auth("a"), text).await.unwrap_err();
            assert_eq!((refused.error.as_str(), refused.retry_after), ("temporarily_unavailable", Some(1)));
            assert_eq!(error(at_there.userinfo(Some(text)).await), "temporarily_unavailable");
        }
        // What it knows to be bad stays bad, and known clients get tokens.
        assert!(!active(at_here, &revoked).await);
        assert_eq!(error(at_here.userinfo(Some(&revoked)).await), "invalid_token");
        assert!(!active(at_there, "garbage").await);
        assert_eq!(error(at_there.userinfo(Some("garbage")).await), "invalid_token");
        token(at_there, "a").await;
        let new = token(at_here, "a").await;
        // A signature it does not know may be that of a key it has not heard of.
        let [header, payload, _] = new.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
        let unknown = format!("{header}.{payload}.AAAA");
        assert_eq!(error(at_here.revoke(&auth("a"), &unknown, "").await), "temporarily_unavailable");

        cluster.store.set(Mode::Up);
        there.sync().await;
        assert!(active(at_there, &good).await);
        assert!(!active(at_there, &revoked).await);
    })
    .await;
}

// I4: revoked by whom it may be: all tokens of a client until an instant, all of a key
#[tokio::test(flavor = "multi_thread")]
async fn tokens_go_with_their_client_or_their_key() {
    each(async |cluster, [here, _], [wire, _]| {
        let revoke = async |revoked| {
            let at = mintage::clock::Timestamp::from_seconds;
            let new = NewRevocation { revoked, revoked_at: at(NOW), expires_at: at(NOW + 90_000) };
            cluster.store.revoke(&new).await.unwrap();
            here.sync().await;
        };
        let (of_a, of_b) = (token(wire, "a").await, token(wire, "b").await);
        let issued_until = mintage::clock::Timestamp::from_seconds(NOW);
        revoke(Revoked::Client { client_id: ClientId::parse("a").unwrap(), issued_until }).await;
        assert!(!is_active(wire, &of_a).await);
        assert!(is_active(wire, &of_b).await);
        here.clock.advance(Duration::from_secs(1));
        let later = token(wire, "a").await;
        assert!(is_active(wire, &later).await);

        let kid = header(&of_b)["kid"].as_str().unwrap().to_owned();
        revoke(Revoked::Key { kid }).await;
        for text in [&of_b, &later] {
            assert!(!is_active(wire, text).await, "{}", claims(text)["sub"]);
        }
    })
    .await;
}

// V-25
#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_client_gets_nothing_and_its_tokens_are_inactive() {
    each(async |cluster, [here, there], [at_here, at_there]| {
        let good = token(at_here, "a").await;
        assert!(is_active(at_there, &good).await);
        let secrets = [("1", Cluster::secret("a", 1))];
        cluster.store.register("a", false, &secrets);
        here.sync().await;
        there.sync().await;
        for wire in [at_here, at_there] {
            assert!(!is_active(wire, &good).await);
            assert_eq!(error(wire.issue(&auth("a"), &Issue::default()).await), "invalid_client");
            assert_eq!(error(wire.revoke(&auth("a"), &good, "").await), "invalid_client");
        }
        cluster.store.register("a", true, &secrets);
        here.sync().await;
        assert!(is_active(at_here, &good).await);
        token(at_here, "a").await;
    })
    .await;
}

// V-25
#[tokio::test(flavor = "multi_thread")]
async fn a_retired_secret_stops_working_and_the_others_do_not() {
    each(async |cluster, [here, _], [wire, _]| {
        let by = |number| Auth::basic("a", &Cluster::secret_text("a", number));
        let refused = async |number| error(wire.issue(&by(number), &Issue::default()).await);
        let works = async |number| wire.issue(&by(number), &Issue::default()).await.is_ok();
        let (first, mut second) = (Cluster::secret("a", 1), Cluster::secret("a", 2));
        second.not_before = Some(NOW + 10);
        cluster.store.register("a", true, &[("1", first.clone()), ("2", second.clone())]);
        here.sync().await;
        assert!(works(1).await);
        assert_eq!(refused(2).await, "invalid_client");
        here.clock.advance(Duration::from_secs(10));
        assert!(works(1).await && works(2).await);

        // Retired by an instant: nobody needs to hear of it.
        let first = mintage::oauth::client::document::SecretRecord { expires_at: Some(NOW + 20), ..first };
        cluster.store.register("a", true, &[("1", first), ("2", second.clone())]);
        here.sync().await;
        assert!(works(1).await && works(2).await);
        here.clock.advance(Duration::from_secs(10));
        assert_eq!(refused(1).await, "invalid_client");
        assert!(works(2).await);

        // Removed.
        cluster.store.register("a", true, &[]);
        here.sync().await;
        assert_eq!(refused(2).await, "invalid_client");
        let used: Vec<_> = here.replica.uses.take(10).into_iter().map(|u| u.secret_id).collect();
        assert!(used.contains(&"1".to_owned()) && used.contains(&"2".to_owned()), "{used:?}");
    })
    .await;
}

// V-70: the hot path asks the store for nothing
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_store_is_not_waited_for_by_those_who_are_known() {
    each(async |cluster, [here, _], [wire, _]| {
        let good = token(wire, "a").await;
        assert!(is_active(wire, &good).await);
        cluster.store.set(Mode::Frozen);
        // A quarter of a second for each would be more than this.
        let known = tokio::time::timeout(PATIENCE, async {
            for _ in 0..500 {
                token(wire, "a").await;
                assert!(is_active(wire, &good).await);
            }
        });
        known.await.expect("no request waits for the store");
        // An unknown one waits a quarter of a second, and not at all once the feed has failed.
        let stranger = Auth::basic("stranger", WRONG);
        assert_eq!(error(wire.issue(&stranger, &Issue::default()).await), "temporarily_unavailable");
        cluster.store.set(Mode::Down);
        here.replica.sync().await.unwrap_err();
        cluster.store.set(Mode::Frozen);
        assert_eq!(error(wire.issue(&stranger, &Issue::default()).await), "temporarily_unavailable");
    })
    .await;
}
