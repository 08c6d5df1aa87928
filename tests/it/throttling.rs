//! Failed attempts are limited (RFC 6749 §10.10), and nobody else pays for them.

use std::{sync::Arc, time::Duration};

use tokio::sync::Barrier;

use crate::support::{
    Auth, Issue, TestServer, WRONG, Wire, auth::secret_of, error, parallel::in_parallel, server::CLIENTS,
};

/// A wrong secret that somebody could have chosen; what was generated cannot be guessed and is not limited.
const GUESS: &str = "a guess";

/// `CLIENTS` with this limit; an empty one leaves the default.
fn limited(rate: &str) -> String {
    let line = if rate.is_empty() { String::new() } else { format!("failed_auth_rate = \"{rate}\"") };
    CLIENTS.replacen("failed_auth_rate = \"off\"", &line, 1)
}

// CHK-28: the default limit, and guesses spread evenly over ten seconds, which suits the guesser best
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_wrong_secrets_in_ten_seconds_are_too_many() {
    let server = TestServer::with(&limited("")).await;
    for (wire, victim) in Wire::both(&server).await.into_iter().zip(["es256", "eddsa"]) {
        // What was verified once is remembered; a throttle must stop it all the same.
        wire.token(victim).await;
        let (mut served, mut limited) = (0, 0);
        for _ in 0..100 {
            let refusal = wire.issue(&Auth::basic(victim, GUESS), &Issue::default()).await.unwrap_err();
            match refusal.error.as_str() {
                "invalid_client" => served += 1,
                "temporarily_unavailable" => limited += 1,
                other => panic!("{other}"),
            }
            server.clock.advance(Duration::from_millis(100));
        }
        // Many, since one wrong login of some libraries is two attempts; but not all.
        assert!(served >= 40 && limited >= 10, "{wire:?}: {served} served, {limited} limited");
    }
}

// CHK-28
#[tokio::test(flavor = "multi_thread")]
async fn the_guesser_waits_and_others_do_not() {
    let server = TestServer::with(&limited("")).await;
    for (wire, victim) in Wire::both(&server).await.into_iter().zip(["es256", "eddsa"]) {
        let guess = Auth::basic(victim, GUESS);
        let exhaust = async || {
            for n in 0..=40 {
                let refusal = wire.issue(&guess, &Issue::default()).await.unwrap_err();
                if refusal.error == "temporarily_unavailable" {
                    return (n, refusal.retry_after.unwrap());
                }
            }
            panic!("forty-one guesses were served")
        };
        let (served, retry_after) = exhaust().await;
        assert_eq!(served, 40);
        assert!((1..=10).contains(&retry_after), "{retry_after}");

        // The right secret must not tell itself apart, in any operation and by any method.
        for auth in [Auth::of(victim), Auth::post(victim), guess.clone()] {
            let issued = wire.issue(&auth, &Issue::default()).await;
            assert_eq!(error(issued), "temporarily_unavailable", "{wire:?} {auth:?}");
            let answered = wire.introspect(&auth, "x").await;
            assert_eq!(error(answered), "temporarily_unavailable", "{wire:?} {auth:?}");
        }
        // Another client at the same address goes on.
        wire.token("rs256").await;
        assert!(wire.is_active(&wire.token("hs256").await).await);

        // To be refused costs nothing more, and to wait as long as told helps.
        server.clock.advance(Duration::from_secs(retry_after));
        wire.token(victim).await;
        // A success forgives nothing: the next guesses are counted on top of the old ones.
        let (served, _) = exhaust().await;
        assert!(served < 40, "{served}");
        // After the whole period all is forgotten.
        server.clock.advance(Duration::from_secs(10));
        assert_eq!(exhaust().await.0, 40);
        server.clock.advance(Duration::from_secs(10));
    }
}

// An unknown client is limited as a known one is: the limit tells nothing about who exists (V-22).
#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_disabled_clients_are_limited_alike() {
    let server = TestServer::with(&limited("3/10s")).await;
    for wire in Wire::both(&server).await {
        for client_id in ["hs256", "unknown", "disabled", "public"] {
            let guess = Auth::form(client_id, GUESS);
            let mut codes = Vec::new();
            for _ in 0..5 {
                codes.push(error(wire.issue(&guess, &Issue::default()).await));
            }
            let expected = ["invalid_client", "invalid_client", "invalid_client"];
            assert_eq!(codes[..3], expected, "{wire:?} {client_id}");
            assert_eq!(codes[3..], ["temporarily_unavailable"; 2], "{wire:?} {client_id}");
        }
        server.clock.advance(Duration::from_secs(10));
    }
}

