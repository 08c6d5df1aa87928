use super::{judge::stand_in_line, *};
use crate::{clock::TestClock, rate::Rate};

const MS: Duration = Duration::from_millis(1);

fn request(method: Method, path: &str) -> Request<()> {
    Request::builder().method(method).uri(path).body(()).unwrap()
}

fn has_room() -> IsFull {
    Box::new(|| false)
}

/// No window ends by itself while time stands still.
fn guard() -> Overload {
    Overload::new(100 * MS, None, has_room())
}

fn peer(address: &str) -> Peer {
    Peer::plain(address.parse().unwrap())
}

// F-16, F-24: none of these tasks takes long, and each waits for all the others
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_long_queue_of_short_tasks_is_late_too() {
    let overload = Arc::new(Overload::new(300 * MS, None, has_room()));
    let watch = tokio::spawn(Arc::clone(&overload).watch());
    let tasks: Vec<_> = (0..400)
        .map(|_| {
            let overload = Arc::clone(&overload);
            tokio::spawn(async move {
                loop {
                    let _ = overload.admit(&peer("192.0.2.1:1"), None, &request(Method::POST, "/token"));
                    std::thread::sleep(MS / 10);
                    stand_in_line().await;
                }
            })
        })
        .collect();
    let begun = std::time::Instant::now();
    while overload.figures().admitted_share >= 1.0 {
        assert!(begun.elapsed() < 600 * 100 * MS, "{overload:?}");
        tokio::time::sleep(MS).await;
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    watch.abort();
}

// F-16
#[tokio::test(start_paused = true)]
async fn less_is_let_in_while_it_is_late_and_all_again_soon_after() {
    let overload = guard();
    let admitted = |overload: &Overload| {
        let request = request(Method::POST, "/token");
        (0..1000).filter(|_| overload.admit(&peer("192.0.2.1:1"), None, &request).is_ok()).count()
    };
    assert_eq!(admitted(&overload), 1000);
    overload.adapt(10 * MS);
    assert_eq!(admitted(&overload), 1000);
    overload.adapt(11 * MS);
    assert_eq!(admitted(&overload), 1000, "it may have been for a moment");
    let mut before = 1000;
    for _ in 0..3 {
        overload.adapt(11 * MS);
        let now = admitted(&overload);
        assert!(now < before && now > before / 2, "{before} {now}");
        before = now;
    }
    overload.adapt(500 * MS);
    let now = admitted(&overload);
    assert!(now < before / 3, "the later, the less: {before} {now}");
    for _ in 0..50 {
        overload.adapt(11 * MS);
        admitted(&overload);
    }
    overload.adapt(11 * MS);
    assert!((20..100).contains(&admitted(&overload)), "somebody is always let in");
    // Two seconds of windows.
    for _ in 0..20 {
        overload.adapt(MS);
    }
    assert_eq!(admitted(&overload), 1000);
    assert!(overload.figures().shed > 0);
}

// At 70 % of capacity, after the machine stood still for a tenth of a second.
#[tokio::test(start_paused = true)]
async fn a_queue_that_shrinks_is_left_alone() {
    let overload = guard();
    let request = request(Method::POST, "/token");
    for late in [0, 75, 45, 15, 0, 75, 45, 15, 0] {
        overload.adapt(late * MS);
        assert!((0..1000).all(|_| overload.admit(&peer("192.0.2.1:1"), None, &request).is_ok()), "{late}");
    }
}

// Sixteen callers who ask again and again make nobody else wait for long, however slow the machine is.
#[tokio::test(start_paused = true)]
async fn nobody_is_refused_while_few_wait() {
    let overload = guard();
    let request = request(Method::POST, "/token");
    for _ in 0..20 {
        for _ in 0..100 {
            assert!(overload.admit(&peer("192.0.2.1:1"), None, &request).is_ok());
        }
        overload.adapt(31 * MS);
    }
}

// A thousand connections with pipelined requests for the keys: refusing others would make them no shorter
#[tokio::test(start_paused = true)]
async fn nobody_is_refused_for_what_is_never_shed() {
    let overload = guard();
    let admitted = |heavy: usize, light: usize| {
        overload.adapt(150 * MS);
        let ask = |method: Method, path: &str| {
            overload.admit(&peer("192.0.2.1:1"), None, &request(method, path)).is_ok()
        };
        assert!((0..light).all(|_| ask(Method::GET, "/.well-known/jwks.json")));
        (0..heavy).filter(|_| ask(Method::POST, "/token")).count()
    };
    for _ in 0..20 {
        assert_eq!(admitted(200, 801), 200);
    }
    let beside_few = (0..20).map(|_| admitted(200, 800)).min();
    assert!(beside_few < Some(50), "{beside_few:?}");
}

// F-19
#[tokio::test(start_paused = true)]
async fn what_is_light_is_never_shed() {
    let overload = guard();
    for _ in 0..50 {
        overload.adapt(MS * 100);
    }
    let is_shed = |method: &Method, path: &str| {
        let request = request(method.clone(), path);
        for _ in 0..40 {
            let _ = overload.admit(&peer("192.0.2.1:1"), None, &request);
        }
        overload.adapt(MS * 100);
        (0..40).any(|_| overload.admit(&peer("192.0.2.1:1"), None, &request).is_err())
    };
    for path in ["/healthz", "/readyz", "/.well-known/jwks.json"] {
        assert!(!is_shed(&Method::GET, path), "{path}");
    }
    assert!(is_shed(&Method::GET, "/userinfo"));
    for path in ["/grpc.health.v1.Health/Check", "/mintage.token.v1.KeyService/GetJwks"] {
        assert!(!is_shed(&Method::POST, path), "{path}");
    }
    for path in ["/token", "/healthz", "/mintage.token.v1.TokenService/Issue", "/grpc.health.v1.HealthX/Y"] {
        assert!(is_shed(&Method::POST, path), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_is_limited_unless_it_is_a_proxy_or_asks_about_health() {
    let clock = Arc::new(TestClock::at(1_800_000_000));
    let rate = Rate { count: 3.try_into().unwrap(), period: Duration::from_secs(3) };
    let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap()], None);
    let sources = Sources::new(rate, Arc::<TestClock>::clone(&clock));
    let overload = Overload::new(100 * MS, Some(sources), has_room());
    let admitted = |address: &str, path: &str| {
        let request = request(Method::GET, path);
        (0..10).filter(|_| overload.admit(&peer(address), Some(&proxies), &request).is_ok()).count()
    };
    assert_eq!(admitted("192.0.2.1:1", "/healthz"), 10);
    assert_eq!(admitted("192.0.2.1:1", "/userinfo"), 3);
    assert_eq!(admitted("192.0.2.1:1", "/readyz"), 10);
    assert_eq!(admitted("192.0.2.2:1", "/userinfo"), 3);
    assert_eq!(admitted("[2001:db8::1]:1", "/userinfo"), 3);
    assert_eq!(admitted("[2001:db8::2]:1", "/userinfo"), 0);
    assert_eq!(admitted("10.1.2.3:1", "/userinfo"), 10);
    assert_eq!(admitted("[::ffff:10.1.2.3]:1", "/userinfo"), 10);
    clock.advance(Duration::from_secs(1));
    assert_eq!(admitted("192.0.2.1:1", "/userinfo"), 1);
    assert_eq!(overload.figures().source_limited, 40);
}
