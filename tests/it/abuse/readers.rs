//! Readers that take nothing of their answers (F-22). One that stops in the middle of a large one is in
//! `transport::deadlines`.

use super::{
    Target,
    connection::{End, PREFACE, SETTINGS, blind_flood, stream},
    idle::how_many,
};
use crate::support::{
    patience::eventually,
    raw::{frame, headers},
};

const OPEN: &str = "mintage_connections{protocol=\"http2\",tls=\"false\"} ";

// F-22: the deadlines are those of the server as it is: 15 s in which nothing finds room, and behind it PINGs that nobody
// answers. Over HTTP/2 answers wait in the server
// and not in the kernel's buffers, which hold megabytes.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_costs_little_and_is_closed() {
    let mut target = Target::start().await;
    let count = how_many(1_000).min(1_000);
    let opening = [PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat();
    let ask =
        [(":method", "GET"), (":scheme", "http"), (":path", "/.well-known/jwks.json"), (":authority", "a")];
    let mut readers = Vec::new();
    for _ in 0..count {
        let asking =
            blind_flood(target.address(), &opening, 8, |number| headers(stream(number), true, &ask)).await;
        assert_eq!(asking.0, End::Open);
        readers.push(asking.1);
    }
    let ops = target.process.ops;
    let is_closed = async || {
        let metrics = reqwest::get(format!("http://{ops}/metrics")).await.unwrap().text().await.unwrap();
        metrics.lines().find_map(|line| line.strip_prefix(OPEN)).is_some_and(|count| count == "0")
    };
    assert!(!is_closed().await, "they are there");
    eventually("they are closed", is_closed).await;
    target.is_well(count * 64 * 1024).await;
}
