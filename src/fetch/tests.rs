//! Fetches from listeners on loopback, which the settings must allow by name; no other address is ever contacted.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;

use self::server::{Answer, Server};
use super::{
    KeyFetcher, Settings,
    key_sets::{LAST_GOOD, RETRY, UNKNOWN_KID},
    resolver::{LookedUp, Lookup},
};
use crate::{
    clock::TestClock,
    jose::{JwkSet, JwsAlgorithm, PrivateKey},
    oauth::{
        client::keys::{KeyError, KeySource},
        federation::IssuerKeySource,
    },
};

mod server;

/// A resolver that answers every name with the same addresses, and counts.
#[derive(Debug, Default)]
struct FakeLookup {
    addresses: Vec<IpAddr>,
    asked: AtomicUsize,
}

impl FakeLookup {
    fn of(addresses: &[&str]) -> Arc<Self> {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Arc::new(Self { addresses, asked: AtomicUsize::default() })
    }
}

impl Lookup for FakeLookup {
    fn lookup(&self, _: &str) -> LookedUp {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let addresses = self.addresses.clone();
        Box::pin(async move { Ok(addresses) })
    }
}

/// A fetcher that may ask the server, and its clock.
struct Fixture {
    server: Server,
    clock: Arc<TestClock>,
    fetcher: Arc<KeyFetcher>,
}

fn loopback() -> Settings {
    // A machine under load may take its time; what must end does so by a bound of its own in each test.
    let timeout = Duration::from_secs(30);
    Settings { allow_hosts: vec!["127.0.0.1".to_owned()], allow_http: true, timeout, ..Settings::default() }
}

impl Fixture {
    async fn new(settings: Settings, answer: Answer) -> Self {
        let server = Server::start(answer).await;
        let clock = Arc::new(TestClock::at(1_000_000));
        let fetcher = Arc::new(KeyFetcher::new(settings, Arc::clone(&clock) as _));
        Self { server, clock, fetcher }
    }

    async fn keys(&self, kid: Option<&str>) -> Result<Arc<JwkSet>, KeyError> {
        self.fetcher.keys(&self.server.url("/jwks.json"), kid).await
    }

