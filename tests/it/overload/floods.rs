//! Floods of what is worth nothing leave room for what is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::task::JoinSet;

use crate::support::{Auth, Issue, TestServer, WRONG, Wire, forge::Forge, parallel::in_parallel};

/// How many requests a second of a good client are served; all must be.
async fn goodput(wires: &[Wire; 2]) -> f64 {
    let wires = wires.clone();
    let call = move |n: usize| {
        let wire = wires[n % 2].clone();
        async move { wire.issue(&Auth::basic("generated", super::SECRET), &Issue::default()).await }
    };
    let begun = Instant::now();
    let answers = in_parallel(200, 4, call).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    answers.len() as f64 / begun.elapsed().as_secs_f64()
}

/// What a caller of the flood sends.
#[derive(Clone)]
enum Junk {
    Secret(&'static str),
    Token(String),
}

// F-24, V-26
#[tokio::test(flavor = "multi_thread")]
async fn good_callers_are_served_beside_floods_of_bad_ones() {
    let (server, forge) = Forge::with_server("").await;
    let wires = Wire::both(&server).await;
    let header = forge.header();
    let good = forge.sign(&header, "{}");
    let (signed, _) = good.rsplit_once('.').unwrap();
    let bad_signature = format!("{signed}.{}", "A".repeat(342));
    let unknown_kid = forge.sign(&header.replace(&forge.rsa_kid, "nobody-has-this"), "{}");
    assert_ne!(unknown_kid, good);
    for junk in [
        // One that has the form of a generated secret, and one for which Argon2id is computed.
        Junk::Secret(WRONG),
        Junk::Secret("somebody chose it"),
        Junk::Token(bad_signature),
        Junk::Token(unknown_kid),
    ] {
        let alone = goodput(&wires).await;
        let flood = Flood::begin(&server, junk).await;
        let beside = goodput(&wires).await;
        let bad = flood.end().await;
        // The callers of the flood are half of all, and share the two cores with the server.
        assert!(beside >= alone / 8.0, "{beside:.0}/s beside {bad} bad ones, of {alone:.0}/s");
    }
}

struct Flood {
    end: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    callers: JoinSet<()>,
}

impl Flood {
    async fn begin(server: &TestServer, junk: Junk) -> Self {
        let mut flood = Self { end: Arc::default(), answered: Arc::default(), callers: JoinSet::new() };
        let wires = Wire::both(server).await;
        for n in 0..4 {
            let (wire, junk) = (wires[n % 2].clone(), junk.clone());
            let (end, answered) = (Arc::clone(&flood.end), Arc::clone(&flood.answered));
            flood.callers.spawn(async move {
                while !end.load(Ordering::Relaxed) {
                    match &junk {
                        Junk::Secret(secret) => {
                            let refused = wire
                                .issue(&Auth::basic("es256", secret), &Issue::default())
                                .await
                                .unwrap_err();
                            assert!(["invalid_client", "temporarily_unavailable"].contains(&&*refused.error));
                        }
                        Junk::Token(token) => {
                            let answer =
                                wire.introspect(&Auth::basic("generated", super::SECRET), token).await;
                            assert_eq!(answer.unwrap()["active"], false);
                        }
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        flood
    }

    async fn end(self) -> usize {
        self.end.store(true, Ordering::Relaxed);
        self.callers.join_all().await;
        self.answered.load(Ordering::Relaxed)
    }
}
