use std::collections::HashSet;

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Up,
    Down,
    /// It claims, and never says so.
    Silent,
}

#[derive(Debug)]
struct Fake {
    mode: Mutex<Mode>,
    claimed: Mutex<HashSet<ReplayKey>>,
    asked: AtomicU64,
}

impl Fake {
    fn new() -> Arc<Self> {
        Arc::new(Self { mode: Mutex::new(Mode::Up), claimed: Mutex::default(), asked: AtomicU64::default() })
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }
}

#[async_trait::async_trait]
impl ReplayStore for Fake {
    async fn claim(&self, key: &ReplayKey, _: Timestamp, _: Timestamp) -> Result<bool, StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mode = *self.mode.lock().unwrap();
        if mode == Mode::Down {
            return Err(StoreError::Unavailable("down".to_owned()));
        }
        let first = self.claimed.lock().unwrap().insert(*key);
        if mode == Mode::Silent {
            std::future::pending::<()>().await;
        }
        Ok(first)
    }

    async fn purge_replays(&self, _: Timestamp) -> Result<u64, StoreError> {
        unreachable!()
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

const UNAVAILABLE: Result<(), ReplayError> = Err(ReplayError::Unavailable { retry_after: RETRY });

fn guard(store: &Arc<Fake>, mode: Replay) -> ReplayGuard {
    let store: Arc<dyn ReplayStore> = Arc::<Fake>::clone(store);
    ReplayGuard::with_capacity(Some(store), mode, 4)
}

async fn claim(guard: &ReplayGuard, jti: &str, until: u64) -> Result<(), ReplayError> {
    guard.claim(Namespace::DpopProof, &["key", jti], at(until), at(1000)).await
}

// V-44
#[tokio::test]
async fn namespaces_and_lists_of_parts_do_not_meet() {
    let store = Fake::new();
    let guard = guard(&store, Replay::Strict);
    for namespace in [Namespace::ClientAssertion, Namespace::FederatedAssertion, Namespace::DpopProof] {
        for parts in [&["c", "j"][..], &["cj"], &["", "cj"], &["cj", ""], &["j", "c"], &["c", "j", ""]] {
            assert_eq!(guard.claim(namespace, parts, at(1060), at(1000)).await, Ok(()), "{parts:?}");
            assert_eq!(
                guard.claim(namespace, parts, at(1060), at(1000)).await,
                Err(ReplayError::Seen),
                "{parts:?}"
            );
        }
    }
}

// V-16
#[tokio::test]
async fn an_immediate_replay_costs_the_store_nothing_and_a_full_memory_changes_nothing() {
    let store = Fake::new();
    let guard = guard(&store, Replay::Strict);
    for n in 0..10 {
        assert_eq!(claim(&guard, &n.to_string(), 1060).await, Ok(()));
        assert_eq!(claim(&guard, &n.to_string(), 1060).await, Err(ReplayError::Seen));
    }
    // The memory holds 4 of them; for the others the store was asked again.
    assert_eq!(store.asked.load(Ordering::Relaxed), 16);
    let ReplayFigures { accepted, seen, remembered, .. } = guard.figures();
    assert_eq!((accepted, seen, remembered), (10, 10, 4));
}

// V-16: the store answers whoever was second before it answers the first
#[tokio::test]
async fn who_was_first_is_accepted_whenever_it_hears_of_it() {
    #[derive(Debug, Default)]
    struct Late {
        asked: AtomicU64,
        second_was_told: tokio::sync::Notify,
    }

    #[async_trait::async_trait]
    impl ReplayStore for Late {
        async fn claim(&self, _: &ReplayKey, _: Timestamp, _: Timestamp) -> Result<bool, StoreError> {
            let first = self.asked.fetch_add(1, Ordering::Relaxed) == 0;
            if first {
                self.second_was_told.notified().await;
            }
            Ok(first)
        }

        async fn purge_replays(&self, _: Timestamp) -> Result<u64, StoreError> {
            unreachable!()
        }
    }

    for mode in [Replay::Strict, Replay::Local] {
        let late = Arc::<Late>::default();
        let store: Arc<dyn ReplayStore> = Arc::<Late>::clone(&late);
        let guard = ReplayGuard::new(Some(store), mode);
        let second = async {
            let refused = claim(&guard, "a", 1060).await;
            late.second_was_told.notify_one();
            refused
        };
        let (first, second) = tokio::join!(biased; claim(&guard, "a", 1060), second);
        assert_eq!((first, second), (Ok(()), Err(ReplayError::Seen)), "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn strict_refuses_while_the_store_is_away() {
    let store = Fake::new();
    let guard = guard(&store, Replay::Strict);
    store.set(Mode::Down);
    assert_eq!(claim(&guard, "a", 1060).await, UNAVAILABLE);
    store.set(Mode::Silent);
    assert_eq!(claim(&guard, "b", 1060).await, UNAVAILABLE);
    store.set(Mode::Up);
    assert_eq!(claim(&guard, "a", 1060).await, Ok(()));
    // Whether it was claimed was not known; it was.
    assert_eq!(claim(&guard, "b", 1060).await, Err(ReplayError::Seen));
    assert_eq!(guard.figures().unavailable, 2);
}

#[tokio::test(start_paused = true)]
async fn local_goes_on_with_what_is_short_lived() {
    let store = Fake::new();
    let guard = guard(&store, Replay::Local);
    assert_eq!(claim(&guard, "before", 1300).await, Ok(()));
    for mode in [Mode::Down, Mode::Silent] {
        store.set(mode);
        let jti = format!("{mode:?}");
        assert_eq!(claim(&guard, "before", 1300).await, Err(ReplayError::Seen));
        assert_eq!(claim(&guard, "long", 1081).await, Err(ReplayError::TooLong));
        assert_eq!(claim(&guard, &jti, 1080).await, Ok(()));
        assert_eq!(claim(&guard, &jti, 1080).await, Err(ReplayError::Seen));
        store.set(Mode::Up);
        assert_eq!(claim(&guard, &jti, 1080).await, Err(ReplayError::Seen));
    }
    assert_eq!(guard.figures().accepted_locally, 2);
}

// V-17: nothing that may be presented again is forgotten to make room.
#[tokio::test]
async fn local_refuses_what_it_cannot_remember() {
    let store = Fake::new();
    let guard = guard(&store, Replay::Local);
    for n in 0..5 {
        assert_eq!(claim(&guard, &n.to_string(), 1070).await, Ok(()));
    }
    store.set(Mode::Down);
    // The fifth found no room, and nobody knows here that it was used.
    for jti in ["0", "4", "new"] {
        let expected = if jti == "0" { Err(ReplayError::Seen) } else { UNAVAILABLE };
        assert_eq!(claim(&guard, jti, 1070).await, expected, "{jti}");
    }
    let later =
        async |jti: &str, now| guard.claim(Namespace::DpopProof, &["key", jti], at(now + 70), at(now)).await;
    assert_eq!(later("new", 1072).await, Ok(()));
    for n in 10..13 {
        assert_eq!(later(&n.to_string(), 1072).await, Ok(()));
    }
    assert_eq!(later("13", 1072).await, UNAVAILABLE);
    assert_eq!(later("10", 1072).await, Err(ReplayError::Seen));
}

#[tokio::test]
async fn without_a_store_the_memory_decides() {
    let guard = ReplayGuard::with_capacity(None, Replay::Strict, 4);
    for n in 0..4 {
        assert_eq!(claim(&guard, &n.to_string(), 1300).await, Ok(()));
        assert_eq!(claim(&guard, &n.to_string(), 1300).await, Err(ReplayError::Seen));
    }
    assert_eq!(claim(&guard, "4", 1300).await, UNAVAILABLE);
}
