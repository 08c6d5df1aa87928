//! A reader of the log that has stopped reading: nobody waits for it, and what is lost is counted.

use std::{fs, path::PathBuf};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::config;
use crate::support::{
    patience::{PATIENCE, eventually},
    process::Process,
};

/// Requests sent at once. A pipe holds the lines of some two hundred.
const ROUND: usize = 500;

/// Standard error is a named pipe that the server holds open for reading too, so that it is never closed and nobody reads it.
const STALLED: &str = "for config; do :; done; pipe=${config%/*}/log; mkfifo \"$pipe\"; MINTAGE_LOG_FORMAT=json exec \"$@\" 2<>\"$pipe\"";

async fn start() -> (Process, PathBuf) {
    let process = Process::start_through(&config(), STALLED).await;
    let pipe = process.config.with_file_name("log");
    (process, pipe)
}

/// Sends requests with ids as long as they may be, numbered from `first` on, and waits for their answers.
async fn round(process: &Process, first: usize) {
    let requests: String = (first..first + ROUND)
        .map(|n| format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx-request-id: stalled-{n:0>100}\r\n\r\n"))
        .collect();
    let mut stream = TcpStream::connect(process.address).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let answers = async {
        let (mut answers, mut buffer) = (Vec::new(), [0; 1 << 16]);
        while count(&answers, b"HTTP/1.1 200 OK") < ROUND {
            let length = reader.read(&mut buffer).await.unwrap();
            assert!(length > 0, "the connection was closed");
            answers.extend_from_slice(&buffer[..length]);
        }
    };
    let sent = async { writer.write_all(requests.as_bytes()).await.unwrap() };
    let all = async { tokio::join!(sent, answers) };
    timeout(PATIENCE, all).await.expect("requests are answered whoever reads the log");
}

fn count(text: &[u8], word: &[u8]) -> usize {
    text.windows(word.len()).filter(|window| window == &word).count()
}

async fn dropped(process: &Process) -> usize {
    let text = reqwest::get(format!("http://{}/metrics", process.ops)).await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("mintage_log_lines_dropped_total "));
    line.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

// F-19
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_while_nobody_reads_the_log_and_the_loss_is_counted() {
    let (mut process, pipe) = start().await;
    let mut sent = 0;
    while dropped(&process).await == 0 {
        round(&process, sent).await;
        sent += ROUND;
        assert!(sent < 200_000, "the queue has no bound");
    }
    round(&process, sent).await;
    sent += ROUND;
    let lost = dropped(&process).await;
    assert!(lost >= ROUND, "{lost}");

    // Once somebody reads, what was kept arrives, and word of what was not.
    let log = tokio::task::spawn_blocking(move || fs::read_to_string(pipe).unwrap());
    let has_room = async || dropped(&process).await == dropped(&process).await;
    eventually("the queue has room again", has_room).await;
    process.signal("TERM");
    assert!(process.ended().await.success());
    let log = log.await.unwrap();
    let records = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let records: Vec<_> = records.collect();
    let arrived = records
        .iter()
        .filter(|record| record["request_id"].as_str().is_some_and(|id| id.starts_with("stalled-")));
    let missing = sent - arrived.count();
    // Lines of the test's own questions may be lost too, the last of them after it was counted.
    let others = 64 + sent / ROUND;
    assert!(missing <= lost && lost <= missing + others, "{lost} were counted, {missing} are missing");
    let told: u64 = records.iter().filter_map(|record| record["lines"].as_u64()).sum();
    assert!(
        (lost..=missing + others).contains(&usize::try_from(told).unwrap()),
        "{told} told, {lost} counted"
    );
    assert_eq!(records.last().unwrap()["message"], "stopped");
}

// F-19, F-27
#[tokio::test(flavor = "multi_thread")]
async fn a_server_ends_while_nobody_reads_its_log() {
    for signals in [1, 2] {
        let (mut process, _) = start().await;
        round(&process, 0).await;
        for _ in 0..signals {
            process.signal("TERM");
        }
        assert!(process.ended().await.success());
    }
}
