mod memory_store;
mod simulation;

use std::{sync::Arc, time::Duration};

use memory_store::MemoryStore;

use super::*;
use crate::{
    clock::TestClock,
    jose::{KeyState, KeyTiming},
    oauth::store::Revoked,
    random::SystemRandom,
};

const ALG: SigningAlgorithm = SigningAlgorithm::EdDSA;
const START: u64 = 1_800_000_000;

/// Publish-ahead of 250 s, retention of 150 s.
const TIMING: KeyTiming = KeyTiming {
    jwks_max_age: Duration::from_secs(20),
    max_lifetime: Duration::from_secs(100),
    max_staleness: Duration::from_secs(40),
    skew: Duration::from_secs(10),
    rotation_period: Duration::from_secs(1000),
};
const AHEAD: u64 = 250;
const RETENTION: u64 = 150;
const DAY: u64 = 24 * 60 * 60;

fn master() -> Arc<MasterKeys> {
    Arc::new(MasterKeys::parse(&MasterKeys::generate(&SystemRandom).unwrap()).unwrap())
}

/// One process on a store that others may share.
struct Replica {
    clock: Arc<TestClock>,
    keys: Arc<Keys>,
    admin: SigningKeyAdmin,
    store: Arc<MemoryStore>,
}

impl Replica {
    fn new(timing: KeyTiming) -> Self {
        Self::on(&Arc::default(), &master(), timing)
    }

    fn on(store: &Arc<MemoryStore>, master: &Arc<MasterKeys>, timing: KeyTiming) -> Self {
        let clock = Arc::new(TestClock::at(START));
        let keys = Arc::new(Keys::new(Vec::new(), Arc::clone(master), timing).unwrap());
        let admin = SigningKeyAdmin::new(Dependencies {
            store: Arc::clone(store) as Arc<dyn KeyStore>,
            master: Arc::clone(master),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random: Arc::new(SystemRandom),
            keys: Arc::clone(&keys),
        });
        Self { clock, keys, admin, store: Arc::clone(store) }
    }

    fn at(&self, seconds: u64) {
        self.clock.set(START + seconds);
        self.keys.refresh(self.clock.now());
    }

    fn signs(&self) -> Option<String> {
        self.keys.current().signing_key(ALG).map(|key| key.kid().to_owned())
    }

    fn published(&self) -> Vec<String> {
        self.keys.current().published().keys.iter().map(|key| key.kid().to_owned()).collect()
    }

    async fn states(&self) -> Vec<KeyState> {
        self.admin.list().await.unwrap().iter().map(|key| key.state).collect()
    }
}

/// An instant after the start.
fn after(seconds: u64) -> Option<Timestamp> {
    Some(Timestamp::from_seconds(START + seconds))
}

#[tokio::test]
async fn a_server_that_starts_for_the_first_time_has_a_key_for_every_algorithm() {
    let replica = Replica::new(TIMING);
    replica.admin.ensure(&SigningAlgorithm::ALL).await.unwrap();
    assert_eq!(replica.keys.current().algorithms(), SigningAlgorithm::ALL[..5]);
    assert_eq!(replica.published().len(), 5);
    assert!(replica.states().await.iter().all(|state| *state == KeyState::Active));
    // What there is stays.
    assert_eq!(replica.admin.ensure(&SigningAlgorithm::ALL).await.unwrap(), []);
    let sealed = replica.store.sealed();
    assert!(sealed.iter().all(|(_, sealed)| sealed.len() > 60));
}

// F-12
#[tokio::test]
async fn replicas_that_start_at_once_end_with_the_same_keys() {
    for _ in 0..20 {
        let (store, master) = (Arc::default(), master());
        let [one, two, three] = [(); 3].map(|()| Replica::on(&store, &master, TIMING));
        let algorithms = [ALG, SigningAlgorithm::ES256];
        let (a, b, c) = tokio::join!(
            one.admin.ensure(&algorithms),
            two.admin.ensure(&algorithms),
            three.admin.ensure(&algorithms)
        );
        let made = [a, b, c].map(|steps| steps.unwrap().len());
        assert_eq!(made.iter().sum::<usize>(), 2, "{made:?}");
        assert_eq!(store.records().len(), 2);
        for replica in [&one, &two, &three] {
            replica.keys.reload(&*store, replica.clock.now()).await.unwrap();
            assert_eq!(replica.signs(), one.signs());
        }
    }
}

