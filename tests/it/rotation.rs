//! Signing keys on databases that two processes share: both rotate, and stop anywhere (F-10, F-11, F-12, I4, I5).
//!
//! Each round moves the clock, lets the processes act at once and perhaps stops one of them between two polls, which is
//! where a process can stop; a stopped process comes back with another connection. Then everything that was promised has to
//! hold, for the processes and for verifiers with a cached key set.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use mintage::{
    admin::{SigningKeyAdmin, signing_keys::Dependencies},
    clock::{Clock, TestClock},
    jose::{JwkSet, KeyState, KeyTiming, SigningAlgorithm, jws::UnverifiedJws},
    oauth::{Keys, store::KeyStore},
    random::SystemRandom,
    sealing::MasterKeys,
    store::Store,
};

use crate::store::{Database, on_each_shared, token};

const ALGORITHMS: [SigningAlgorithm; 2] = [SigningAlgorithm::ES256, SigningAlgorithm::EdDSA];
const START: u64 = 1_800_000_000;
const DAY: u64 = 24 * 60 * 60;
const ROUNDS: u64 = 250;

/// Publish-ahead of 75 s, retention of 150 s.
const TIMING: KeyTiming = KeyTiming {
    jwks_max_age: Duration::from_secs(20),
    max_lifetime: Duration::from_secs(100),
    max_staleness: Duration::from_secs(40),
    skew: Duration::from_secs(10),
    rotation_period: Duration::from_secs(300),
};

/// What the processes of one deployment share.
struct Shared {
    database: Database,
    master: Arc<MasterKeys>,
    clock: Arc<TestClock>,
}

impl Shared {
    fn new(database: Database) -> Self {
        let master = MasterKeys::parse(&MasterKeys::generate(&SystemRandom).unwrap()).unwrap();
        Self { database, master: Arc::new(master), clock: Arc::new(TestClock::at(START)) }
    }

    async fn start_process(&self) -> Process {
        let store = self.database.open().await;
        let keys = Arc::new(Keys::new(Vec::new(), Arc::clone(&self.master), TIMING).unwrap());
        let admin = SigningKeyAdmin::new(Dependencies {
            store: Arc::clone(&store) as Arc<dyn KeyStore>,
            master: Arc::clone(&self.master),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            random: Arc::new(SystemRandom),
            keys: Arc::clone(&keys),
        });
        Process { store, keys, admin: Arc::new(admin) }
    }
}

struct Process {
    store: Arc<Store>,
    keys: Arc<Keys>,
    admin: Arc<SigningKeyAdmin>,
}

impl Process {
    fn signs(&self, alg: SigningAlgorithm) -> String {
        let ring = self.keys.current();
        ring.signing_key(alg).unwrap_or_else(|| panic!("no key signs {alg}")).kid().to_owned()
    }

    /// Has it read every change, those included that a process which stopped had begun to commit: writers go one by one.
    async fn catch_up(&self, marker: &str, clock: &TestClock) {
        let expires_at = clock.now() + Duration::from_secs(1);
        self.store.write(&[], &[token(marker, expires_at.seconds())]).await.unwrap();
        assert_eq!(self.keys.reload(&*self.store, clock.now()).await, Ok(Vec::new()));
    }
}

#[derive(Clone, Debug)]
enum Action {
    Ensure,
    Tick,
    Prepare(SigningAlgorithm),
    Rotate(SigningAlgorithm),
    Revoke(String),
}

impl Action {
    async fn run(self, admin: Arc<SigningKeyAdmin>) {
        match self {
            Self::Ensure => drop(admin.ensure(&ALGORITHMS).await.unwrap()),
            Self::Tick => drop(admin.tick().await.unwrap()),
            Self::Prepare(alg) => drop(admin.prepare(alg).await.unwrap()),
            Self::Rotate(alg) => drop(admin.rotate(alg).await.unwrap()),
            Self::Revoke(kid) => drop(admin.revoke(&kid).await.unwrap()),
        }
    }
}

/// Polls a future so often and then drops it. Returns what it came to, if it got there.
async fn stopped_after<T>(polls: u64, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return std::task::Poll::Ready(None);
        }
        left -= 1;
        let poll = future.as_mut().poll(context).map(Some);
        // The last poll is followed by the end, not by another wake-up.
        if left == 0 && poll.is_pending() { std::task::Poll::Ready(None) } else { poll }
    })
    .await
}

/// Numbers that are the same each time (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn alg(&mut self) -> SigningAlgorithm {
        ALGORITHMS[usize::from(self.roll(2) == 1)]
    }
}

/// A resource server that reads the key set only when its copy is too old, now from one process, now from the other.
struct Verifier {
    set: JwkSet,
    fetched_at: u64,
}

impl Verifier {
    fn read(process: &Process, now: u64) -> Self {
        let text = serde_json::to_vec(process.keys.current().published()).unwrap();
        Self { set: JwkSet::parse(&text).unwrap(), fetched_at: now }
    }