// V-26: bad secrets by the hundred, for as many clients, cost Argon2id each; a caller whose secret is known does not
// stand in that queue.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_bad_secrets_does_not_stop_good_callers() {
    // Without a limit every guess queues for Argon2id; with one the guesser runs out of budget. Both must hold.
    for rate in ["off", "5/10s"] {
        let server = TestServer::with(&limited(rate)).await;
        let wires = Wire::both(&server).await;
        let good = ["es256", "hs256", "eddsa", "generated"];
        for client_id in good {
            wires[0].token(client_id).await;
        }
        let start = Arc::new(Barrier::new(2));
        let flood = {
            let (wires, start) = (wires.clone(), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                let guess = move |n: usize| {
                    let wire = wires[n % 2].clone();
                    let client_id =
                        if n.is_multiple_of(3) { "rs256".to_owned() } else { format!("client-{n}") };
                    async move { error(wire.issue(&Auth::basic(&client_id, "chosen"), &Issue::default()).await) }
                };
                in_parallel(200, 200, guess).await
            })
        };
        start.wait().await;
        let call = {
            let wires = wires.clone();
            move |n: usize| {
                let (wire, client_id) = (wires[n % 2].clone(), good[n / 2 % good.len()]);
                async move {
                    let response = wire.issue(&Auth::of(client_id), &Issue::default()).await;
                    let token = response?["access_token"].as_str().unwrap().to_owned();
                    wire.introspect(&Auth::basic(client_id, &secret_of(client_id)), &token).await
                }
            }
        };
        let answers = in_parallel(200, 8, call).await;
        let active: Vec<_> = answers
            .iter()
            .filter(|answer| answer.as_ref().is_ok_and(|json| json["active"] == true))
            .collect();
        assert_eq!(active.len(), 200, "{rate}: {:?}", answers.iter().find(|answer| answer.is_err()));
        for code in flood.await.unwrap() {
            assert!(["invalid_client", "temporarily_unavailable"].contains(&code.as_str()), "{code}");
        }
    }
}

// V-26: nobody is locked out by guesses whose form is that of a generated secret, nor while others guess.
#[tokio::test(flavor = "multi_thread")]
async fn a_generated_secret_is_never_held_up() {
    let server = TestServer::with(&limited("3/10s")).await;
    for wire in Wire::both(&server).await {
        for secret in [WRONG, GUESS] {
            for _ in 0..5 {
                wire.issue(&Auth::basic("generated", secret), &Issue::default()).await.unwrap_err();
            }
        }
        wire.token("generated").await;
    }
}

// V-22, V-26: made-up identifiers cost the store reads until their source has spent its budget. What fails then is told so,
// whether the client exists or not; clients in memory are served, and a client of the store is once the budget is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_made_up_clients_does_not_keep_the_store_busy() {
    let server = TestServer::with(&limited("2/10s")).await;
    let wires = Wire::both(&server).await;
    let registration =
        mintage::oauth::client::ClientRegistration { client_id: "stored".to_owned(), ..Default::default() };
    let new = mintage::admin::clients::NewClient { registration, ..Default::default() };
    let secret = server.core.client_admin.create(new).await.unwrap().secret.unwrap();
    for wire in &wires {
        wire.token("generated").await;
    }
    let before = server.core.store.store.statements();
    let mut told = Vec::new();
    for n in 0..200 {
        let auth = Auth::basic(&format!("made-up-{n}"), WRONG);
        told.push(error(wires[n % 2].issue(&auth, &Issue::default()).await));
    }
    // 32 times the rate. The replica follows the store meanwhile, with a few reads of its own.
    assert!(told[..64].iter().all(|code| code == "invalid_client"), "{told:?}");
    assert!(told[64..].iter().all(|code| code == "temporarily_unavailable"), "{told:?}");
    let statements = server.core.store.store.statements() - before;
    assert!((64..150).contains(&statements), "{statements}");

    for wire in &wires {
        let stored = Auth::basic("stored", secret.expose());
        let refusal = wire.issue(&stored, &Issue::default()).await.unwrap_err();
        assert_eq!(refusal.error, "temporarily_unavailable");
        assert!((1..=10).contains(&refusal.retry_after.unwrap()));
        for client_id in ["generated", "es256"] {
            let guess = Auth::basic(client_id, WRONG);
            assert_eq!(error(wire.issue(&guess, &Issue::default()).await), "temporarily_unavailable");
        }
        wire.token("generated").await;
    }
    server.clock.advance(Duration::from_secs(10));
    for wire in &wires {
        wire.issue(&Auth::basic("stored", secret.expose()), &Issue::default()).await.unwrap();
        assert_eq!(
            error(wire.issue(&Auth::basic("made-up", WRONG), &Issue::default()).await),
            "invalid_client"
        );
    }
}

// A burst is charged before it is served, so that its guesses are no more than the limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_guesses_is_counted_before_it_is_served() {
    let server = TestServer::with(&limited("5/10s")).await;
    let wires = Wire::both(&server).await;
    let guess = move |n: usize| {
        let wire = wires[n % 2].clone();
        async move { error(wire.issue(&Auth::basic("es256", &format!("guess {n}")), &Issue::default()).await) }
    };
    let codes = in_parallel(40, 40, guess).await;
    let served = codes.iter().filter(|code| *code == "invalid_client").count();
    assert_eq!(served, 5, "{codes:?}");
}
