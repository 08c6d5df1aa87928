//! The life of a signing key as a function of time: prepared, published, active, retired, destroyed.
//!
//! What a key is used for follows from instants that are written down beforehand, never from a write at the moment itself.
//! Replicas that hold the same instants therefore agree without talking to each other, and one that stops between two
//! steps leaves nothing half done.
//!
//! Three rules carry it. Of one algorithm, the key that was activated last signs. It was in the key set for
//! [`KeyTiming::publish_ahead`] before it signs, so that a verifier with a cached set knows it. It stays in the key set for
//! [`KeyTiming::retention`] after it signed last, so that every token verifies until it expires.

use std::time::Duration;

use crate::clock::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the steps of a key's life last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTiming {
    /// How long a verifier may cache the key set.
    pub jwks_max_age: Duration,
    /// The longest lifetime of any token.
    pub max_lifetime: Duration,
    /// How long a replica may go on with keys it read last, while the store cannot be reached.
    pub max_staleness: Duration,
    /// How far the clocks of two machines may be apart.
    pub skew: Duration,
    /// How long a key signs before the next one takes over.
    pub rotation_period: Duration,
}

impl Default for KeyTiming {
    fn default() -> Self {
        Self {
            jwks_max_age: Duration::from_secs(300),
            max_lifetime: DAY,
            max_staleness: DAY,
            skew: Duration::from_secs(10),
            rotation_period: 90 * DAY,
        }
    }
}

impl KeyTiming {
    /// How long a key is in the key set before it signs. Twice the cache time, because a proxy may cache the set too; a day
    /// when keys last long enough, for replicas and verifiers that miss an update.
    pub fn publish_ahead(&self) -> Duration {
        let cached = self.jwks_max_age.saturating_mul(2).saturating_add(self.skew);
        cached.max(DAY.min(self.rotation_period / 4))
    }

    /// How long a key stays in the key set after it was retired. A replica that could not read of the retirement signs with
    /// it for `max_staleness` more, and the last token lives for `max_lifetime`.
    pub fn retention(&self) -> Duration {
        self.max_lifetime.saturating_add(self.max_staleness).saturating_add(self.skew)
    }
}

/// What a key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// It exists; nobody else knows it.
    Prepared,
    /// It is in the key set and does not sign yet.
    Published,
    /// It signs. At most one key of an algorithm does.
    Active,
    /// It signs no more; what it signed is still accepted, and it is in the key set.
    Retired,
    /// Nothing it signed can still be valid. Its private half is destroyed, or about to be.
    Destroyed,
    /// Nothing it signed is accepted any more.
    Revoked,
}

/// The instants that decide over one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyInstants {
    /// Decides between keys that are activated at one instant: the greater one signs.
    pub generation: u64,
    /// From when it is in the key set.
    pub publish_at: Option<Timestamp>,
    /// From when it signs, until a later one does.
    pub activate_at: Option<Timestamp>,
    /// From when it does not sign whatever else is.
    pub retired_at: Option<Timestamp>,
    /// When it stopped being trusted. It counts at once, even for a clock that has not got there.
    pub revoked_at: Option<Timestamp>,
    /// When its private half was destroyed.
    pub destroyed_at: Option<Timestamp>,
}

impl KeyInstants {
    /// When it was stopped from signing other than by the next key.
    fn stopped_at(&self) -> Option<Timestamp> {
        [self.retired_at, self.revoked_at, self.destroyed_at].into_iter().flatten().min()
    }

    /// When it begins to sign, and its place among keys that begin together; none when it was stopped before.
    fn takes_office(&self) -> Option<(Timestamp, u64)> {
        let at = self.activate_at?;
        self.stopped_at().is_none_or(|stopped| at < stopped).then_some((at, self.generation))
    }
}

/// The steps of one key, worked out from its own instants and those of the other keys of its algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLife {
    published_from: Option<Timestamp>,
    active_from: Option<Timestamp>,
    retired_from: Option<Timestamp>,
    destroyed_from: Option<Timestamp>,
    revoked: bool,
}

impl KeyLife {
    /// The lives of all keys of one algorithm, in the order given. Keys that were destroyed or revoked belong to them: they
    /// too ended the time of the key before them, and a key whose time ended never signs again.
    pub fn of_algorithm(keys: &[KeyInstants], timing: &KeyTiming) -> Vec<Self> {
        let mut offices: Vec<_> = keys.iter().filter_map(KeyInstants::takes_office).collect();
        offices.sort_unstable();
        keys.iter()
            .map(|key| {
                let office = key.takes_office();
                let next = office.and_then(|own| offices.get(offices.partition_point(|other| *other <= own)));
                let superseded_at = next.map(|(at, _)| *at);
                let retired_from = [superseded_at, key.stopped_at()].into_iter().flatten().min();
                let unused_from = retired_from.map(|at| at + timing.retention());
                Self {
                    published_from: [key.publish_at, key.activate_at].into_iter().flatten().min(),
                    active_from: office.map(|(at, _)| at),
                    retired_from,
                    destroyed_from: [unused_from, key.destroyed_at].into_iter().flatten().min(),
                    revoked: key.revoked_at.is_some(),
                }
            })
            .collect()
    }