    fn accepts(&self, token: &str, alg: SigningAlgorithm) -> bool {
        let jws = UnverifiedJws::parse(token).unwrap();
        self.set
            .find(jws.header().kid.as_deref(), alg.into())
            .found()
            .is_some_and(|key| jws.verify(key).is_ok())
    }
}

struct Token {
    text: String,
    kid: String,
    alg: SigningAlgorithm,
    expires_at: u64,
}

#[derive(Debug, Default)]
struct Counts {
    stopped: u64,
    /// Of those that acted alone: how many had changed something, and how many had not.
    stopped_late: u64,
    stopped_early: u64,
    signers: HashSet<String>,
    revoked: HashSet<String>,
    destroyed: HashSet<String>,
    verifications: u64,
}

struct World {
    shared: Shared,
    processes: [Process; 2],
    verifiers: Vec<Verifier>,
    tokens: Vec<Token>,
    dice: Dice,
    now: u64,
    /// About how many polls a change takes to be committed.
    edge: u64,
    counts: Counts,
}

impl World {
    async fn new(database: Database) -> Self {
        let shared = Shared::new(database);
        let processes = [shared.start_process().await, shared.start_process().await];
        let (one, other) =
            tokio::join!(processes[0].admin.ensure(&ALGORITHMS), processes[1].admin.ensure(&ALGORITHMS));
        assert_eq!(one.unwrap().len() + other.unwrap().len(), ALGORITHMS.len());
        for process in &processes {
            process.catch_up("start", &shared.clock).await;
        }
        let verifiers = (0..3).map(|number| Verifier::read(&processes[number % 2], START)).collect();
        let (tokens, counts) = (Vec::new(), Counts::default());
        Self {
            shared,
            processes,
            verifiers,
            tokens,
            dice: Dice(0x9e37_79b9_7f4a_7c15),
            now: START,
            edge: 3,
            counts,
        }
    }

    fn choose(&mut self) -> Action {
        match self.dice.roll(16) {
            0 | 1 => Action::Ensure,
            2 => Action::Prepare(self.dice.alg()),
            3 | 4 => Action::Rotate(self.dice.alg()),
            5 => Action::Revoke(self.processes[0].signs(self.dice.alg())),
            _ => Action::Tick,
        }
    }

    async fn round(&mut self, number: u64) {
        // Long enough for private halves to be destroyed, now and then.
        let by = if self.dice.roll(25) == 0 { DAY + 500 } else { 1 + self.dice.roll(25) };
        self.now += by;
        self.shared.clock.set(self.now);
        for process in &self.processes {
            process.keys.refresh(self.shared.clock.now());
        }
        self.refetch();

        let before = self.processes[0].store.list().await.unwrap();
        let mut actions = vec![self.choose()];
        let is_alone = self.dice.roll(3) == 0;
        if is_alone {
            // Something that always makes a change.
            let alg = self.dice.alg();
            actions[0] = match self.dice.roll(3) {
                0 => Action::Revoke(self.processes[0].signs(alg)),
                _ => Action::Prepare(alg),
            };
        } else if self.dice.roll(2) == 0 {
            // The very same, which is what replicas do.
            actions.push(actions[0].clone());
        } else {
            actions.push(self.choose());
        }
        let running: Vec<_> = actions
            .iter()
            .zip(&self.processes)
            .map(|(action, process)| {
                let polls = match self.dice.roll(3) {
                    _ if is_alone => (self.edge + self.dice.roll(5)).saturating_sub(2),
                    0 => self.dice.roll(40),
                    _ => u64::MAX,
                };
                tokio::spawn(stopped_after(polls, action.clone().run(Arc::clone(&process.admin))))
            })
            .collect();
        let mut stopped = [false; 2];
        for (stopped, task) in stopped.iter_mut().zip(running) {
            *stopped = task.await.unwrap().is_none();
        }
        for (index, process) in self.processes.iter().enumerate() {
            process.catch_up(&format!("{number}-{index}"), &self.shared.clock).await;
        }
        if is_alone {
            let is_changed = self.processes[0].store.list().await.unwrap() != before;
            self.edge = if is_changed { self.edge.saturating_sub(2) } else { self.edge + 3 };
            self.counts.stopped_late += u64::from(stopped[0] && is_changed);
            self.counts.stopped_early += u64::from(!is_changed);
        }
        for (index, stopped) in stopped.into_iter().enumerate() {
            if stopped {
                self.counts.stopped += 1;
                self.processes[index] = self.shared.start_process().await;
            }
            self.processes[index].catch_up(&format!("{number}-{index}-again"), &self.shared.clock).await;
        }
        let is_emergency =
            self.check_keys(&format!("round {number}, {actions:?}, stopped: {stopped:?}")).await;
        if is_emergency {
            // Resource servers are told (WatchJwks), or refuse tokens until their copy is too old.
            for verifier in &mut self.verifiers {
                *verifier = Verifier::read(&self.processes[0], self.now);
            }
        }
        self.sign_and_verify();
    }