#[tokio::test]
async fn the_next_key_is_published_in_time_and_takes_over_by_the_clock() {
    let replica = Replica::new(TIMING);
    replica.admin.ensure(&[ALG]).await.unwrap();
    let first = replica.signs();
    // The first signs from 10 s before the start.
    replica.at(1000 - 10 - AHEAD - 1);
    assert_eq!(replica.admin.tick().await.unwrap(), []);
    replica.at(1000 - 10 - AHEAD);
    assert_eq!(replica.admin.tick().await.unwrap().len(), 1);
    assert_eq!(replica.admin.tick().await.unwrap(), [], "once is enough");
    assert_eq!(replica.published().len(), 2);
    replica.at(989);
    assert_eq!(replica.signs(), first);
    replica.at(990);
    assert_ne!(replica.signs(), first);
    assert_eq!(replica.states().await, [KeyState::Retired, KeyState::Active]);
    replica.at(990 + RETENTION - 1);
    assert_eq!(replica.published().len(), 2);
    replica.at(990 + RETENTION);
    assert_eq!(replica.published(), [replica.signs().unwrap()]);
}

// A server that was down when it should have rotated.
#[tokio::test]
async fn a_late_rotation_is_published_ahead_all_the_same() {
    let replica = Replica::new(TIMING);
    replica.admin.ensure(&[ALG]).await.unwrap();
    replica.at(5000);
    replica.admin.tick().await.unwrap();
    let next = replica.admin.list().await.unwrap().pop().unwrap();
    assert_eq!((next.published_from, next.active_from), (after(5000), after(5000 + AHEAD)));
}

#[tokio::test]
async fn what_is_destroyed_is_gone_and_later_forgotten() {
    let replica = Replica::new(TIMING);
    replica.admin.ensure(&[ALG]).await.unwrap();
    let first = replica.signs().unwrap();
    replica.admin.rotate(ALG).await.unwrap();
    let unused = AHEAD + RETENTION + DAY;
    replica.at(unused - 1);
    assert!(
        replica.admin.tick().await.unwrap().iter().all(|step| !matches!(step, KeyStep::Destroyed { .. }))
    );
    replica.at(unused);
    let destroyed = KeyStep::Destroyed { alg: ALG, kid: first.clone() };
    assert!(replica.admin.tick().await.unwrap().contains(&destroyed));
    assert!(replica.store.records().iter().any(|key| key.kid == first && key.sealed.is_empty()));
    replica.at(unused + RETENTION - 1);
    replica.admin.tick().await.unwrap();
    assert!(replica.admin.get(&first).await.is_ok());
    replica.at(unused + RETENTION);
    let forgotten = KeyStep::Forgotten { alg: ALG, kid: first.clone() };
    assert!(replica.admin.tick().await.unwrap().contains(&forgotten));
    assert!(matches!(replica.admin.get(&first).await, Err(AdminError::NotFound(_))));
    assert!(replica.signs().is_some());
}

#[tokio::test]
async fn a_key_is_led_through_its_life_by_hand() {
    let replica = Replica::new(TIMING);
    let admin = &replica.admin;
    admin.ensure(&[ALG]).await.unwrap();
    let key = admin.prepare(ALG).await.unwrap();
    assert_eq!((key.state, key.generation, key.revision), (KeyState::Prepared, 2, 1));
    assert!(!replica.published().contains(&key.kid));
    let key = admin.publish(&key.kid).await.unwrap();
    assert_eq!((key.state, key.published_from), (KeyState::Published, after(0)));
    assert!(replica.published().contains(&key.kid));
    replica.at(100);
    assert_eq!(admin.publish(&key.kid).await.unwrap().revision, key.revision, "published already");

    // An instant at which some verifier may not know it.
    let refusal = admin.activate(&key.kid, after(AHEAD - 1), false).await.unwrap_err();
    assert!(
        matches!(&refusal, AdminError::FailedPrecondition(text) if text.contains("150 s from now")),
        "{refusal}"
    );
    let key = admin.activate(&key.kid, after(AHEAD), false).await.unwrap();
    assert_eq!(key.active_from, after(AHEAD));
    let key = admin.activate(&key.kid, after(AHEAD + 50), false).await.unwrap();
    assert_eq!(key.active_from, after(AHEAD + 50));
    let key = admin.activate(&key.kid, None, false).await.unwrap();
    assert_eq!(key.active_from, after(AHEAD), "as soon as it is known");
    let key = admin.activate(&key.kid, after(101), true).await.unwrap();
    assert_eq!(key.active_from, after(101), "forced");
    replica.at(101);
    assert_eq!(replica.signs(), Some(key.kid.clone()));
    assert_eq!(admin.activate(&key.kid, None, false).await.unwrap().revision, key.revision, "signs already");
    assert!(admin.activate(&key.kid, after(500), true).await.is_err());

    let refusal = admin.retire(&key.kid).await.unwrap_err();
    assert!(
        matches!(&refusal, AdminError::FailedPrecondition(text) if text.contains("rotate EdDSA")),
        "{refusal}"
    );
    let unwanted = admin.prepare(ALG).await.unwrap();
    let unwanted = admin.retire(&unwanted.kid).await.unwrap();
    assert_eq!(unwanted.state, KeyState::Retired);
    assert_eq!(admin.retire(&unwanted.kid).await.unwrap().revision, unwanted.revision);
    for outcome in [admin.publish(&unwanted.kid).await, admin.activate(&unwanted.kid, None, true).await] {
        let refusal = outcome.unwrap_err();
        assert!(
            matches!(&refusal, AdminError::FailedPrecondition(text) if text.contains("is retired")),
            "{refusal}"
        );
    }
    assert!(matches!(admin.retire("none").await, Err(AdminError::NotFound(_))));
    for outcome in [admin.prepare(SigningAlgorithm::HS256).await, admin.rotate(SigningAlgorithm::HS256).await]
    {
        assert!(matches!(outcome, Err(AdminError::InvalidArgument(_))));
    }
}