    /// What the key is used for at an instant.
    pub fn state(&self, now: Timestamp) -> KeyState {
        let reached = |step: Option<Timestamp>| step.is_some_and(|at| at <= now);
        if self.revoked {
            KeyState::Revoked
        } else if reached(self.destroyed_from) {
            KeyState::Destroyed
        } else if reached(self.retired_from) {
            KeyState::Retired
        } else if reached(self.active_from) {
            KeyState::Active
        } else if reached(self.published_from) {
            KeyState::Published
        } else {
            KeyState::Prepared
        }
    }

    /// Whether the key set has it.
    pub fn is_published(&self, now: Timestamp) -> bool {
        matches!(self.state(now), KeyState::Published | KeyState::Active | KeyState::Retired)
    }

    /// Whether what it signed is accepted. That begins as soon as its publication is decided: a replica whose clock is ahead
    /// may use it already, and no one else can.
    pub fn verifies(&self, now: Timestamp) -> bool {
        self.is_published(now) || (self.state(now) == KeyState::Prepared && self.published_from.is_some())
    }

    /// When the state changes next.
    pub fn next_transition(&self, now: Timestamp) -> Option<Timestamp> {
        if self.revoked {
            return None;
        }
        [self.published_from, self.active_from, self.retired_from, self.destroyed_from]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min()
    }

    /// When it entered the key set, or will.
    pub fn published_from(&self) -> Option<Timestamp> {
        self.published_from
    }

    /// When it began to sign, or will.
    pub fn active_from(&self) -> Option<Timestamp> {
        self.active_from
    }

    /// When it stopped signing, or will.
    pub fn retired_from(&self) -> Option<Timestamp> {
        self.retired_from
    }

