//! Shedding: while tasks run late, requests are refused at the edge.

use std::{thread, time::Duration};

use super::{NOISY, ask, asks, is_granted, quiet};
use crate::support::{TestServer, Wire, http::get, parallel::in_parallel, patience::eventually};

const CLIENTS: &str = r#"
[[clients]]
client_id = "noisy"
client_secret = "mint_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
access_token_signing_alg = "HS256"

[[clients]]
client_id = "quiet-0"
client_secret = "mint_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
access_token_signing_alg = "HS256"
"#;

/// How many requests are made at once, and which of them is that of the quiet client.
const AT_ONCE: usize = 200;
const QUIET_ONE: usize = 150;

// F-16, F-18, F-19, F-24, CHK-145: tasks that compute where others are to be served make everybody late
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_tasks_run_late_requests_are_refused_and_documents_are_not() {
    let server = TestServer::with_environment(CLIENTS, &[("MINTAGE_LIMITS_QUEUE_WAIT", "20ms")]).await;
    let wires = Wire::both(&server).await;
    // Whoever else uses the machine may make it late at any time.
    eventually("it is in time", async || server.overload.figures().admitted_share >= 1.0).await;
    for wire in &wires {
        eventually("they are served", async || is_granted(&ask(wire, NOISY).await)).await;
    }

    let blocking: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn(async {
                loop {
                    thread::sleep(Duration::from_millis(20));
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let client_id = |n| if n == QUIET_ONE { quiet(0) } else { NOISY.to_owned() };
    let sheds = async || {
        in_parallel(AT_ONCE, AT_ONCE, asks(&wires, client_id)).await;
        server.overload.figures().admitted_share < 0.25
    };
    eventually("it sheds", sheds).await;
    let (mut refused, mut quiet_refused, mut rounds) = ([0, 0], 0, 0);
    while rounds < 12 || rounds < 40 && refused.contains(&0) {
        let answers = in_parallel(AT_ONCE, AT_ONCE, asks(&wires, client_id)).await;
        for (n, outcome) in answers.iter().enumerate() {
            let is_refused = usize::from(!is_granted(outcome));
            if n == QUIET_ONE {
                quiet_refused += is_refused;
            } else {
                refused[n % 2] += is_refused;
            }
        }
        rounds += 1;
    }
    assert!(!refused.contains(&0), "{refused:?} were refused over REST and gRPC");
    // In a hundred requests of each.
    let noisy = (refused[0] + refused[1]) * 100 / (rounds * (AT_ONCE - 1));
    let quiet = quiet_refused * 100 / rounds;
    assert!(quiet * 2 < noisy, "{quiet} % of the quiet client's were refused, {noisy} % of the noisy one's");
    for path in ["/healthz", "/.well-known/jwks.json"] {
        assert_eq!(get(&server, path).await.status, 200, "{path}");
    }
    let figures = server.overload.figures();
    assert!(figures.shed as usize >= refused[0] + refused[1], "{figures:?}");

    blocking.iter().for_each(tokio::task::JoinHandle::abort);
    eventually("all are let in", async || server.overload.figures().admitted_share >= 1.0).await;
    for wire in &wires {
        eventually("they are served", async || is_granted(&ask(wire, NOISY).await)).await;
    }
}
