//! What decides whether the one port speaks TLS, and when it may do without.

use mintage::config::proof::{Certificate, ClientAuth};

use super::*;

const FILES: [(&str, &str); 2] = [("MINTAGE_TLS_CERT_FILE", "/c.pem"), ("MINTAGE_TLS_KEY_FILE", "/k.pem")];

fn with(listen: &str, more: &[(&str, &str)]) -> Sources {
    let usual = [("ISSUER_URL", "https://id.example"), ("MINTAGE_LISTEN", listen)];
    environment(&[&usual, more].concat())
}

#[test]
fn plain_http_stays_on_loopback_unless_a_word_is_given() {
    for loopback in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1"] {
        assert!(config::load(&with(loopback, &[])).is_ok(), "{loopback}");
    }
    for open in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "192.0.2.7:1", "[2001:db8::1]:1"] {
        let problems = lines(&config::load(&with(open, &[])).unwrap_err());
        assert_eq!(problems.len(), 1, "{problems:?}");
        for part in ["MINTAGE_LISTEN: listen: ", open, "tls.cert_file", "MINTAGE_ALLOW_PLAIN_HTTP"] {
            assert!(problems[0].contains(part), "{problems:?}");
        }
        assert!(config::load(&with(open, &[("MINTAGE_ALLOW_PLAIN_HTTP", "true")])).is_ok());
        assert!(config::load(&with(open, &FILES)).is_ok());
    }
    let by_flag = Sources { listen: Some("0.0.0.0:8000".to_owned()), ..dev(&[]) };
    assert!(config::load(&by_flag).is_ok(), "--dev has a rule of its own");
}

#[test]
fn the_issuer_of_dev_follows_the_scheme() {
    let config =
        config::load(&Sources { tls: true, ..dev(&[("MINTAGE_LISTEN", "127.0.0.1:8123")]) }).unwrap();
    assert_eq!(config.issuer.as_str(), "https://localhost:8123");
    assert_eq!(config.tls.unwrap().certificate, Certificate::Made);
    let config = config::load(&dev(&FILES)).unwrap();
    assert_eq!(config.issuer.as_str(), "https://localhost:8000");
    assert!(matches!(config.tls.unwrap().certificate, Certificate::Files { .. }));
}

#[test]
fn a_made_certificate_is_the_only_one_and_may_ask_for_others() {
    let made = |variables: &[(&str, &str)]| Sources { tls: true, ..dev(variables) };
    let config = config::load(&made(&[("MINTAGE_TLS_CLIENT_AUTH", "optional")])).unwrap();
    assert_eq!(config.tls.unwrap().client_auth, ClientAuth::Optional);
    assert_eq!(
        lines(&config::load(&made(&FILES)).unwrap_err()),
        [
            "MINTAGE_TLS_CERT_FILE: tls.cert_file: --tls makes a certificate of its own; leave out one of the two"
        ]
    );
}

#[test]
fn whoever_wants_to_reach_the_server_learns_how() {
    let reach = config::reach(&with("0.0.0.0:7", &FILES)).unwrap();
    assert_eq!((reach.listen.port(), reach.ops_listen.port(), reach.tls), (7, 9000, true));
    assert!(!reach.certificate_required);
    let required = [FILES[0], ("MINTAGE_TLS_CLIENT_AUTH", "required")];
    assert!(config::reach(&with("0.0.0.0:7", &required)).unwrap().certificate_required);
    assert!(!config::reach(&with("0.0.0.0:7", &[])).unwrap().tls);
}
