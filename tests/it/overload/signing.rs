//! The signing pool: bounded, fair, and in nobody's way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::broadcast, task::JoinSet};

use super::{NOISY, QUIET, ask, asks, is_granted, is_own_fault, quiet, slow_signer};
use crate::support::{
    Issue, TestServer, WRONG, Wire, auth::Auth, error, http::get, parallel::in_parallel, patience::eventually,
};

/// Callers who ask for tokens of one client without a pause, until they are told to end.
struct Flood {
    end: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
    own_fault: Arc<AtomicUsize>,
    callers: JoinSet<()>,
}

impl Flood {
    /// Returns once the queue is full.
    async fn begin(server: &TestServer, width: usize) -> Self {
        let mut flood = Self {
            end: Arc::default(),
            refused: Arc::default(),
            own_fault: Arc::default(),
            callers: JoinSet::new(),
        };
        let wires = Wire::both(server).await;
        for n in 0..width {
            let wire = wires[n % 2].clone();
            let (end, refused, own_fault) =
                (Arc::clone(&flood.end), Arc::clone(&flood.refused), Arc::clone(&flood.own_fault));
            flood.callers.spawn(async move {
                while !end.load(Ordering::Relaxed) {
                    let outcome = ask(&wire, NOISY).await;
                    if !is_granted(&outcome) {
                        refused.fetch_add(1, Ordering::Relaxed);
                        own_fault.fetch_add(usize::from(is_own_fault(&outcome)), Ordering::Relaxed);
                        // Not quite without one: the server has the same two cores.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            });
        }
        eventually("somebody is refused", async || flood.refused() > 0).await;
        flood
    }

    fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    async fn end(self) -> usize {
        self.end.store(true, Ordering::Relaxed);
        self.callers.join_all().await;
        self.own_fault.load(Ordering::Relaxed)
    }
}

/// Waits until nothing is left of an overload.
async fn is_quiet_again(server: &TestServer) {
    eventually("the pool is idle", async || {
        let figures = server.core.signing_pool.figures();
        (figures.queued, figures.busy) == (0, 0)
    })
    .await;
}

// F-16: an open loop at several times the capacity
#[tokio::test(flavor = "multi_thread")]
async fn beyond_capacity_the_server_goes_on_at_its_peak_and_refuses_the_rest() {
    let server = slow_signer("500ms").await;
    let wires = Wire::both(&server).await;
    let call = asks(&wires, |n| quiet(n % QUIET));
    // The pool learns its pace, then shows it.
    in_parallel(10, 2, call.clone()).await;
    let begun = Instant::now();
    let peak = in_parallel(30, 4, call.clone()).await.iter().filter(|outcome| is_granted(outcome)).count();
    let peak = peak as f64 / begun.elapsed().as_secs_f64();

    let requests = 300_u32;
    let begun = Instant::now();
    let mut answers = JoinSet::new();
    for n in 0..requests {
        tokio::time::sleep_until((begun + Duration::from_secs_f64(f64::from(n) / (4.0 * peak))).into()).await;
        answers.spawn(call(n as usize));
    }
    let answers = answers.join_all().await;
    let lasted = begun.elapsed().as_secs_f64();
    let granted = answers.iter().filter(|outcome| is_granted(outcome)).count();
    assert!(granted < requests as usize, "nothing was refused");
    let goodput = granted as f64 / lasted;
    assert!(goodput >= peak / 2.0, "{goodput:.1}/s of {peak:.1}/s");

    is_quiet_again(&server).await;
    for wire in &wires {
        assert!(is_granted(&ask(wire, NOISY).await));
    }
}

// F-17
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_retries_leaves_nothing_behind() {
    let server = slow_signer("500ms").await;
    let wires = Wire::both(&server).await;
    let call = {
        let wires = wires.clone();
        move |n: usize| {
            let wire = wires[n % 2].clone();
            async move {
                for _ in 0..4 {
                    if is_granted(&ask(&wire, &quiet(n % QUIET)).await) {
                        return true;
                    }
                }
                false
            }
        }
    };
    in_parallel(10, 2, call.clone()).await;
    let granted = in_parallel(120, 120, call).await;
    let refused = server.core.signing_pool.figures();
    let refused = refused.refused_full + refused.refused_late + refused.refused_own_share;
    assert!(refused > 0 && granted.iter().any(|granted| *granted), "{refused} refused");
    is_quiet_again(&server).await;
    for n in 0..20 {
        assert!(is_granted(&ask(&wires[n % 2], &quiet(n % QUIET)).await), "{n}");
    }
}

// F-18
#[tokio::test(flavor = "multi_thread")]
async fn a_noisy_client_pushes_out_itself_alone() {
    let server = slow_signer("10s").await;
    in_parallel(10, 2, {
        let wire = Wire::both(&server).await[0].clone();
        move |_| {
            let wire = wire.clone();
            async move { ask(&wire, NOISY).await }
        }
    })
    .await;
    // More than wait at the pace of the fastest machine.
    let flood = Flood::begin(&server, 300).await;
    let wires = Wire::both(&server).await;
    let before = flood.refused();
    let mut rounds = 0;
    // As many as it takes until the noisy one was refused meanwhile.
    while rounds < 3 || flood.refused() == before {
        let answers = in_parallel(QUIET, QUIET, asks(&wires, quiet)).await;
        let refused: Vec<_> = answers.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        assert!(refused.is_empty(), "{refused:?} {:?}", server.core.signing_pool.figures());
        rounds += 1;
    }
    assert!(flood.end().await > 0, "nobody was told that it is its own fault");
    is_quiet_again(&server).await;
}

// F-19
#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_is_bounded_and_in_nobodys_way() {
    let server = slow_signer("1s").await;
    let flood = Flood::begin(&server, 200).await;
    let wires = Wire::both(&server).await;
    let (mut rounds, refused_before) = (0_u64, flood.refused());
    let mut most = 0;
    let begun = server.core.signing_pool.figures();
    while rounds < 20 || flood.refused() == refused_before {
        let figures = server.core.signing_pool.figures();
        most = most.max(figures.queued);
        assert!(figures.capacity <= 1100, "{figures:?}");
        for path in ["/healthz", "/readyz", "/.well-known/jwks.json"] {
            assert_eq!(get(&server, path).await.status, 200, "{path}");
        }
        rounds += 1;
    }
    let done = server.core.signing_pool.figures().done - begun.done;
    // On the threads that serve, each of these answers would have stood behind signatures.
    assert!(done < rounds * 3, "{done} signatures passed {} answers", rounds * 3);
    for wire in &wires {
        for _ in 0..10 {
            assert!(is_granted(&ask(wire, "es256").await));
        }
    }
    assert!(most > 0 && most <= 1100, "{most}");
    flood.end().await;
    is_quiet_again(&server).await;
}

// F-16: to authenticate it again would cost several times as much
#[tokio::test(flavor = "multi_thread")]
async fn who_was_refused_and_asks_again_is_refused_unread_until_there_is_room() {
    let server = slow_signer("100ms").await;
    let pool = &server.core.signing_pool;
    let (gate, _) = broadcast::channel::<()>(1);
    eventually("the pool is full", async || {
        let (pool, mut gate) = (Arc::clone(pool), gate.subscribe());
        let job = move || gate.blocking_recv().is_err();
        tokio::spawn(async move { pool.run(&NOISY.parse().unwrap(), job).await });
        tokio::task::yield_now().await;
        server.core.signing_pool.is_full()
    })
    .await;

    let by_pool = || pool.figures().refused_full;
    let refused = || server.metric("mintage_requests_refused_total{reason=\"queue_full\"}");
    let wires = Wire::both(&server).await;
    for wire in &wires {
        eventually("it is refused again, and the pool is not asked", async || {
            let before = (refused(), by_pool());
            assert!(!is_granted(&ask(wire, NOISY).await));
            (refused(), by_pool()) == (before.0 + 1, before.1)
        })
        .await;
        // Whoever has other credentials is told what there is to be told about them.
        let guess = wire.issue(&Auth::basic(NOISY, WRONG), &Issue::default()).await;
        assert_eq!(error(guess), "invalid_client");
        assert!(is_granted(&ask(wire, "es256").await));
    }

    drop(gate);
    is_quiet_again(&server).await;
    for wire in &wires {
        assert!(is_granted(&ask(wire, NOISY).await));
    }
}

// F-19: nobody's signature is made
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_has_hung_up_gets_no_signature() {
    let server = slow_signer("10s").await;
    for wire in Wire::both(&server).await {
        let before = server.core.signing_pool.figures();
        let (asked, hung_up) = (12, 8);
        let mut callers: Vec<_> = (0..asked)
            .map(|_| {
                let wire = wire.clone();
                tokio::spawn(async move { ask(&wire, NOISY).await })
            })
            .collect();
        eventually("all have come", async || {
            let now = server.core.signing_pool.figures();
            now.done - before.done + (now.busy + now.queued) as u64 >= asked
        })
        .await;
        for caller in callers.drain(4..) {
            caller.abort();
        }
        for caller in callers {
            assert!(is_granted(&caller.await.unwrap()));
        }
        is_quiet_again(&server).await;
        let after = server.core.signing_pool.figures();
        let (abandoned, done) = (after.abandoned - before.abandoned, after.done - before.done);
        assert_eq!(abandoned + done, asked, "{wire:?}");
        assert!(abandoned >= hung_up / 2, "{wire:?}: {abandoned}");
    }
}

// A signed introspection response takes its turn as a token does.
#[tokio::test(flavor = "multi_thread")]
async fn signed_answers_take_their_turn_too() {
    let server = slow_signer("10s").await;
    let [wire, _] = Wire::both(&server).await;
    let token = ask(&wire, "es256").await.unwrap()["access_token"].as_str().unwrap().to_owned();
    let before = server.core.signing_pool.figures().done;
    let answer = reqwest::Client::new()
        .post(wire.url("/introspect"))
        .basic_auth("es256", Some(super::SECRET))
        .header("accept", "application/token-introspection+jwt")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={token}"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    // A job is counted after it was answered.
    eventually("it is counted", async || server.core.signing_pool.figures().done > before).await;
    wire.issue(&Auth::basic("es256", super::SECRET), &Issue::default()).await.unwrap();
    is_quiet_again(&server).await;
    assert_eq!(server.core.signing_pool.figures().done, before + 1, "ES256 is signed where it is asked for");
}
