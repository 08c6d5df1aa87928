//! Who gets in when more comes than can be served.
//!
//! - *Shedding*: a probe measures how late tasks run (`judge`). While even the least late one of a time is late, and no
//!   less late than before, work has piled up for good rather than for a moment (after CoDel, RFC 8289 §4.2), and less is let in
//!   until it is gone: the others are told at once to come back later, before anything of them is read. It is those who ask
//!   most (`shares`).
//! - *Repeats*: whoever was refused by a pool and asks again at once is told so again (`repeats`).
//! - *Rate of a source*: so many requests per time and address (`sources`).
//!
//! Who asks is told by what the head of a request shows (`asker`).
//!
//! Reading documents and asking about health is never refused for being busy: it costs what refusing it costs, and whoever
//! balances load or verifies tokens must not be blind just then.

mod asker;
mod judge;
mod repeats;
mod shares;
mod sources;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Method, Request};
use tokio::time::Instant;

use self::{
    asker::Askers,
    judge::{Judge, WINDOW, micros, probe},
    repeats::Repeats,
    shares::{ALL, Shares},
};
pub use self::{repeats::IsFull, sources::Sources};
use super::{
    proxy::Proxies,
    refusal::{OVERLOADED, Refusal, TOO_MANY_REQUESTS},
};
use crate::{grpc::pb::token::key_service_server, peer::Peer, refusal::RefusalReason};

/// Lateness that is none: timers go off up to a step too late, and the system switches between threads.
const UNAVOIDABLE: Duration = Duration::from_millis(5);

/// The least that is let in, of [`ALL`]. With less, refusing takes up the time all the same, and those who want something
/// would be refused with those who want everything.
const LEAST: u32 = 16;

/// Where fewer wait than this, nothing has piled up that is worth refusing one: it is the machine that is slow.
const FEW: f64 = 32.0;

/// The least time between two log lines.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// What stands between the connections of a listener and its routes.
pub struct Overload {
    /// Above this much lateness there is too much to do, unless it goes away by itself.
    target: Duration,
    /// Above this much lateness there is too much to do.
    longest_wait: Duration,
    judge: Judge,
    sources: Option<Sources>,
    askers: Askers,
    repeats: Repeats,
    /// How much is let in, of [`ALL`].
    share: AtomicU32,
    shares: Shares,
    lateness_micros: AtomicU64,
    shed: AtomicU64,
    source_limited: AtomicU64,
}

impl std::fmt::Debug for Overload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overload").field("figures", &self.figures()).finish_non_exhaustive()
    }
}

/// A request that was let in: by what it is told when it comes again, which takes credentials.
#[derive(Clone, Copy)]
pub(super) struct Admitted(Option<u64>);

/// What an [`Overload`] sees and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OverloadFigures {
    /// How much of what could be shed is let in, 0 to 1.
    pub admitted_share: f64,
    /// The least lateness of the last window, in seconds.
    pub lateness_seconds: f64,
    /// Requests that were shed.
    pub shed: u64,
    /// Requests that were too many for their source.
    pub source_limited: u64,
}

impl Overload {
    /// Sheds, once [`Overload::watch`] runs, while tasks wait for longer than `longest_wait`, or for longer than a tenth of it (a request
    /// is several tasks, one after the other) and than 5 ms, and that does not get less. `is_full` tells whether the pool has room
    /// whose refusals are repeated.
    pub fn new(longest_wait: Duration, sources: Option<Sources>, is_full: IsFull) -> Self {
        Self {
            target: (longest_wait / 10).max(UNAVOIDABLE),
            longest_wait,
            judge: Judge::new(Instant::now()),
            sources,
            askers: Askers::new(),
            repeats: Repeats::new(is_full),
            share: AtomicU32::new(ALL),
            shares: Shares::new(),
            lateness_micros: AtomicU64::new(0),
            shed: AtomicU64::new(0),
            source_limited: AtomicU64::new(0),
        }
    }

    /// Measures how late tasks run, for ever.
    pub async fn watch(self: Arc<Self>) {
        let mut logged = Instant::now();
        let mut unlogged_from = 0;
        loop {
            probe().await;
            let now = Instant::now();
            self.look(now);
            self.judge.probed();
            let shed = self.shed.load(Ordering::Relaxed);
            if shed > unlogged_from && now - logged >= LOG_INTERVAL {
                let requests = shed - unlogged_from;
                tracing::warn!(requests, "requests were refused: there is more to do than can be done");
                (logged, unlogged_from) = (now, shed);
            }
        }
    }

