//! One service, two transports (CHK-146): the same request gets the same verdict and the same claims over both, for ten
//! thousand requests that nobody chose.
//!
//! A failure names the seed; `PARITY_SEED=... cargo test --test it parity` repeats it.

use std::sync::Arc;

use crate::support::{
    Auth, Issue, Outcome, TestServer, Wire,
    cases::{Case, PARITY_CLIENTS, cases, secret},
    jwt::{broken, claims, header},
    parallel::in_parallel,
    server::{CLIENTS, NOW},
};

const CASES: usize = 10_000;

/// Requests in flight at once.
const WIDTH: usize = 32;

fn configuration(enabled: bool) -> String {
    let tables: Vec<String> = PARITY_CLIENTS
        .iter()
        .map(|(client_id, members)| {
            let members =
                if enabled { members.replace("enabled = false", "") } else { (*members).to_owned() };
            let alg =
                if members.contains("signing_alg") { "" } else { "access_token_signing_alg = \"ES256\"\n" };
            format!(
                "[[clients]]\nclient_id = \"{client_id}\"\nclient_secret = \"{}\"\n{alg}{members}\n",
                secret(client_id)
            )
        })
        .collect();
    format!("{CLIENTS}\n{}", tables.join("\n"))
}

/// Good tokens of every client, of one that is disabled since, expired ones, foreign ones, and each broken in every way.
async fn pool(server: &TestServer) -> Vec<String> {
    let foreign =
        TestServer::with_environment(&configuration(true), &[("ISSUER_URL", "https://other.example")]).await;
    let (wire, foreign) = (&Wire::both(server).await[0], &Wire::both(&foreign).await[0]);
    let mut pool = Vec::new();
    server.clock.set(NOW - 31);
    for client_id in ["short", "plain"] {
        pool.push(wire.granted(&Auth::basic(client_id, &secret(client_id)), &Issue::default()).await);
    }
    server.clock.set(NOW);
    for client_id in ["plain", "hmac", "edwards", "a:b %+c", "basic", "off", "rsa", "short"] {
        let auth = Auth::basic(client_id, &secret(client_id));
        let token = wire.granted(&auth, &Issue::default()).await;
        pool.extend(broken(&token).into_iter().map(|(_, text)| text).filter(|text| text.len() < 4_000));
        pool.extend(std::iter::repeat_n(token, 30));
        pool.push(foreign.granted(&auth, &Issue::default()).await);
    }
    server.reload(&configuration(false)).await.unwrap();
    pool
}

/// Tokens that may be revoked, of the clients that ask most, and others that nobody can revoke.
async fn revocable(server: &TestServer) -> Vec<String> {
    let wire = &Wire::both(server).await[0];
    let mut revocable = Vec::new();
    for client_id in ["plain", "hmac", "edwards", "rsa"] {
        for _ in 0..15 {
            let auth = Auth::basic(client_id, &secret(client_id));
            revocable.push(wire.granted(&auth, &Issue::default()).await);
        }
    }
    revocable
        .extend(broken(&revocable[0]).into_iter().map(|(_, text)| text).filter(|text| text.len() < 4_000));
    revocable
}

/// What a case comes to, but for what differs from token to token.
async fn verdict(wire: &Wire, case: &Case) -> Outcome<String> {
    match case {
        Case::Issue(auth, issue) => wire.issue(auth, issue).await.map(|mut response| {
            let token = response["access_token"].take();
            let token = token.as_str().unwrap();
            let mut claims = claims(token);
            assert!(claims["jti"].take().is_string());
            format!("{response} {} {claims}", header(token))
        }),
        Case::Introspect(auth, token) => wire.introspect_text(auth, token).await,
        Case::UserInfo(auth, token) => wire.userinfo_with(auth, token.as_deref()).await,
        Case::Revoke(auth, token, hint) => {
            wire.revoke(auth, token, hint).await.map(|()| "revoked".to_owned())
        }
    }
}

// CHK-146
#[tokio::test(flavor = "multi_thread")]
async fn both_transports_give_the_same_verdict_and_the_same_claims() {
    let seed: u64 = std::env::var("PARITY_SEED").map_or(0x6d69_6e74_6167_6501, |seed| seed.parse().unwrap());
    let server = TestServer::with(&configuration(true)).await;
    let (revocable, pool) = (revocable(&server).await, pool(&server).await);

    let cases = tokio::task::block_in_place(|| cases(seed, CASES, pool, revocable));
    let (cases, wires) = (Arc::new(cases), Arc::new(Wire::both(&server).await));
    let ask = {
        let cases = Arc::clone(&cases);
        move |number: usize| {
            let (cases, wires) = (Arc::clone(&cases), Arc::clone(&wires));
            async move {
                let [rest, grpc] = &*wires;
                tokio::join!(verdict(rest, &cases[number]), verdict(grpc, &cases[number]))
            }
        }
    };
    let verdicts = in_parallel(CASES, WIDTH, ask).await;

    let mut tally = std::collections::BTreeMap::<String, usize>::new();
    for (number, (rest, grpc)) in verdicts.iter().enumerate() {
        assert_eq!(rest, grpc, "PARITY_SEED={seed}, case {number}: {:?}", cases[number]);
        let operation = format!("{:?}", cases[number]).split('(').next().unwrap().to_owned();
        let outcome = match rest {
            Ok(text) if text == r#"{"active":false}"# => "inactive",
            Ok(_) => "ok",
            Err(refused) => &refused.error,
        };
        *tally.entry(format!("{operation} {outcome}")).or_default() += 1;
    }
    // Ten thousand refusals would agree as well: each verdict is there often enough to mean something.
    for (verdict, least) in [
        ("Issue ok", 500),
        ("Issue invalid_client", 500),
        ("Issue invalid_scope", 200),
        ("Issue invalid_target", 200),
        ("Issue invalid_request", 100),
        ("Issue unauthorized_client", 50),
        ("Introspect ok", 200),
        ("Introspect inactive", 500),
        ("Introspect invalid_client", 300),
        ("Introspect invalid_request", 50),
        ("Revoke ok", 100),
        ("Revoke unauthorized_client", 100),
        ("Revoke invalid_client", 100),
        ("UserInfo ok", 300),
        ("UserInfo invalid_token", 300),
        ("UserInfo invalid_request", 50),
    ] {
        assert!(tally.get(verdict).is_some_and(|count| *count >= least), "{verdict}: {tally:#?}");
    }
}
