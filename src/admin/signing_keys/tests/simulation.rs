//! Replicas that rotate every minute, and verifiers that read the key set only when their copy is too old (F-10, I4, I5).

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::jose::{JwkSet, jws::UnverifiedJws};

/// Publish-ahead of 610 s: ten keys are on their way at any time. Retention of 190 s.
const FAST: KeyTiming = KeyTiming {
    jwks_max_age: Duration::from_secs(300),
    max_lifetime: Duration::from_secs(120),
    max_staleness: Duration::from_secs(60),
    skew: Duration::from_secs(10),
    rotation_period: Duration::from_secs(60),
};

/// What happens at one moment on one replica.
#[derive(Clone, Debug)]
enum Event {
    Tick,
    /// The process stops after so many polls of its tick.
    Crash(usize),
    Prepare,
    /// Of all keys, by position.
    Publish(usize),
    Activate(usize),
    Retire(usize),
    Rotate,
    /// The replica reads nothing of the store for a while.
    Partition,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => Just(Event::Tick),
        2 => (0_usize..10).prop_map(Event::Crash),
        1 => Just(Event::Prepare),
        1 => (0_usize..40).prop_map(Event::Publish),
        1 => (0_usize..40).prop_map(Event::Activate),
        1 => (0_usize..40).prop_map(Event::Retire),
        1 => Just(Event::Rotate),
        1 => Just(Event::Partition),
    ]
}

/// A copy of the key set, read when it was too old.
struct Verifier {
    set: JwkSet,
    fetched_at: u64,
    reads_of: usize,
}

impl Verifier {
    fn read(replica: &Replica, reads_of: usize, now: u64) -> Self {
        let text = serde_json::to_vec(replica.keys.current().published()).unwrap();
        Self { set: JwkSet::parse(&text).unwrap(), fetched_at: now, reads_of }
    }

    fn accepts(&self, token: &str) -> bool {
        let jws = UnverifiedJws::parse(token).unwrap();
        let key = self.set.find(jws.header().kid.as_deref(), ALG.into()).found();
        key.is_some_and(|key| jws.verify(key).is_ok())
    }

    fn knows(&self, kid: &str) -> bool {
        self.set.find(Some(kid), ALG.into()).found().is_some()
    }
}

struct World {
    replicas: [Replica; 2],
    offline_until: [u64; 2],
    verifiers: Vec<Verifier>,
    /// `kid` and `exp`.
    tokens: Vec<(String, u64)>,
    signers: HashSet<String>,
    now: u64,
}

impl World {
    async fn new() -> Self {
        let (store, master) = (Arc::default(), master());
        let replicas = [(); 2].map(|()| Replica::on(&store, &master, FAST));
        replicas[0].admin.ensure(&[ALG]).await.unwrap();
        replicas[1].keys.reload(&*store, replicas[1].clock.now()).await.unwrap();
        let verifiers = (0..3).map(|index| Verifier::read(&replicas[index % 2], index % 2, 0)).collect();
        let (tokens, signers) = (Vec::new(), HashSet::new());
        Self { replicas, offline_until: [0; 2], verifiers, tokens, signers, now: 0 }
    }

    async fn step(&mut self, by: u64, index: usize, event: &Event, lifetime: u64) {
        self.now += by;
        for (index, replica) in self.replicas.iter().enumerate() {
            // The clocks of the replicas are 4 s apart.
            replica.at(self.now + 4 * index as u64);
            if self.offline_until[index] <= self.now {
                replica.keys.reload(&*replica.store, replica.clock.now()).await.unwrap();
            }
        }
        let replica = &self.replicas[index];
        if matches!(event, Event::Partition) {
            self.offline_until[index] = self.now + 50;
        } else if self.offline_until[index] <= self.now {
            act(replica, event).await;
        }
        // A replica reads what the other one did a moment later.
        for (index, replica) in self.replicas.iter().enumerate() {
            if self.offline_until[index] <= self.now {
                replica.keys.reload(&*replica.store, replica.clock.now()).await.unwrap();
            }
        }
        self.refetch();
        self.sign(lifetime);
        self.verify();
    }

    fn refetch(&mut self) {
        for verifier in &mut self.verifiers {
            if self.now - verifier.fetched_at >= FAST.jwks_max_age.as_secs() {
                let reads_of = 1 - verifier.reads_of;
                *verifier = Verifier::read(&self.replicas[reads_of], reads_of, self.now);
            }
        }
    }

    fn sign(&mut self, lifetime: u64) {
        for replica in &self.replicas {
            let ring = replica.keys.current();
            let key = ring.signing_key(ALG).expect("a key signs");
            self.signers.insert(key.kid().to_owned());
            let token = key.sign_access_token(b"{}").unwrap();
            for verifier in &self.verifiers {
                assert!(verifier.accepts(&token), "{} at {}", key.kid(), self.now);
            }
            self.tokens.push((key.kid().to_owned(), self.now + lifetime));
        }
    }

    fn verify(&mut self) {
        self.tokens.retain(|(_, expires_at)| *expires_at > self.now);
        for (kid, expires_at) in &self.tokens {
            for verifier in &self.verifiers {
                assert!(verifier.knows(kid), "{kid} at {} until {expires_at}", self.now);
            }
            for replica in &self.replicas {
                assert!(replica.keys.current().verification_key(kid).is_some(), "{kid} at {}", self.now);
            }
        }
        for replica in &self.replicas {
            let kids = replica.published();
            assert_eq!(kids.iter().collect::<HashSet<_>>().len(), kids.len(), "I4");
        }
    }
}

/// Operators make mistakes: a refusal is fine, what it breaks is not.
async fn act(replica: &Replica, event: &Event) {
    let admin = &replica.admin;
    let kid = |position: usize| {
        let records = replica.store.records();
        records[position % records.len()].kid.clone()
    };
    match event {
        Event::Tick => drop(admin.tick().await.unwrap()),
        Event::Crash(polls) => tokio::select! {
            biased;
            steps = admin.tick() => drop(steps.unwrap()),
            () = async { for _ in 0..*polls { tokio::task::yield_now().await } } => {}
        },
        Event::Prepare => drop(admin.prepare(ALG).await.unwrap()),
        Event::Publish(position) => drop(admin.publish(&kid(*position)).await),
        Event::Activate(position) => drop(admin.activate(&kid(*position), None, false).await),
        Event::Retire(position) => drop(admin.retire(&kid(*position)).await),
        Event::Rotate => drop(admin.rotate(ALG).await.unwrap()),
        Event::Partition => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, ..ProptestConfig::default() })]

    // F-10, I4, I5
    #[test]
    fn no_verifier_ever_meets_an_unknown_key(
        events in prop::collection::vec((1_u64..30, 0_usize..2, event(), 1_u64..=120), 200..300),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for (by, index, event, lifetime) in &events {
                world.step(*by, *index, event, *lifetime).await;
            }
            assert!(world.signers.len() > 5, "keys were rotated: {}", world.signers.len());
        });
    }
}
