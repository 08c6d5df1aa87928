//! Closed and open loops.
//!
//! A closed loop asks again when it has its answer: it finds out how much a server can do. An open loop asks when it is time to,
//! as a million clients who do not know of each other do: it finds out how long they wait. Its latencies count from the moment
//! a request was meant to be sent, so that a slow answer delays nothing in the books (coordinated omission).
//!
//! Whoever sends something to a core that sleeps spends up to 10 us on waking it, in a virtual machine: so that the server does not
//! pay for a driver that is quicker than it, this one stays awake where it has a core for itself (`--pin`).

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::{
    sync::{Semaphore, oneshot},
    task::{JoinHandle, JoinSet, spawn_blocking, spawn_local, yield_now},
    time::{sleep, timeout_at},
};

use super::{Result, http::Answer, run, server::Server, slices::Slices};

/// Callers of a closed loop.
pub const CONNECTIONS: usize = 16;

/// How many requests [`once`] measures.
pub const ONCE: usize = 500;

/// How many requests warm up before them.
pub const WARM_UP: usize = 500;

/// What comes later than this counts for nothing: the client has given up.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Makes one request after another.
pub trait Caller: 'static {
    /// Makes a request.
    fn call(&mut self) -> impl Future<Output = Result<Answer>>;
}

/// Latencies, in nanoseconds up to a minute, of three digits.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    /// None yet.
    pub fn new() -> Self {
        // The bounds are constants that the histogram accepts.
        Self(Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap_or_else(|_| unreachable!()))
    }

    /// Adds one.
    pub fn add(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds those of another.
    pub fn extend(&mut self, other: &Self) {
        // Both have the same bounds.
        self.0.add(&other.0).unwrap_or_else(|_| unreachable!());
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Milliseconds within which this share of the answers came.
    pub fn quantile(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e6
    }
}

/// What a closed loop measured.
#[derive(Clone, Debug)]
pub struct Closed {
    /// Answers per second.
    pub rate: f64,
    /// CPU microseconds of the server alone for each.
    pub cpu: f64,
    /// Latencies.
    pub latencies: Latencies,
    /// Memory of the server at the end, in KiB.
    pub rss_kib: f64,
}

impl Closed {
    /// What the answers cost together, and how long they took.
    fn new(spent: Duration, elapsed: Duration, latencies: Latencies, rss_kib: f64) -> Self {
        let count = latencies.0.len() as f64;
        let (rate, cpu) = (count / elapsed.as_secs_f64(), spent.as_secs_f64() * 1e6 / count);
        Self { rate, cpu, latencies, rss_kib }
    }
}

/// Has each caller make requests one after another for so long. Every answer must have this status, but for a hundredth that may
/// be refused with 503: when the machine stands still for longer than a request may wait in the server.
pub async fn closed<C: Caller>(
    server: &Server,
    callers: Vec<C>,
    status: u16,
    duration: Duration,
) -> Result<Closed> {
    let goes_on = Rc::new(Cell::new(true));
    let latencies = Rc::new(RefCell::new(Latencies::new()));
    let refused = Rc::new(Cell::new(0_u64));
    let mut tasks = JoinSet::new();
    for mut caller in callers {
        let (goes_on, latencies, refused) = (Rc::clone(&goes_on), Rc::clone(&latencies), Rc::clone(&refused));
        tasks.spawn_local(async move {
            while goes_on.get() {
                let begun = Instant::now();
                let answer = caller.call().await?;
                if answer.status == 503 {
                    refused.set(refused.get() + 1);
                    continue;
                }
                expect(answer, status)?;
                latencies.borrow_mut().add(begun.elapsed());
            }
            Result::Ok(())
        });
    }
    let awake = server.pinned.then(|| spawn_local(stay_awake()));
    // The first part warms up; only what follows is counted.
    sleep(duration / 4).await;
    *latencies.borrow_mut() = Latencies::new();
    refused.set(0);
    let (cpu, begun) = (server.cpu()?, Instant::now());
    sleep(duration).await;
    let (spent, elapsed) = (server.cpu()? - cpu, begun.elapsed());
    let (latencies, refused) = (latencies.borrow().clone(), refused.get());
    goes_on.set(false);
    awake.inspect(JoinHandle::abort);
    let rss_kib = server.rss_kib()?;
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    if refused * 100 > latencies.0.len() {
        return Err(format!("{refused} refused, {} answered", latencies.0.len()).into());
    }
    Ok(Closed::new(spent, elapsed, latencies, rss_kib))
}

/// Has the callers make [`ONCE`] requests together, after [`WARM_UP`] others: for requests that are not the same when they come again.
/// Every answer must be 200.
pub async fn once<C: Caller>(server: &Server, callers: Vec<C>) -> Result<Closed> {
    let awake = server.pinned.then(|| spawn_local(stay_awake()));
    let (callers, _) = together(callers, WARM_UP).await?;
    let (cpu, begun) = (server.cpu()?, Instant::now());
    // Connections are closed when everything has been measured.
    let (callers, latencies) = together(callers, ONCE).await?;
    let (spent, elapsed) = (server.cpu()? - cpu, begun.elapsed());
    awake.inspect(JoinHandle::abort);
    drop(callers);
    Ok(Closed::new(spent, elapsed, latencies, server.rss_kib()?))
}

async fn together<C: Caller>(callers: Vec<C>, count: usize) -> Result<(Vec<C>, Latencies)> {
    let left = Rc::new(Cell::new(count));
    let latencies = Rc::new(RefCell::new(Latencies::new()));
    let mut tasks = JoinSet::new();
    for mut caller in callers {
        let (left, latencies) = (Rc::clone(&left), Rc::clone(&latencies));
        tasks.spawn_local(async move {
            while let Some(fewer) = left.get().checked_sub(1) {
                left.set(fewer);
                let begun = Instant::now();
                expect(caller.call().await?, 200)?;
                latencies.borrow_mut().add(begun.elapsed());
            }
            Result::Ok(caller)
        });
    }
    let callers = tasks.join_all().await.into_iter().collect::<Result<_>>()?;
    Ok((callers, latencies.take()))
}

async fn stay_awake() {
    loop {
        yield_now().await;
    }
}

fn expect(answer: Answer, status: u16) -> Result<()> {
    if answer.status != status {
        return Err(format!("status {} instead of {status}", answer.status).into());
    }
    Ok(())
}

/// A load of an open loop.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Requests per second.
    pub rate: f64,
    /// How long.
    pub duration: Duration,
    /// How often a client asks again, at once, when it is refused.
    pub retries: u32,
}