#[tokio::test]
async fn a_key_that_is_activated_at_once_is_so_on_a_clock_behind() {
    let (store, master) = (Arc::default(), master());
    let [one, behind] = [(); 2].map(|()| Replica::on(&store, &master, TIMING));
    one.admin.ensure(&[ALG]).await.unwrap();
    let key = one.admin.prepare(ALG).await.unwrap();
    behind.clock.set(START - 9);
    one.admin.activate(&key.kid, after(0), true).await.unwrap();
    behind.keys.reload(&*store, behind.clock.now()).await.unwrap();
    assert_eq!((one.signs(), behind.signs()), (Some(key.kid.clone()), Some(key.kid)));
}

#[tokio::test]
async fn a_rotation_that_is_decided_is_left_as_it_is() {
    let replica = Replica::new(TIMING);
    replica.admin.ensure(&[ALG]).await.unwrap();
    let spare = replica.admin.prepare(ALG).await.unwrap();
    let next = replica.admin.rotate(ALG).await.unwrap();
    assert_eq!((&next.kid, next.active_from), (&spare.kid, after(AHEAD)), "a spare key is used first");
    assert_eq!(replica.admin.rotate(ALG).await.unwrap(), next);
    assert_eq!(replica.store.records().len(), 2);
    replica.at(AHEAD);
    assert_eq!(replica.signs(), Some(spare.kid));
    assert_ne!(replica.admin.rotate(ALG).await.unwrap().kid, next.kid);
}

// F-11
#[tokio::test]
async fn a_compromised_key_ends_at_once_everywhere() {
    for has_published_key in [false, true] {
        let (store, master) = (Arc::default(), master());
        let [one, other] = [(); 2].map(|()| Replica::on(&store, &master, TIMING));
        one.admin.ensure(&[ALG]).await.unwrap();
        let old = one.signs().unwrap();
        let standby = if has_published_key { Some(one.admin.rotate(ALG).await.unwrap().kid) } else { None };
        other.clock.set(START - 9);
        one.at(20);

        let (revoked, successor) = one.admin.revoke(&old).await.unwrap();
        other.keys.reload(&*store, other.clock.now()).await.unwrap();
        assert_eq!((revoked.state, revoked.revoked_at), (KeyState::Revoked, after(20)));
        let successor = successor.unwrap().kid;
        assert!(standby.is_none_or(|standby| standby == successor), "verifiers know the published one");
        other.at(11);
        for replica in [&one, &other] {
            assert_eq!(replica.signs().as_ref(), Some(&successor));
            assert_eq!(replica.published(), std::slice::from_ref(&successor));
            assert!(replica.keys.current().verification_key(&old).is_none());
        }
        // The private half is gone, and resource servers are told, in the same write.
        assert!(store.records().iter().any(|key| key.kid == old && key.sealed.is_empty()));
        let told = store.revocations();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].revoked, Revoked::Key { kid: old.clone() });
        assert_eq!(Some(told[0].expires_at), after(20 + RETENTION));

        let (again, none) = one.admin.revoke(&old).await.unwrap();
        assert_eq!((again.revision, none), (revoked.revision, None));
        assert_eq!(store.revocations().len(), 1);
        let refusal = one.admin.activate(&old, None, true).await.unwrap_err();
        assert!(
            matches!(&refusal, AdminError::FailedPrecondition(text) if text.contains("revoked")),
            "{refusal}"
        );
        one.at(3000);
        assert_ne!(one.signs(), Some(old));
    }
}