    fn refetch(&mut self) {
        for verifier in &mut self.verifiers {
            if self.now - verifier.fetched_at >= TIMING.jwks_max_age.as_secs() {
                *verifier = Verifier::read(&self.processes[usize::from(self.dice.roll(2) == 1)], self.now);
            }
        }
    }

    /// Returns whether a key is newly revoked.
    async fn check_keys(&mut self, context: &str) -> bool {
        let keys = self.processes[0].admin.list().await.unwrap();
        assert_eq!(self.processes[1].admin.list().await.unwrap(), keys, "{context}");
        for alg in ALGORITHMS {
            let of_alg = || keys.iter().filter(move |key| key.alg == alg);
            let active: Vec<_> = of_alg().filter(|key| key.state == KeyState::Active).collect();
            assert_eq!(active.len(), 1, "{alg}, {context}: {keys:#?}");
            let generations: HashSet<_> = of_alg().map(|key| key.generation).collect();
            assert_eq!(generations.len(), of_alg().count(), "{context}");
            for process in &self.processes {
                assert_eq!(process.signs(alg), active[0].kid, "{context}");
            }
        }
        // I4
        let kids: HashSet<_> = keys.iter().map(|key| &key.kid).collect();
        assert_eq!(kids.len(), keys.len(), "{context}");
        let mut is_emergency = false;
        for key in keys {
            match key.state {
                KeyState::Revoked => {
                    self.tokens.retain(|token| token.kid != key.kid);
                    for process in &self.processes {
                        let ring = process.keys.current();
                        assert!(ring.verification_key(&key.kid).is_none(), "{context}");
                        assert!(
                            !ring.published().keys.iter().any(|other| other.kid() == key.kid),
                            "{context}"
                        );
                    }
                    is_emergency |= self.counts.revoked.insert(key.kid);
                }
                KeyState::Destroyed => drop(self.counts.destroyed.insert(key.kid)),
                _ => {}
            }
        }
        is_emergency
    }

    /// I5
    fn sign_and_verify(&mut self) {
        for process in &self.processes {
            for alg in ALGORITHMS {
                let ring = process.keys.current();
                let key = ring.signing_key(alg).unwrap();
                let (text, kid) = (key.sign_access_token(b"{}").unwrap(), key.kid().to_owned());
                self.counts.signers.insert(kid.clone());
                let lifetime = 1 + self.dice.roll(TIMING.max_lifetime.as_secs());
                self.tokens.push(Token { text, kid, alg, expires_at: self.now + lifetime });
            }
        }
        self.tokens.retain(|token| token.expires_at > self.now);
        for token in &self.tokens {
            let about = || format!("{} of {} at {}", token.alg, token.kid, self.now - START);
            for process in &self.processes {
                assert!(process.keys.current().verification_key(&token.kid).is_some(), "{}", about());
            }
            for verifier in &self.verifiers {
                assert!(verifier.accepts(&token.text, token.alg), "{}", about());
                self.counts.verifications += 1;
            }
        }
    }
}

// F-10, F-11, F-12, I4, I5
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn processes_that_rotate_at_once_and_stop_anywhere_keep_every_promise() {
    on_each_shared(async |database| {
        let mut world = World::new(database).await;
        for number in 0..ROUNDS {
            world.round(number).await;
        }
        let Counts { stopped, stopped_late, stopped_early, signers, revoked, destroyed, verifications } =
            world.counts;
        println!(
            "{ROUNDS} rounds: {} keys signed, {} were revoked, {} destroyed; a process stopped {stopped} times (alone: \
             {stopped_late} after its change, {stopped_early} before); {verifications} verifications",
            signers.len(),
            revoked.len(),
            destroyed.len()
        );
        assert!(signers.len() > 20 && revoked.len() > 5 && destroyed.len() > 5);
        assert!(stopped > 20 && stopped_early > 10 && stopped_late > 0);
    })
    .await;
}

// F-12
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn processes_that_start_at_once_on_an_empty_database_end_with_the_same_keys() {
    for round in 0..8 {
        for database in [Database::file(), Database::postgres()] {
            let shared = Shared::new(database);
            let (one, other) = tokio::join!(shared.start_process(), shared.start_process());
            let tasks = [&one, &other].map(|process| {
                let admin = Arc::clone(&process.admin);
                tokio::spawn(async move { admin.ensure(&ALGORITHMS).await.unwrap().len() })
            });
            let mut made = 0;
            for task in tasks {
                made += task.await.unwrap();
            }
            assert_eq!(made, ALGORITHMS.len(), "round {round}");
            let mut signers = HashMap::new();
            for process in [&one, &other] {
                process.keys.reload(&*process.store, shared.clock.now()).await.unwrap();
                for alg in ALGORITHMS {
                    signers.entry(alg).or_insert_with(HashSet::new).insert(process.signs(alg));
                }
            }
            assert!(signers.values().all(|kids| kids.len() == 1), "round {round}: {signers:?}");
        }
    }
}