impl Offer {
    /// A load of clients who take an answer for an answer.
    pub fn new(rate: f64, duration: Duration) -> Self {
        Self { rate, duration, retries: 0 }
    }
}

/// What an open loop measured.
#[derive(Clone, Debug)]
pub struct Open {
    /// Requests per second that were meant to be sent.
    pub offered: f64,
    /// Answers per second, while the load lasted, that were 200 and came within [`PATIENCE`].
    pub goodput: f64,
    /// The share of the requests that had such an answer, the last ones after the end of the load.
    pub served: f64,
    /// Requests per second that were refused with 503.
    pub unavailable: f64,
    /// Requests per second that were refused with 429.
    pub limited: f64,
    /// Requests per second that were answered with another status.
    pub others: f64,
    /// Requests per second whose answer came too late or not at all.
    pub lost: f64,
    /// Of what was answered with 200.
    pub accepted: Latencies,
    /// Of all requests, by when they were meant to be sent. [`PATIENCE`] is that of a request without its 200.
    pub slices: Slices,
    /// Of what was refused, from when it was sent: a client that waited for a connection was not refused yet.
    pub refused: Latencies,
    /// Refusals without `retry-after`.
    pub without_retry_after: u64,
    /// How long after it was meant to be each request was sent. Where that is long the figures are about the driver, or all of its
    /// connections wait for answers.
    pub sent: Latencies,
}

