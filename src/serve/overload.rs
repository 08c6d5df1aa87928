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

/// By so much what can be shed is dearer than what cannot, more or less. Where there is so many times as much of the latter, refusing
/// the former frees less than half of the time and helps nobody.
const DEARER: u64 = 4;

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
    /// How many of those that are never shed have come in this window.
    light: AtomicU64,
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
            light: AtomicU64::new(0),
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
        let light = self.light.swap(0, Ordering::Relaxed);
        let helps_nobody = || {
            let asked = self.shares.asked();
            // Little's law: how many came while one waited.
            let waiting = asked as f64 * least.div_duration_f64(WINDOW);
            waiting < FEW || light > asked * DEARER
        };
        let share = if least <= self.target || helps_nobody() {
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
            self.light.fetch_add(1, Ordering::Relaxed);
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
mod tests;