    /// From when its private half is of no use.
    pub fn destroyed_from(&self) -> Option<Timestamp> {
        self.destroyed_from
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn key(generation: u64, publish_at: u64, activate_at: u64) -> KeyInstants {
        KeyInstants {
            generation,
            publish_at: Some(at(publish_at)),
            activate_at: Some(at(activate_at)),
            ..KeyInstants::default()
        }
    }

    /// Retention of 100 s.
    fn timing() -> KeyTiming {
        KeyTiming {
            jwks_max_age: Duration::from_secs(20),
            max_lifetime: Duration::from_secs(60),
            max_staleness: Duration::from_secs(30),
            skew: Duration::from_secs(10),
            rotation_period: Duration::from_secs(400),
        }
    }

    fn states(keys: &[KeyInstants], now: u64) -> Vec<KeyState> {
        KeyLife::of_algorithm(keys, &timing()).iter().map(|life| life.state(at(now))).collect()
    }

    #[test]
    fn publish_ahead_covers_two_caches_and_a_day() {
        assert_eq!(timing().publish_ahead(), Duration::from_secs(100), "a quarter of the period");
        assert_eq!(KeyTiming::default().publish_ahead(), DAY);
        let short = KeyTiming { rotation_period: Duration::from_secs(60), ..KeyTiming::default() };
        assert_eq!(short.publish_ahead(), Duration::from_secs(610));
        assert_eq!(timing().retention(), Duration::from_secs(100));
    }

    #[test]
    fn a_key_goes_through_every_state() {
        let keys = [key(1, 1000, 1000), key(2, 1100, 1200)];
        for (now, first, second) in [
            (999, KeyState::Prepared, KeyState::Prepared),
            (1000, KeyState::Active, KeyState::Prepared),
            (1099, KeyState::Active, KeyState::Prepared),
            (1100, KeyState::Active, KeyState::Published),
            (1199, KeyState::Active, KeyState::Published),
            (1200, KeyState::Retired, KeyState::Active),
            (1299, KeyState::Retired, KeyState::Active),
            (1300, KeyState::Destroyed, KeyState::Active),
        ] {
            assert_eq!(states(&keys, now), [first, second], "at {now}");
        }
        let prepared = KeyInstants { generation: 3, ..KeyInstants::default() };
        assert_eq!(states(&[prepared], u64::MAX), [KeyState::Prepared]);
    }

    #[test]
    fn a_key_whose_time_has_ended_never_signs_again() {
        let mut second = key(2, 1100, 1200);
        second.retired_at = Some(at(1250));
        assert_eq!(states(&[key(1, 1000, 1000), second], 1260), [KeyState::Retired, KeyState::Retired]);
        second.retired_at = None;
        second.revoked_at = Some(at(1250));
        assert_eq!(states(&[key(1, 1000, 1000), second], 1260), [KeyState::Retired, KeyState::Revoked]);
    }

    #[test]
    fn a_key_that_was_stopped_before_its_time_replaces_none() {
        for stop in [1100, 1200] {
            let mut second = key(2, 1100, 1200);
            second.retired_at = Some(at(stop));
            assert_eq!(states(&[key(1, 1000, 1000), second], 1250)[0], KeyState::Active, "{stop}");
            second.retired_at = None;
            second.revoked_at = Some(at(stop));
            assert_eq!(states(&[key(1, 1000, 1000), second], 1250)[0], KeyState::Active, "{stop}");
        }
    }

    #[test]
    fn a_revocation_counts_at_once_and_for_good() {
        let mut first = key(1, 1000, 1000);
        first.revoked_at = Some(at(1500));
        for now in [0, 1000, 1499, 1500, u64::MAX] {
            let life = KeyLife::of_algorithm(&[first], &timing())[0];
            assert_eq!(life.state(at(now)), KeyState::Revoked);
            assert!(!life.verifies(at(now)) && !life.is_published(at(now)));
            assert_eq!(life.next_transition(at(now)), None);
        }
    }

    #[test]
    fn of_two_keys_activated_at_once_the_later_generation_signs() {
        assert_eq!(states(&[key(2, 1000, 1000), key(1, 1000, 1000)], 1000)[0], KeyState::Active);
        assert_eq!(
            states(&[key(1, 1000, 1000), key(2, 1000, 1000)], 1000),
            [KeyState::Retired, KeyState::Active]
        );
    }

    fn any_key() -> impl Strategy<Value = KeyInstants> {
        let instant = || prop::option::of((0_u64..600).prop_map(at));
        (0_u64..5, [instant(), instant(), instant(), instant(), instant()]).prop_map(|(generation, steps)| {
            let [publish_at, activate_at, retired_at, revoked_at, destroyed_at] = steps;
            KeyInstants { generation, publish_at, activate_at, retired_at, revoked_at, destroyed_at }
        })
    }

    /// Keys of distinct generations, most of them on an ordinary course.
    fn any_keys() -> impl Strategy<Value = Vec<KeyInstants>> {
        let tame = any_key().prop_map(|key| KeyInstants {
            retired_at: None,
            revoked_at: None,
            destroyed_at: None,
            ..key
        });
        prop::collection::vec(prop_oneof![2 => tame, 1 => any_key()], 0..6).prop_map(|mut keys| {
            for (generation, key) in (1..).zip(&mut keys) {
                key.generation = generation;
            }
            keys
        })
    }

    proptest! {
        // Whatever the instants are.
        #[test]
        fn never_do_two_keys_sign(keys in any_keys(), now in 0_u64..900) {
            let active = states(&keys, now).iter().filter(|state| **state == KeyState::Active).count();
            prop_assert!(active <= 1);
        }

        #[test]
        fn states_only_go_forward(keys in any_keys()) {
            let order = |state| match state {
                KeyState::Prepared => 0,
                KeyState::Published => 1,
                KeyState::Active => 2,
                KeyState::Retired => 3,
                KeyState::Destroyed => 4,
                KeyState::Revoked => 5,
            };
            for life in KeyLife::of_algorithm(&keys, &timing()) {
                let mut last = 0;
                for now in 0..900 {
                    let state = order(life.state(at(now)));
                    prop_assert!(state >= last, "{life:?} at {now}");
                    last = state;
                }
            }
        }

        #[test]
        fn the_next_transition_is_no_later_than_the_next_change(keys in any_keys()) {
            for life in KeyLife::of_algorithm(&keys, &timing()) {
                for now in 0..900 {
                    if life.state(at(now)) != life.state(at(now + 1)) {
                        prop_assert_eq!(life.next_transition(at(now)), Some(at(now + 1)));
                    }
                }
            }
        }

        // I5
        #[test]
        fn what_a_key_signed_verifies_for_the_retention(keys in any_keys()) {
            let trusted = |key: &KeyInstants| key.revoked_at.is_none() && key.destroyed_at.is_none();
            for (key, life) in keys.iter().zip(KeyLife::of_algorithm(&keys, &timing())) {
                for signed in (0..600).filter(|now| trusted(key) && life.state(at(*now)) == KeyState::Active) {
                    prop_assert!(life.verifies(at(signed + 99)) && life.is_published(at(signed + 99)));
                }
            }
        }
    }
}
