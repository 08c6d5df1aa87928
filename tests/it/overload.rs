//! More is asked for than can be done: what is refused, how, and who does not notice (F-16..F-19, F-24).

mod floods;
mod rates;
mod shedding;
mod signing;

use std::{fmt::Write, pin::Pin};

use crate::support::{Auth, Issue, Outcome, TestServer, Wire};

/// A key of 8192 bits, with which a signature takes tens of milliseconds: a few dozen requests per second are too many, and
/// the test itself costs next to nothing beside them.
const SLOW_KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/overload/rsa-8192.pem");

/// The secret of every client here: it is told at once, without Argon2id.
const SECRET: &str = "mint_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

/// The client that asks for more than its share.
const NOISY: &str = "noisy";

/// How many quiet clients there are.
const QUIET: usize = 4;

/// A server that signs RS256 slowly for [`NOISY`] and the quiet ones, and ES256 for "es256".
async fn slow_signer(queue_wait: &str) -> TestServer {
    let mut toml = String::new();
    let quiet = (0..QUIET).map(quiet);
    for (client_id, alg) in
        quiet.chain([NOISY.to_owned()]).map(|id| (id, "RS256")).chain([("es256".to_owned(), "ES256")])
    {
        writeln!(
            toml,
            "[[clients]]\nclient_id = \"{client_id}\"\nclient_secret = \"{SECRET}\"\naccess_token_signing_alg = \"{alg}\"\n"
        )
        .unwrap();
    }
    let environment = [("RS256_PRIVATE_KEY_PATH", SLOW_KEY), ("MINTAGE_LIMITS_QUEUE_WAIT", queue_wait)];
    TestServer::with_environment(&toml, &environment).await
}

/// The name of a quiet client.
fn quiet(number: usize) -> String {
    format!("quiet-{number}")
}

/// Asks for a token.
async fn ask(wire: &Wire, client_id: &str) -> Outcome {
    wire.issue(&Auth::basic(client_id, SECRET), &Issue::default()).await
}

/// Asks for tokens of these clients by number, over REST and gRPC in turn.
fn asks(
    wires: &[Wire; 2],
    client_id: impl Fn(usize) -> String + Clone + Send + Sync + 'static,
) -> impl Fn(usize) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Clone + Send + Sync + 'static {
    let wires = wires.clone();
    move |n| {
        let (wire, client_id) = (wires[n % 2].clone(), client_id(n));
        Box::pin(async move { ask(&wire, &client_id).await })
    }
}

/// Whether it was granted; a refusal must be one for overload, with a time to come back.
fn is_granted(outcome: &Outcome) -> bool {
    let Err(refused) = outcome else { return true };
    assert_eq!(refused.error, "temporarily_unavailable", "{refused:?}");
    assert!((1..60).contains(&refused.retry_after.unwrap()), "{refused:?}");
    false
}

/// Whether a caller was told that it asks for too much itself (429), rather than that there is too much to do (503).
fn is_own_fault(outcome: &Outcome) -> bool {
    outcome.as_ref().is_err_and(|refused| refused.description.starts_with("too many requests"))
}
