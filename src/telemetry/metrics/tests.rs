use std::time::Duration;

use super::*;
use crate::{
    refusal::RefusalReason,
    telemetry::{GuardFigures, HandshakeOutcome, PoolFigures, Protocol, StoreFigures},
};

fn has(text: &str, expected: &[&str]) {
    for line in expected {
        assert!(text.lines().any(|found| found == *line), "{line} is missing:\n{text}");
    }
}

#[test]
fn every_metric_has_its_published_name() {
    let metrics = Metrics::new("1.2.3", UNIX_EPOCH + Duration::from_secs(7));
    metrics.request("token", "client_credentials", "ok", Duration::from_micros(150));
    metrics.refused(RefusalReason::OwnShare);
    metrics.turned_away(RefusalReason::Overloaded);
    metrics.token_issued("RS256");
    metrics.connection_accepted();
    metrics.accept_error();
    metrics.connection_dropped("idle");
    let open = metrics.connection_open(Protocol::Http2, true);
    metrics.tls_handshake(HandshakeOutcome::Resumed);
    metrics.tls_handshake_duration(Duration::from_millis(2));
    metrics.tls_certificate_expiry(9);
    metrics.file_reloaded("tls", true);
    metrics.file_reloaded("tls", false);
    has(
        &metrics.encode().unwrap(),
        &[
            r#"mintage_tls_handshakes_total{outcome="resumed"} 1"#,
            r#"mintage_tls_handshakes_total{outcome="late"} 0"#,
            r#"mintage_tls_handshake_duration_seconds_bucket{le="0.0025"} 1"#,
            "mintage_tls_certificate_expiry_seconds 9",
            r#"mintage_file_reloads_total{file="tls",outcome="ok"} 1"#,
            r#"mintage_file_reloads_total{file="tls",outcome="failed"} 1"#,
            r#"mintage_file_stale{file="tls"} 1"#,
            r#"mintage_requests_total{endpoint="token",grant="client_credentials",outcome="ok"} 1"#,
            r#"mintage_requests_refused_total{reason="own_share"} 1"#,
            r#"mintage_requests_refused_total{reason="source_rate"} 0"#,
            r#"mintage_requests_refused_total{reason="overloaded"} 1"#,
            r#"mintage_requests_total{endpoint="unread",grant="",outcome="shed"} 1"#,
            r#"mintage_request_duration_seconds_bucket{le="0.0001",endpoint="token"} 0"#,
            r#"mintage_request_duration_seconds_bucket{le="0.00025",endpoint="token"} 1"#,
            r#"mintage_tokens_issued_total{alg="RS256"} 1"#,
            r#"mintage_connections{protocol="http1",tls="true"} 0"#,
            r#"mintage_connections{protocol="http2",tls="false"} 0"#,
            r#"mintage_connections{protocol="http2",tls="true"} 1"#,
            "mintage_connections_accepted_total 1",
            "mintage_accept_errors_total 1",
            r#"mintage_connections_dropped_total{reason="idle"} 1"#,
            r#"mintage_connections_dropped_total{reason="source"} 0"#,
            r#"mintage_build_info{version="1.2.3"} 1"#,
            "process_start_time_seconds 7",
        ],
    );
    drop(open);
    has(&metrics.encode().unwrap(), &[r#"mintage_connections{protocol="http2",tls="true"} 0"#]);
}

#[test]
fn what_is_kept_elsewhere_is_read_when_it_is_asked_for() {
    let metrics = Metrics::new("1.2.3", UNIX_EPOCH);
    let figures = Arc::new(Mutex::new(Some(StoreFigures::default())));
    let read = Arc::clone(&figures);
    metrics.read_store(move || read.lock().unwrap().clone());
    metrics.read_pools(|| {
        Some(vec![PoolFigures {
            pool: "signing",
            threads: 2,
            busy: 1,
            queued: 3,
            capacity: 9,
            done: 4,
            waited_seconds: 1.5,
            waited: vec![(0.5, 1), (f64::INFINITY, 2)],
            refused: vec![(RefusalReason::QueueFull, 5)],
            abandoned: 6,
        }])
    });
    metrics.read_guard(|| GuardFigures { admitted: 0.5, lateness_seconds: 0.25 });
    metrics.read_log(LogQueue::start(std::io::sink()).unwrap());
    has(
        &metrics.encode().unwrap(),
        &[
            // Prometheus reads it, as any number that Go can parse.
            "mintage_store_age_seconds inf",
            r#"mintage_pool_threads{pool="signing"} 2"#,
            r#"mintage_pool_threads_busy{pool="signing"} 1"#,
            r#"mintage_pool_queue{pool="signing"} 3"#,
            r#"mintage_pool_queue_capacity{pool="signing"} 9"#,
            r#"mintage_pool_jobs_total{pool="signing"} 4"#,
            r#"mintage_pool_wait_seconds_sum{pool="signing"} 1.5"#,
            r#"mintage_pool_wait_seconds_count{pool="signing"} 3"#,
            r#"mintage_pool_wait_seconds_bucket{le="0.5",pool="signing"} 1"#,
            r#"mintage_pool_wait_seconds_bucket{le="+Inf",pool="signing"} 3"#,
            r#"mintage_pool_refused_total{pool="signing",reason="queue_full"} 5"#,
            r#"mintage_pool_refused_total{pool="signing",reason="abandoned"} 6"#,
            "mintage_admitted_ratio 0.5",
            "mintage_task_lateness_seconds 0.25",
            "mintage_log_lines_dropped_total 0",
        ],
    );
    *figures.lock().unwrap() = Some(StoreFigures {
        age: Some(Duration::from_millis(250)),
        state: 2,
        revocations: 3,
        cached_clients: 4,
        statements: 5,
        claims: vec![("seen", 6)],
        key_ages: vec![("ES256", Duration::from_secs(7))],
    });
    has(
        &metrics.encode().unwrap(),
        &[
            "mintage_store_age_seconds 0.25",
            "mintage_store_state 2",
            "mintage_revocations 3",
            "mintage_clients_cached 4",
            "mintage_store_statements_total 5",
            r#"mintage_replay_claims_total{outcome="seen"} 6"#,
            r#"mintage_signing_key_age_seconds{alg="ES256"} 7.0"#,
        ],
    );
    *figures.lock().unwrap() = None;
    assert!(!metrics.encode().unwrap().contains("mintage_store_"));
}

#[cfg(target_os = "linux")]
#[test]
fn the_operating_system_is_asked() {
    let text = Metrics::new("1.2.3", UNIX_EPOCH).encode().unwrap();
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is missing:\n{text}")).parse().unwrap()
    };
    assert!(value("process_cpu_seconds_total") > 0.0);
    assert!(value("process_resident_memory_bytes") > f64::from(1 << 20));
    assert!((3.0..value("process_max_fds")).contains(&value("process_open_fds")));
}