struct Books {
    sent: Latencies,
    accepted: Latencies,
    /// By the entry of the schedule.
    waits: Vec<Duration>,
    refused: Latencies,
    good: u64,
    good_in_time: u64,
    unavailable: u64,
    limited: u64,
    others: u64,
    without_retry_after: u64,
}

/// Offers a load: each request is made by whichever caller is free, as soon as its time has come. Gaps are exponentially
/// distributed, as those between independent clients are, and the same in each run.
pub async fn open<C: Caller>(server: &Server, callers: Vec<C>, offer: Offer) -> Result<Open> {
    offered(callers, offer, server.pinned).await
}

async fn offered<C: Caller>(callers: Vec<C>, offer: Offer, stays_awake: bool) -> Result<Open> {
    let schedule: Arc<[Duration]> = schedule(offer.rate, offer.duration).into();
    let due = Arc::new(Semaphore::new(0));
    let next = Rc::new(Cell::new(0));
    let books = Rc::new(RefCell::new(Books {
        sent: Latencies::new(),
        accepted: Latencies::new(),
        waits: vec![PATIENCE; schedule.len()],
        refused: Latencies::new(),
        good: 0,
        good_in_time: 0,
        unavailable: 0,
        limited: 0,
        others: 0,
        without_retry_after: 0,
    }));
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for mut caller in callers {
        let (schedule, due) = (Arc::clone(&schedule), Arc::clone(&due));
        let (next, books) = (Rc::clone(&next), Rc::clone(&books));
        tasks.spawn_local(async move {
            // Permits come in the order of the schedule, so that whoever has one takes the next entry. One too many for each
            // caller tells it that there are no more.
            while let Ok(permit) = due.acquire().await {
                permit.forget();
                let entry = next.replace(next.get() + 1);
                let Some(meant) = schedule.get(entry) else { break };
                attempt(&mut caller, begun, (entry, *meant), offer, &books).await;
            }
        });
    }
    let pace =
        Pace { begun, schedule: Arc::clone(&schedule), due: Arc::clone(&due), given: 0, more: tasks.len() };
    let pacemaker = if stays_awake { spawn_local(pace.awake()) } else { spawn_blocking(|| pace.asleep()) };
    sleep((begun + offer.duration).saturating_duration_since(Instant::now())).await;
    // The last have their patience too.
    let end = tokio::time::Instant::from_std(begun + offer.duration + PATIENCE);
    let all = async { while tasks.join_next().await.is_some() {} };
    let _ = timeout_at(end, all).await;
    tasks.shutdown().await;
    due.close();
    pacemaker.await?;

    let books = books.borrow();
    let seconds = offer.duration.as_secs_f64();
    let per_second = |count: u64| count as f64 / seconds;
    let answered = books.good + books.unavailable + books.limited + books.others;
    Ok(Open {
        offered: schedule.len() as f64 / seconds,
        goodput: per_second(books.good_in_time),
        served: books.good as f64 / schedule.len().max(1) as f64,
        unavailable: per_second(books.unavailable),
        limited: per_second(books.limited),
        others: per_second(books.others),
        lost: per_second((schedule.len() as u64).saturating_sub(answered)),
        accepted: books.accepted.clone(),
        slices: Slices::cut(offer.duration, schedule.iter().copied().zip(books.waits.iter().copied())),
        refused: books.refused.clone(),
        without_retry_after: books.without_retry_after,
        sent: books.sent.clone(),
    })
}

