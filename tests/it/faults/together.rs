//! Replicas that do the same thing at the same instant (F-12, I4).

use super::*;

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
        eventually("all publish the same keys", HEALED, async || {
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