#[tokio::test]
async fn a_key_that_does_not_sign_is_revoked_without_a_successor() {
    let replica = Replica::new(TIMING);
    replica.admin.ensure(&[ALG]).await.unwrap();
    let signer = replica.signs();
    let next = replica.admin.rotate(ALG).await.unwrap();
    assert_eq!(replica.admin.revoke(&next.kid).await.unwrap().1, None);
    replica.at(AHEAD);
    assert_eq!(replica.signs(), signer, "it never takes over");
    replica.admin.tick().await.unwrap();
    assert_eq!(replica.admin.rotate(ALG).await.unwrap().generation, 3);
}

// F-12: whoever stops, and wherever
#[tokio::test]
async fn a_process_that_stops_anywhere_leaves_nothing_half_done() {
    for polls in 0..12 {
        let (store, master) = (Arc::default(), master());
        let [stops, goes_on] = [(); 2].map(|()| Replica::on(&store, &master, TIMING));
        goes_on.admin.ensure(&[ALG]).await.unwrap();
        let (old, next) = (goes_on.signs().unwrap(), goes_on.admin.rotate(ALG).await.unwrap());
        tokio::select! {
            biased;
            _ = stops.admin.revoke(&old) => {}
            () = async { for _ in 0..polls { tokio::task::yield_now().await } } => {}
        }
        goes_on.keys.reload(&*store, goes_on.clock.now()).await.unwrap();
        let revoked = store.revocations().len();
        assert_eq!(
            goes_on.signs(),
            Some(if revoked == 0 { old.clone() } else { next.kid.clone() }),
            "{polls}"
        );
        assert_eq!(goes_on.published().contains(&old), revoked == 0);
        goes_on.admin.revoke(&old).await.unwrap();
        assert_eq!(goes_on.signs(), Some(next.kid));
        assert_eq!(store.revocations().len(), 1);
    }
}

#[tokio::test]
async fn an_unanswered_write_is_reported_and_can_be_repeated() {
    let replica = Replica::new(TIMING);
    replica.store.lose_answers(1);
    assert!(matches!(replica.admin.ensure(&[ALG]).await, Err(AdminError::Unavailable { .. })));
    assert_eq!(replica.admin.ensure(&[ALG]).await.unwrap(), [], "it had taken place");
    assert_eq!(replica.store.records().len(), 1);
}

#[tokio::test]
async fn a_configured_key_is_never_rotated() {
    let (store, master) = (Arc::<MemoryStore>::default(), master());
    let configured = SigningKey::generate(ALG).unwrap();
    let keys = Arc::new(Keys::new(vec![configured], Arc::clone(&master), TIMING).unwrap());
    let admin = SigningKeyAdmin::new(Dependencies {
        store: Arc::clone(&store) as Arc<dyn KeyStore>,
        master,
        clock: Arc::new(TestClock::at(START)),
        random: Arc::new(SystemRandom),
        keys,
    });
    assert_eq!(admin.ensure(&[ALG]).await.unwrap(), []);
    assert_eq!(admin.tick().await.unwrap(), []);
    assert!(matches!(admin.rotate(ALG).await, Err(AdminError::FailedPrecondition(_))));
    assert_eq!(store.records(), []);
}

#[tokio::test]
async fn everything_is_sealed_anew_under_another_master_key() {
    let old = MasterKeys::generate(&SystemRandom).unwrap();
    let new = MasterKeys::generate(&SystemRandom).unwrap();
    let parse = |text: String| Arc::new(MasterKeys::parse(&crate::secret::Secret::new(text)).unwrap());
    let store = Arc::<MemoryStore>::default();
    let before = Replica::on(&store, &parse(old.expose().clone()), TIMING);
    before.admin.ensure(&[ALG, SigningAlgorithm::ES256]).await.unwrap();
    let value = before.admin.master.seal(&value_context("pepper"), b"value", &SystemRandom).unwrap();
    store.keep_sealed_value("pepper", &value).await.unwrap();

    let only_new = parse(new.expose().clone());
    let stranger = Replica::on(&store, &only_new, TIMING);
    assert!(matches!(stranger.admin.reseal().await, Err(AdminError::FailedPrecondition(_))));
    let both = Replica::on(&store, &parse(format!("{} {}", new.expose(), old.expose())), TIMING);
    assert_eq!(both.admin.reseal().await.unwrap(), 3);
    assert_eq!(both.admin.reseal().await.unwrap(), 0);
    assert_eq!(stranger.keys.reload(&*store, stranger.clock.now()).await.unwrap(), []);
    assert_eq!(stranger.signs(), before.signs());
    let value = store.sealed_value("pepper").await.unwrap().unwrap();
    assert_eq!(only_new.open(&value_context("pepper"), &value).unwrap().expose(), b"value");
}