/// Makes a request whose time has come, and enters what became of it.
async fn attempt(
    caller: &mut impl Caller,
    begun: Instant,
    (entry, meant): (usize, Duration),
    offer: Offer,
    books: &RefCell<Books>,
) {
    let mut answer = None;
    let mut sent = Instant::now();
    books.borrow_mut().sent.add((sent - begun).saturating_sub(meant));
    for _ in 0..=offer.retries {
        // Whoever found no free connection for so long has given up.
        if begun.elapsed().saturating_sub(meant) > PATIENCE {
            break;
        }
        sent = Instant::now();
        answer = caller.call().await.ok();
        if answer.is_some_and(|answer| answer.status == 200) {
            break;
        }
    }
    let latency = begun.elapsed().saturating_sub(meant);
    let mut books = books.borrow_mut();
    match answer {
        Some(Answer { status: 200, .. }) => {
            books.accepted.add(latency);
            books.waits[entry] = latency;
            let is_good = latency <= PATIENCE;
            books.good += u64::from(is_good);
            books.good_in_time += u64::from(is_good && meant + latency <= offer.duration);
        }
        Some(answer @ Answer { status: 429 | 503, .. }) => {
            books.refused.add(sent.elapsed());
            books.without_retry_after += u64::from(!answer.retry_after);
            let is_limit = answer.status == 429;
            books.limited += u64::from(is_limit);
            books.unavailable += u64::from(!is_limit);
        }
        Some(_) => books.others += 1,
        None => {}
    }
}

/// Hands out a permit for each entry when its time has come, and some more at the end.
struct Pace {
    begun: Instant,
    schedule: Arc<[Duration]>,
    due: Arc<Semaphore>,
    given: usize,
    more: usize,
}

impl Pace {
    /// Lets those go whose time has come, and tells when the next one's does.
    fn let_go(&mut self) -> Option<Duration> {
        let now = self.begun.elapsed();
        let count = self.schedule[self.given..].iter().take_while(|meant| **meant <= now).count();
        self.due.add_permits(count);
        self.given += count;
        let next = self.schedule.get(self.given).filter(|_| !self.due.is_closed())?;
        Some(next.saturating_sub(self.begun.elapsed()))
    }

    /// Among the callers, and never sleeps.
    async fn awake(mut self) {
        while self.let_go().is_some() {
            yield_now().await;
        }
        self.due.add_permits(self.more);
        // until the last answer
        while !self.due.is_closed() {
            yield_now().await;
        }
    }

    /// On a thread of its own: the timer of tokio knows milliseconds only.
    fn asleep(mut self) {
        while let Some(until_next) = self.let_go() {
            thread::sleep(until_next.min(Duration::from_millis(100)));
        }
        self.due.add_permits(self.more);
    }
}

/// When each request is meant to be sent.
fn schedule(rate: f64, duration: Duration) -> Vec<Duration> {
    // xorshift64: any numbers without a pattern do, as long as they are the same in each run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut at = 0.0;
    let mut schedule = Vec::new();
    loop {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let uniform = ((state >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        at -= uniform.ln() / rate;
        if at >= duration.as_secs_f64() {
            return schedule;
        }
        schedule.push(Duration::from_secs_f64(at));
    }
}

/// Runs an open loop beside something else, on a thread of its own, so that neither waits for the other in this process. Its
/// callers are connected when this returns, and `delay` later it begins.
pub async fn beside<C: Caller>(
    connect: impl AsyncFnOnce() -> Result<Vec<C>> + Send + 'static,
    delay: Duration,
    offer: Offer,
) -> Result<Beside> {
    let (tell, ready) = oneshot::channel();
    let running = spawn_blocking(move || {
        run(async move {
            let callers = connect().await?;
            let _ = tell.send(());
            sleep(delay).await;
            offered(callers, offer, false).await
        })
    });
    // An error in connecting is told when it is waited for.
    let _ = ready.await;
    Ok(Beside(running))
}

/// An open loop that goes on.
pub struct Beside(JoinHandle<Result<Open>>);

impl Beside {
    /// Waits for its end.
    pub async fn end(self) -> Result<Open> {
        self.0.await?
    }
}
