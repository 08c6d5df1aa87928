//! Replicas that do the same thing at the same instant (F-12, I4).

use super::*;
use crate::support::jwt::header;

async fn jwks(replica: &Replica) -> Vec<String> {
    let answer = replica.get("/.well-known/jwks.json").await;
    let keys = answer.body["keys"].as_array().unwrap();
    let mut kids: Vec<_> = keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect();
    kids.sort();
    kids
}

// F-12, I4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_start_at_once_agree_on_the_keys() {
    for _ in 0..3 {
        let database = Postgres::new_name();
        Postgres::shared().url(&database);
        let mut replicas = Vec::new();
        for _ in 0..3 {
            replicas.push(Replica::spawn(Postgres::shared(), &database, "").await);
        }
        for replica in &mut replicas {
            replica.process.ready().await;
        }
        let keys = Postgres::shared()
            .sql(&database, "SELECT alg, count(*) FROM signing_keys GROUP BY alg ORDER BY alg");
        println!("{}", keys.replace('\n', " "));
        assert!(keys.lines().count() >= 4 && keys.lines().all(|line| line.ends_with("|1")), "{keys}");
        eventually("all publish the same keys", async || {
            let first = jwks(&replicas[0]).await;
            first.len() == keys.lines().count()
                && jwks(&replicas[1]).await == first
                && jwks(&replicas[2]).await == first
        })
        .await;
        // I4: what one signs all the others verify.
        let service = replicas[0].create("service").await;
        for issuer in &replicas {
            let token = issuer.token(&service).await;
            for verifier in &replicas {
                assert_eq!(verifier.introspect(&token).await.active(), Some(true));
            }
        }
    }
}

/// A key is published 30 s before it signs, which is a quarter of the period.
const ROTATION: &str = "[keys]\nrotation_period = \"2m\"\njwks_max_age = \"1s\"";

// F-12, I4, I5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_at_once_and_a_crash_before_the_activation_give_one_new_key() {
    let database = Postgres::new_name();
    Postgres::shared().url(&database);
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(Replica::spawn(Postgres::shared(), &database, ROTATION).await);
    }
    for replica in &mut replicas {
        replica.process.ready().await;
    }
    let service = replicas[0].create("service").await;
    let before = jwks(&replicas[0]).await;

    let rotate = || replicas[0].command(Postgres::shared(), &database, &["key", "rotate", "ES256"]);
    let rotations: Vec<_> = (0..4).map(|_| rotate().spawn().unwrap()).collect();
    for rotation in rotations {
        let output = rotation.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let kids = "SELECT kid FROM signing_keys WHERE alg = 'ES256' ORDER BY generation";
    let kids = Postgres::shared().sql(&database, kids);
    let [old, new] = kids.lines().collect::<Vec<_>>()[..] else { panic!("not two keys: {kids}") };
    eventually("the new key is published", async || jwks(&replicas[1]).await.len() == before.len() + 1).await;

    // Nothing has to be done at the moment of activation, so nothing is lost with who would have done it.
    replicas[2].process.signal("KILL");
    replicas[2].process.ended().await;
    replicas[2].respawn(Postgres::shared(), &database, ROTATION);
    replicas[2].process.ready().await;

    let (begun, mut seen) = (Instant::now(), [[0; 2]; 3]);
    while seen.iter().any(|[_, by_new]| *by_new < 3) {
        assert!(begun.elapsed() < PATIENCE, "the new key does not sign: {seen:?}");
        // A verifier that obeys Cache-Control uses what it fetched up to a second ago.
        let published = jwks(&replicas[0]).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        for (replica, seen) in replicas.iter().zip(&mut seen) {
            let token = replica.token(&service).await;
            let kid = kid(&token);
            assert!(published.contains(&kid), "{kid} signs and is not published");
            seen[[old, new].iter().position(|known| *known == kid).unwrap()] += 1;
            for verifier in &replicas {
                assert_eq!(verifier.introspect(&token).await.active(), Some(true));
            }
        }
    }
    println!("the new key signs after {:.1?}; tokens by the old and the new: {seen:?}", begun.elapsed());
    assert!(seen.iter().all(|[by_old, _]| *by_old > 0));
    // The old one still verifies.
    assert!(jwks(&replicas[2]).await.iter().any(|kid| kid == old));
}

fn kid(token: &str) -> String {
    header(token)["kid"].as_str().unwrap().to_owned()
}
