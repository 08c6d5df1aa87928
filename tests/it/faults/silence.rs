//! Tokens cost the store nothing: no statement is sent for one.

use super::*;

/// How many tokens; a build without optimisation is slow enough with fewer.
const TOKENS: usize = if cfg!(debug_assertions) { 2000 } else { 10_000 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_issued_and_introspected_without_a_statement() {
    let started = Instant::now();
    let settings = "[store]\npoll_interval = \"15s\"\nnotify = false";
    let cluster = Cluster::start(Postgres::shared(), 1, settings).await;
    let replica = &cluster.replicas[0];
    let service = replica.create("service").await;
    assert_eq!(replica.introspect(&replica.token(&service).await).await.active(), Some(true));
    // What a start does beside the requests has been done, and the tick has copied the counter.
    let statements = async || replica.metric("mintage_store_statements_total").await;
    let mut before = 0.0;
    eventually("the store is left alone", async || {
        let last = std::mem::replace(&mut before, statements().await);
        tokio::time::sleep(Duration::from_secs(2)).await;
        last == before && before > 0.0
    })
    .await;
    let begun = Instant::now();

    let work = (0..4).map(|_| {
        let (replica, service) = (Arc::clone(replica), service.clone());
        tokio::spawn(async move {
            for _ in 0..TOKENS / 4 {
                let token = replica.token(&service).await;
                assert_eq!(replica.introspect(&token).await.active(), Some(true));
            }
        })
    });
    for work in work.collect::<Vec<_>>() {
        work.await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = statements().await;
    println!("{TOKENS} tokens issued and introspected, {} statements", after - before);
    // One for each poll. The chores come a minute after the start, and every minute; who is so slow is not judged by them.
    let polls = (begun.elapsed().as_secs() + 2) / 15 + 1;
    let chores = 40 * ((started.elapsed().as_secs() + 10) / 60);
    assert!(after - before <= (polls + chores) as f64, "{before} {after}");
}