    /// A task runs.
    fn look(&self, now: Instant) {
        if let Some(least) = self.judge.look(now) {
            self.adapt(least);
        }
    }

    /// A window has ended, in which no task was less late than this.
    fn adapt(&self, least: Duration) {
        let share = self.share.load(Ordering::Relaxed);
        let last = Duration::from_micros(self.lateness_micros.load(Ordering::Relaxed));
        // Little's law: how many came while one waited.
        let waiting = || self.shares.asked() as f64 * least.div_duration_f64(WINDOW);
        let share = if least <= self.target || waiting() < FEW {
            (share * 5 / 4 + 1).min(ALL)
        } else if least > self.longest_wait || last > self.target && least >= last {
            // The later, the less: at four times the target three quarters are too many.
            let kept = self.target.div_duration_f64(least).clamp(0.25, 0.67);
            ((f64::from(share) * kept) as u32).max(LEAST)
        } else {
            // It has just begun, or shrinks: what a machine that stood still leaves behind is worked off.
            share
        };
        self.share.store(share, Ordering::Relaxed);
        self.shares.begin_window(share);
        self.lateness_micros.store(micros(least), Ordering::Relaxed);
    }

    /// Whether a request that came over a connection of this peer gets in, where these proxies are trusted. Of what is never
    /// refused for being busy nothing is kept in mind.
    ///
    /// # Errors
    /// What to answer instead.
    pub(super) fn admit<B>(
        &self,
        peer: &Peer,
        proxies: Option<&Proxies>,
        request: &Request<B>,
    ) -> Result<Admitted, Refusal> {
        if let Some(sources) = &self.sources
            && !is_about_health(request)
            && let Err(wait) = sources.charge(peer, proxies)
        {
            self.source_limited.fetch_add(1, Ordering::Relaxed);
            return Err(TOO_MANY_REQUESTS.after(wait));
        }
        self.look(Instant::now());
        if is_light(request) {
            return Ok(Admitted(None));
        }
        let (asker, same) = self.askers.of(request, peer.source());
        if let Some(refusal) = same.and_then(|same| self.repeats.refuse_again(same)) {
            return Err(refusal);
        }
        if !self.shares.take(asker) {
            self.shed.fetch_add(1, Ordering::Relaxed);
            return Err(OVERLOADED);
        }
        Ok(Admitted(same))
    }

    /// Takes note of why a request was refused that had been let in.
    pub(super) fn refused(&self, admitted: Admitted, reason: RefusalReason) {
        if let Some(request) = admitted.0 {
            self.repeats.note(request, reason);
        }
    }

    /// What it sees and has done.
    pub fn figures(&self) -> OverloadFigures {
        OverloadFigures {
            admitted_share: f64::from(self.share.load(Ordering::Relaxed)) / f64::from(ALL),
            lateness_seconds: Duration::from_micros(self.lateness_micros.load(Ordering::Relaxed))
                .as_secs_f64(),
            shed: self.shed.load(Ordering::Relaxed),
            source_limited: self.source_limited.load(Ordering::Relaxed),
        }
    }
}

/// Whether it is about as much work to serve a request as to refuse it. Userinfo verifies a token.
fn is_light<B>(request: &Request<B>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
        && !request.uri().path().ends_with("/userinfo")
        || is_of_service(request, tonic_health::pb::health_server::SERVICE_NAME)
        || is_of_service(request, key_service_server::SERVICE_NAME)
}

fn is_about_health<B>(request: &Request<B>) -> bool {
    let path = request.uri().path();
    matches!(*request.method(), Method::GET | Method::HEAD)
        && (path.ends_with("/healthz") || path.ends_with("/readyz"))
        || is_of_service(request, tonic_health::pb::health_server::SERVICE_NAME)
}

fn is_of_service<B>(request: &Request<B>, name: &str) -> bool {
    let path = request.uri().path().strip_prefix('/').and_then(|path| path.strip_prefix(name));
    path.is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
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
            assert!(
                (0..1000).all(|_| overload.admit(&peer("192.0.2.1:1"), None, &request).is_ok()),
                "{late}"
            );
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
        for path in
            ["/token", "/healthz", "/mintage.token.v1.TokenService/Issue", "/grpc.health.v1.HealthX/Y"]
        {
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
}
