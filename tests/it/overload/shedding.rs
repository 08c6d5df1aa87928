//! Shedding: while tasks run late, requests are refused at the edge.

use std::{thread, time::Duration};

use super::{NOISY, ask, asks, is_granted};
use crate::support::{TestServer, Wire, http::get, parallel::in_parallel, patience::eventually};

const CLIENT: &str = r#"
[[clients]]
client_id = "noisy"
client_secret = "mint_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
access_token_signing_alg = "HS256"
"#;

// F-16, F-19, CHK-145: tasks that compute where others are to be served make everybody late
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_tasks_run_late_requests_are_refused_and_documents_are_not() {
    let server = TestServer::with_environment(CLIENT, &[("MINTAGE_LIMITS_QUEUE_WAIT", "20ms")]).await;
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
    eventually("it sheds", async || server.overload.figures().admitted_share < 0.25).await;
    let mut refused = [0, 0];
    for _ in 0..40 {
        let call = asks(&wires, |_| NOISY.to_owned());
        for (n, outcome) in in_parallel(16, 16, call).await.iter().enumerate() {
            refused[n % 2] += usize::from(!is_granted(outcome));
        }
        if !refused.contains(&0) {
            break;
        }
    }
    assert!(!refused.contains(&0), "{refused:?} were refused over REST and gRPC");
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