    /// Which of two keys is known.
    async fn knows(&self, kid: &str) -> bool {
        self.keys(Some(kid)).await.unwrap().has_kid(kid)
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

/// A set with a key of each of these names.
fn jwks(kids: &[&str]) -> String {
    let keys: Vec<_> = kids
        .iter()
        .map(|kid| {
            let key = PrivateKey::generate(JwsAlgorithm::EdDSA).unwrap();
            let mut jwk = serde_json::to_value(key.jwk().unwrap()).unwrap();
            jwk["kid"] = json!(kid);
            jwk
        })
        .collect();
    json!({ "keys": keys }).to_string()
}

fn ok(fields: &str, kids: &[&str]) -> Answer {
    Answer::ok(fields, &jwks(kids))
}

fn refusal(result: Result<Arc<JwkSet>, KeyError>) -> String {
    match result {
        Err(KeyError::Unavailable(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_set_is_fetched_and_kept() {
    let fixture = Fixture::new(loopback(), ok("", &["a"])).await;
    for _ in 0..3 {
        assert!(fixture.knows("a").await);
    }
    assert!(fixture.keys(None).await.is_ok());
    assert_eq!(fixture.server.hits(), 1);
    let request = fixture.server.last_request().to_lowercase();
    assert!(request.starts_with("get /jwks.json http/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nuser-agent: mintage/"), "{request}");
    for absent in ["accept-encoding", "referer", "cookie", "authorization"] {
        assert!(!request.contains(absent), "{request}");
    }
}

// V-33
#[tokio::test]
async fn addresses_that_are_not_public_are_not_contacted() {
    let fixture = Fixture::new(Settings { allow_http: true, ..Settings::default() }, ok("", &["a"])).await;
    let port = fixture.server.port();
    for host in
        ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "localhost"]
    {
        let refused = refusal(fixture.fetcher.keys(&format!("http://{host}:{port}/jwks.json"), None).await);
        assert!(refused.contains("not public"), "{host}: {refused}");
    }
    for url in ["file:///etc/passwd", "https://user@id.example/", "gopher://127.0.0.1/"] {
        refusal(fixture.fetcher.keys(url, None).await);
    }
    let strict = KeyFetcher::new(Settings::default(), Arc::clone(&fixture.clock) as _);
    let refused = refusal(strict.keys("http://id.example/", None).await);
    assert!(refused.contains("must be https"), "{refused}");
    assert_eq!(fixture.server.hits(), 0);
}

// V-33
#[tokio::test]
async fn a_name_leads_to_public_addresses_only_and_is_resolved_once() {
    let fixture = Fixture::new(loopback(), ok("", &["a"])).await;
    let url = format!("http://rebind.example:{}/jwks.json", fixture.server.port());
    for addresses in [
        &["127.0.0.1"][..],
        &["::1"],
        &["8.8.8.8", "127.0.0.1"],
        &["127.0.0.1", "8.8.8.8"],
        &["169.254.169.254"],
    ] {
        let lookup = FakeLookup::of(addresses);
        let fetcher =
            KeyFetcher::with_lookup(loopback(), Arc::clone(&fixture.clock) as _, &(Arc::clone(&lookup) as _));
        let refused = refusal(fetcher.keys(&url, None).await);
        assert!(refused.contains("not public"), "{refused}");
        assert_eq!(lookup.asked.load(Ordering::SeqCst), 1);
    }
    assert_eq!(fixture.server.hits(), 0);

    // The same name, allowed, with and without its port; another port is not meant.
    for (allowed, fits) in [
        ("rebind.example".to_owned(), true),
        (format!("rebind.example:{}", fixture.server.port()), true),
        ("rebind.example:1".to_owned(), false),
        ("example".to_owned(), false),
    ] {
        let settings = Settings { allow_hosts: vec![allowed.clone()], ..loopback() };
        let lookup = FakeLookup::of(&["127.0.0.1"]);
        let fetcher =
            KeyFetcher::with_lookup(settings, Arc::clone(&fixture.clock) as _, &(Arc::clone(&lookup) as _));
        assert_eq!(fetcher.keys(&url, None).await.is_ok(), fits, "{allowed}");
        // What was checked is what is connected to: nobody asks a second time.
        assert_eq!(lookup.asked.load(Ordering::SeqCst), 1);
    }
    assert_eq!(fixture.server.hits(), 2);
}

// V-33
#[tokio::test]
async fn redirects_are_not_followed() {
    let other = Server::start(ok("", &["a"])).await;
    for status in [301, 302, 303, 307, 308] {
        for location in [other.url("/jwks.json"), "http://169.254.169.254/".to_owned(), "/other".to_owned()] {
            let answer = Answer::Whole(format!(
                "HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            ));
            let fixture = Fixture::new(loopback(), answer).await;
            let refused = refusal(fixture.keys(None).await);
            assert!(refused.contains("redirects"), "{refused}");
            assert_eq!(fixture.server.hits(), 1);
        }
    }
    assert_eq!(other.hits(), 0);
}

// V-33
#[tokio::test]
async fn long_answers_are_cut_off() {
    let announced = Answer::Whole("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n".to_owned());
    let fixture = Fixture::new(loopback(), announced).await;
    assert!(refusal(fixture.keys(None).await).contains("longer than 262144 bytes"));

    let fixture = Fixture::new(loopback(), Answer::Endless).await;
    assert!(refusal(fixture.keys(None).await).contains("longer than 262144 bytes"));
    // What is in the buffers of both sides was sent beyond the limit, and no gigabyte.
    assert!(fixture.server.sent() < 64 << 20, "{}", fixture.server.sent());

    let small = Settings { max_bytes: 64, ..loopback() };
    assert!(refusal(Fixture::new(small, ok("", &["a"])).await.keys(None).await).contains("longer than 64"));
}

// V-33: a byte every now and then would go on for hours
#[tokio::test]
async fn slow_answers_are_cut_off() {
    for answer in [Answer::Drip, Answer::DripHead, Answer::Silence] {
        let settings = Settings { timeout: Duration::from_millis(500), ..loopback() };
        let fixture = Fixture::new(settings, answer).await;
        let refused = refusal(fixture.keys(None).await);
        assert!(refused.contains("in time"), "{refused}");
    }
}

#[tokio::test]
async fn other_answers_are_no_sets() {
    for answer in [
        Answer::Whole("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned()),
        Answer::Whole("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n".to_owned()),
        Answer::Whole("HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
        Answer::Whole("HTTP/1.1 203 X\r\nContent-Length: 11\r\n\r\n{\"keys\":[]}".to_owned()),
        Answer::ok("", "<html>"),
        Answer::ok("", "[]"),
        Answer::ok("", "{\"keys\":[],\"keys\":[]}"),
        Answer::Whole("SSH-2.0-OpenSSH\r\n".to_owned()),
    ] {
        let fixture = Fixture::new(loopback(), answer.clone()).await;
        assert!(fixture.keys(None).await.is_err(), "{answer:?}");
        assert_eq!(fixture.server.hits(), 1);
    }
    // One bad key does not take the others along.
    let mixed = jwks(&["a"]).replacen("[", r#"[{"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"b"},"#, 1);
    let fixture = Fixture::new(loopback(), Answer::ok("", &mixed)).await;
    assert!(fixture.knows("a").await && !fixture.knows("b").await);
}

// V-34
#[tokio::test]
async fn unknown_keys_make_few_fetches() {
    let fixture = Fixture::new(loopback(), ok("Cache-Control: max-age=3600\r\n", &["known"])).await;
    assert!(fixture.knows("known").await);
    for round in 1..=3 {
        let asked = Arc::new(Mutex::new(0));
        let tasks: Vec<_> = (0..20)
            .map(|task| {
                let (fetcher, asked) = (Arc::clone(&fixture.fetcher), Arc::clone(&asked));
                let url = fixture.server.url("/jwks.json");
                tokio::spawn(async move {
                    for n in 0..500 {
                        let set = fetcher.keys(&url, Some(&format!("random-{task}-{n}"))).await.unwrap();
                        assert!(set.has_kid("known"));
                        *asked.lock().unwrap() += 1;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*asked.lock().unwrap(), 10_000);
        // The set had just been fetched when the first round began.
        assert_eq!(fixture.server.hits(), round);
        assert!(fixture.knows("known").await);
        fixture.pass(UNKNOWN_KID);
    }
}

// V-34
#[tokio::test]
async fn known_keys_do_not_wait_for_a_fetch() {
    let fixture = Fixture::new(loopback(), ok("", &["known"])).await;
    assert!(fixture.knows("known").await);
    fixture.pass(UNKNOWN_KID);
    fixture.server.set(Answer::Silence);
    let (fetcher, url) = (Arc::clone(&fixture.fetcher), fixture.server.url("/jwks.json"));
    let waiting = tokio::spawn(async move { fetcher.keys(&url, Some("unknown")).await.map(drop) });
    fixture.server.wait_for_hits(2).await;
    assert!(fixture.knows("known").await);
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test]
async fn a_rotated_key_is_found_after_a_while() {
    let fixture = Fixture::new(loopback(), ok("Cache-Control: max-age=3600\r\n", &["old"])).await;
    assert!(fixture.knows("old").await);
    fixture.server.set(ok("", &["old", "new"]));
    assert!(!fixture.knows("new").await);
    fixture.pass(UNKNOWN_KID - Duration::from_millis(1));
    assert!(!fixture.knows("new").await);
    fixture.pass(Duration::from_millis(1));
    assert!(fixture.knows("new").await);
    assert_eq!(fixture.server.hits(), 2);
}

// CHK-137
#[tokio::test]
async fn a_set_holds_no_longer_than_its_server_says() {
    for (fields, seconds) in [
        ("Cache-Control: max-age=60\r\n", 60),
        ("Cache-Control: public, max-age=120\r\nAge: 20\r\n", 100),
        ("", 300),
        ("Cache-Control: max-age=999999\r\n", 3600),
        ("Cache-Control: no-store\r\n", 1),
    ] {
        let fixture = Fixture::new(loopback(), ok(fields, &["old"])).await;
        assert!(fixture.knows("old").await);
        fixture.server.set(ok(fields, &["new"]));
        fixture.pass(Duration::from_secs(seconds) - Duration::from_millis(1));
        assert!(fixture.keys(None).await.unwrap().has_kid("old"), "{fields}");
        fixture.pass(Duration::from_millis(1));
        assert!(fixture.keys(None).await.unwrap().has_kid("new"), "{fields}");
        assert_eq!(fixture.server.hits(), 2);
    }
}

#[tokio::test]
async fn those_who_come_together_share_a_fetch() {
    let fixture = Fixture::new(loopback(), ok("Cache-Control: no-store\r\n", &["a"])).await;
    for round in 1..=2 {
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let (fetcher, url) = (Arc::clone(&fixture.fetcher), fixture.server.url("/jwks.json"));
                tokio::spawn(async move { fetcher.keys(&url, Some("a")).await.unwrap().len() })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), 1);
        }
        assert_eq!(fixture.server.hits(), round);
        fixture.pass(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn the_last_good_set_serves_while_its_server_is_away() {
    let fixture = Fixture::new(loopback(), ok("", &["a"])).await;
    assert!(fixture.knows("a").await);
    fixture.server.set(Answer::Whole("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n".to_owned()));
    fixture.pass(Duration::from_secs(300));
    for _ in 0..10 {
        assert!(fixture.knows("a").await);
    }
    assert_eq!(fixture.server.hits(), 2);
    fixture.pass(RETRY);
    assert!(fixture.knows("a").await);
    assert_eq!(fixture.server.hits(), 3);

    fixture.pass(LAST_GOOD - Duration::from_secs(311));
    assert!(fixture.knows("a").await);
    fixture.pass(RETRY);
    assert!(refusal(fixture.keys(Some("a")).await).contains("status 503"));

    fixture.server.set(ok("", &["b"]));
    fixture.pass(RETRY);
    assert!(fixture.knows("b").await);
}

#[tokio::test]
async fn a_url_that_fails_is_left_alone_for_a_while() {
    let fixture = Fixture::new(loopback(), Answer::ok("", "<html>")).await;
    for _ in 0..10 {
        refusal(fixture.keys(Some("a")).await);
    }
    assert_eq!(fixture.server.hits(), 1);
    fixture.pass(RETRY);
    refusal(fixture.keys(None).await);
    assert_eq!(fixture.server.hits(), 2);
}

#[tokio::test]
async fn a_fetch_outlives_those_who_hang_up() {
    let fixture = Fixture::new(loopback(), Answer::Held(Box::new(ok("", &["a"])))).await;
    let (fetcher, url) = (Arc::clone(&fixture.fetcher), fixture.server.url("/jwks.json"));
    let caller = tokio::spawn(async move { fetcher.keys(&url, None).await.map(drop) });
    fixture.server.wait_for_hits(1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    fixture.server.release();
    assert!(fixture.knows("a").await);
    assert_eq!(fixture.server.hits(), 1);
}

#[tokio::test]
async fn metadata_leads_to_keys() {
    let fixture = Fixture::new(loopback(), ok("", &["a"])).await;
    let issuer = fixture.server.url("/cluster");
    let metadata = |issuer: &str, jwks_uri: &str| {
        Answer::ok("", &json!({ "issuer": issuer, "jwks_uri": jwks_uri }).to_string())
    };
    let path = "/cluster/.well-known/openid-configuration";
    fixture.server.set_at(path, metadata(&issuer, &fixture.server.url("/jwks.json")));
    assert!(fixture.fetcher.issuer_keys(&issuer, Some("a")).await.unwrap().has_kid("a"));
    assert_eq!(fixture.server.hits(), 2);

    // Of another issuer, and to a place that must not be asked (V-33).
    let hits = fixture.server.hits();
    for (tenant, named, jwks_uri) in [
        ("/a", "/b", fixture.server.url("/jwks.json")),
        ("/c", "/c", "http://169.254.169.254/keys".to_owned()),
        ("/d", "/d", "file:///etc/passwd".to_owned()),
    ] {
        let path = format!("{tenant}/.well-known/openid-configuration");
        fixture.server.set_at(&path, metadata(&fixture.server.url(named), &jwks_uri));
        refusal(fixture.fetcher.issuer_keys(&fixture.server.url(tenant), None).await);
    }
    assert_eq!(fixture.server.hits(), hits + 3);
}
