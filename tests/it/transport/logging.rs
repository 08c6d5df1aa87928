//! One request, one line, and nothing in it that a caller could misuse (V-71, V-72).

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use http::Request;
use mintage::telemetry::{Format, logging};
use serde_json::Value;

use super::{EMPTY_MESSAGE, Server, call, grpc_request, http2, quick, raw};

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    /// Collects the records of this thread, hence of a test on a current-thread runtime.
    fn collect(filter: &str) -> (Self, tracing::subscriber::DefaultGuard) {
        let memory = Self::default();
        let sink = memory.clone();
        let records = logging::subscriber(filter, Format::Json, move || sink.clone()).unwrap();
        (memory, tracing::subscriber::set_default(records))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn records(&self, target: &str) -> Vec<Value> {
        let records =
            self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
        records.into_iter().filter(|record| record["target"] == target).collect()
    }
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

// V-72
#[tokio::test]
async fn a_request_is_one_line_and_its_id_comes_back() {
    let (memory, _guard) = Memory::collect("info");
    let server = Server::start(quick()).await;
    let client_id = "a\r\n{\"target\":\"mintage::request\"}\u{1b}[31m";
    let request = format!(
        "POST /token?secret=canary HTTP/1.1\r\nhost: a\r\nx-request-id: call-7\r\ntraceparent: {TRACE}\r\n\
         authorization: Basic canary\r\ncontent-length: {}\r\n\r\n{client_id}",
        client_id.len()
    );
    let answer = raw::request(server.address, request).await.unwrap();
    assert_eq!((answer.status, answer.header("x-request-id")), (401, Some("call-7")));

    let lines = memory.records("mintage::request");
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(line["level"], "INFO");
    for (field, value) in [
        ("request_id", "call-7"),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("method", "POST"),
        ("endpoint", "token"),
        ("client_id", client_id),
        ("grant", "client_credentials"),
        ("outcome", "refused"),
        ("error", "invalid_client"),
    ] {
        assert_eq!(line[field], value, "{field}");
    }
    assert_eq!(line["status"], 401);
    assert!(line["duration_us"].is_u64());
    // What a handler logs itself is in the request's span.
    let inner = memory.records("it::transport");
    assert_eq!(inner[0]["span"]["request_id"], "call-7");
    assert_eq!(inner[0]["span"]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(
        server.metric(
            r#"mintage_requests_total{endpoint="token",grant="client_credentials",outcome="refused"}"#
        ),
        1
    );
}

// V-71
#[tokio::test]
async fn no_level_shows_headers_bodies_or_paths() {
    let (memory, _guard) = Memory::collect("trace,h2=off,hyper=off");
    let server = Server::start(quick()).await;
    let request = "POST /canary?canary HTTP/1.1\r\nhost: a\r\nx-request-id: canary!\r\ntraceparent: canary\r\n\
                   authorization: Basic canary\r\ncontent-length: 6\r\n\r\ncanary";
    let answer = raw::request(server.address, request).await.unwrap();
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("x-request-id").unwrap().len(), 32);
    assert_eq!(memory.records("mintage::request").len(), 1);
    assert!(!memory.text().contains("canary"), "{}", memory.text());
}

#[tokio::test]
async fn a_grpc_call_is_one_line_too() {
    let (memory, _guard) = Memory::collect("info");
    let server = Server::start(quick()).await;
    let client = http2(server.address).await;
    for (path, outcome, status) in [
        ("/grpc.health.v1.Health/Check", "ok", Value::Null),
        ("/absent.Service/X", "refused", Value::from(12)),
        ("/test.Service/Panic", "failed", Value::from(13)),
        ("/test.Service/Never", "failed", Value::from(4)),
    ] {
        let request = grpc_request(path).header("x-request-id", "call-8").body(()).unwrap();
        let answer = call(&client, request, EMPTY_MESSAGE).await.unwrap();
        assert_eq!(answer.headers()["x-request-id"], "call-8");
        let line = memory.records("mintage::request").pop().unwrap();
        assert_eq!((&line["outcome"], &line["grpc_status"]), (&Value::from(outcome), &status), "{path}");
    }
    assert_eq!(memory.records("mintage::request").len(), 4);
    let rest = Request::get("http://localhost/never").body(()).unwrap();
    assert_eq!(call(&client, rest, b"").await.unwrap().status(), 408);
    assert_eq!(memory.records("mintage::request").pop().unwrap()["error"], "request_timeout");
}
