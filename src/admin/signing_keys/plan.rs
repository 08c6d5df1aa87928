//! What to write to the keys, worked out from what was read, without writing anything.
//!
//! A key that has to sign at once is given an instant a little in the past, by the skew that clocks may have: a replica
//! whose clock is behind would otherwise refuse the old key and not use the new one yet.

use std::{fmt, time::Duration};

use super::KeyStatus;
use crate::{
    admin::error::AdminError,
    clock::Timestamp,
    jose::{KeyLife, KeyState, KeyTiming, SigningAlgorithm},
    oauth::{
        keys::instants,
        store::{KeyRecord, NewRevocation, Revoked},
    },
};

/// How much longer a private half is kept than anybody needs it, in case the clock of the replica that would destroy it is
/// wrong by up to a day.
const DESTRUCTION_DELAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The keys as they were read.
pub(super) struct View {
    records: Vec<KeyRecord>,
    lives: Vec<KeyLife>,
    timing: KeyTiming,
    now: Timestamp,
}

/// One write.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) add: Vec<NewKey>,
    pub(super) update: Vec<KeyRecord>,
    pub(super) remove: Vec<String>,
    pub(super) revoke: Vec<NewRevocation>,
    /// What it does, for the log; new keys are told of by [`step_of_new`].
    pub(super) steps: Vec<KeyStep>,
    /// The keys the answer is about, before those that are added.
    pub(super) about: Vec<String>,
}

/// A key that is to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewKey {
    pub(super) alg: SigningAlgorithm,
    pub(super) generation: u64,
    pub(super) publish_at: Option<Timestamp>,
    pub(super) activate_at: Option<Timestamp>,
}

/// Something that was done to a key, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyStep {
    /// A key was made; it signs from then on, if that is decided.
    Made {
        /// What it signs with.
        alg: SigningAlgorithm,
        /// Which.
        kid: String,
        /// From when it signs.
        active_from: Option<Timestamp>,
    },
    /// It was decided when a key signs.
    Scheduled {
        /// What it signs with.
        alg: SigningAlgorithm,
        /// Which.
        kid: String,
        /// From when it signs.
        active_from: Timestamp,
    },
    /// A private half was destroyed.
    Destroyed {
        /// What it signed with.
        alg: SigningAlgorithm,
        /// Which.
        kid: String,
    },
    /// A key that was destroyed long ago was forgotten.
    Forgotten {
        /// What it signed with.
        alg: SigningAlgorithm,
        /// Which.
        kid: String,
    },
}

impl fmt::Display for KeyStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Made { alg, kid, active_from: None } => write!(f, "{alg} key {kid} is prepared"),
            Self::Made { alg, kid, active_from: Some(at) } => {
                write!(f, "{alg} key {kid} is new and signs from {}", at.seconds())
            }
            Self::Scheduled { alg, kid, active_from } => {
                write!(f, "{alg} key {kid} signs from {}", active_from.seconds())
            }
            Self::Destroyed { alg, kid } => write!(f, "{alg} key {kid} is destroyed"),
            Self::Forgotten { alg, kid } => write!(f, "{alg} key {kid} is forgotten"),
        }
    }
}

pub(super) fn step_of_new(key: &KeyRecord) -> KeyStep {
    KeyStep::Made { alg: key.alg, kid: key.kid.clone(), active_from: key.activate_at }
}

pub(super) fn not_found(kid: &str) -> AdminError {
    AdminError::NotFound(format!("there is no signing key {kid:?}; list the keys to see which there are"))
}

impl Plan {
    pub(super) fn changes_nothing(&self) -> bool {
        self.add.is_empty() && self.update.is_empty() && self.remove.is_empty() && self.revoke.is_empty()
    }

    /// The answer is about a key that is left as it is.
    fn leave(record: &KeyRecord) -> Self {
        Self { about: vec![record.kid.clone()], ..Self::default() }
    }

    fn change(&mut self, record: &KeyRecord, change: impl FnOnce(&mut KeyRecord)) {
        let mut changed = record.clone();
        change(&mut changed);
        changed.revision += 1;
        self.update.push(changed);
    }

    fn schedule(&mut self, record: &KeyRecord, publish_at: Timestamp, activate_at: Timestamp) {
        self.change(record, |key| {
            key.publish_at = Some(publish_at);
            key.activate_at = Some(activate_at);
        });
        let (alg, kid) = (record.alg, record.kid.clone());
        self.about.push(kid.clone());
        self.steps.push(KeyStep::Scheduled { alg, kid, active_from: activate_at });
    }
}

impl View {
    pub(super) fn new(mut records: Vec<KeyRecord>, timing: KeyTiming, now: Timestamp) -> Self {
        records.sort_by_key(|record| (record.alg, record.generation));
        let of_one_alg = records.chunk_by(|one, other| one.alg == other.alg);
        let lives = of_one_alg.flat_map(|records| {
            let instants: Vec<_> = records.iter().map(instants).collect();
            KeyLife::of_algorithm(&instants, &timing)
        });
        Self { lives: lives.collect(), records, timing, now }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn statuses(&self) -> Vec<KeyStatus> {
        let keys = self.records.iter().zip(&self.lives);
        keys.map(|(record, life)| KeyStatus::new(record, life, self.now)).collect()
    }

    /// The records as they are once a plan is carried out.
    pub(super) fn after(&self, add: &[KeyRecord], update: &[KeyRecord], remove: &[String]) -> Vec<KeyRecord> {
        let kept = self.records.iter().filter(|record| !remove.contains(&record.kid));
        kept.map(|record| update.iter().find(|changed| changed.kid == record.kid).unwrap_or(record))
            .chain(add)
            .cloned()
            .collect()
    }

    pub(super) fn ensure(&self, algorithms: &[SigningAlgorithm]) -> Plan {
        let mut plan = Plan::default();
        for alg in algorithms.iter().filter(|alg| self.active(**alg).is_none()) {
            self.take_over_at_once(*alg, &mut plan);
        }
        plan
    }

    pub(super) fn due(&self, is_managed: impl Fn(SigningAlgorithm) -> bool) -> Plan {
        let mut plan = Plan::default();
        for alg in SigningAlgorithm::ALL.into_iter().filter(|alg| is_managed(*alg)) {
            self.rotate_when_due(alg, &mut plan);
        }
        for (record, life) in self.all() {
            let (alg, kid) = (record.alg, record.kid.clone());
            let is_past = |at: Option<Timestamp>, by| at.is_some_and(|at| at + by <= self.now);
            if !record.sealed.is_empty() && is_past(life.destroyed_from(), DESTRUCTION_DELAY) {
                plan.change(record, |key| {
                    key.sealed.clear();
                    key.destroyed_at = Some(self.now);
                });
                plan.steps.push(KeyStep::Destroyed { alg, kid });
            } else if is_past(record.destroyed_at, self.timing.retention()) && self.is_forgettable(record) {
                plan.remove.push(record.kid.clone());
                plan.steps.push(KeyStep::Forgotten { alg, kid });
            }
        }
        plan
    }

    pub(super) fn prepare(&self, alg: SigningAlgorithm) -> Result<Plan, AdminError> {
        let new = NewKey {
            alg: asymmetric(alg)?,
            generation: self.next_generation(alg),
            publish_at: None,
            activate_at: None,
        };
        Ok(Plan { add: vec![new], ..Plan::default() })
    }

    pub(super) fn publish(&self, kid: &str) -> Result<Plan, AdminError> {
        let (record, life) = self.find(kid)?;
        match life.state(self.now) {
            KeyState::Published | KeyState::Active => Ok(Plan::leave(record)),
            KeyState::Prepared => {
                let mut plan = Plan::leave(record);
                plan.change(record, |key| key.publish_at = Some(self.now));
                Ok(plan)
            }
            state => Err(is_over(kid, state)),
        }
    }

    pub(super) fn activate(&self, kid: &str, at: Option<Timestamp>, force: bool) -> Result<Plan, AdminError> {
        let (record, life) = self.find(kid)?;
        let at = at.map(|at| Timestamp::from_seconds(at.seconds()));
        match life.state(self.now) {
            KeyState::Active if at.is_none_or(|at| at <= self.now) => return Ok(Plan::leave(record)),
            KeyState::Active => {
                return Err(AdminError::FailedPrecondition(format!("the key {kid} signs already")));
            }
            KeyState::Prepared | KeyState::Published => {}
            state => return Err(is_over(kid, state)),
        }
        let safe = self.known_to_all(life);
        if let Some(at) = at.filter(|at| *at < safe && !force) {
            return Err(AdminError::FailedPrecondition(format!(
                "a verifier may not know the key {kid} at {}; every verifier does at {}, {} s from now: leave the time out, \
                 choose a later one, or force it if tokens may be refused meanwhile",
                at.seconds(),
                safe.seconds(),
                safe.since(self.now).as_secs()
            )));
        }
        let activate_at = match at {
            Some(at) if at <= self.now => self.at_once(record.alg),
            Some(at) => at,
            None => safe,
        };
        let mut plan = Plan::default();
        plan.schedule(record, self.published(life).min(activate_at), activate_at);
        Ok(plan)
    }

    pub(super) fn retire(&self, kid: &str) -> Result<Plan, AdminError> {
        let (record, life) = self.find(kid)?;
        let mut plan = Plan::leave(record);
        match life.state(self.now) {
            KeyState::Active => {
                return Err(AdminError::FailedPrecondition(format!(
                    "the key {kid} signs now; rotate {} so that another takes over, or revoke the key if it is compromised",
                    record.alg
                )));
            }
            KeyState::Prepared | KeyState::Published => {
                plan.change(record, |key| key.retired_at = Some(self.now));
            }
            KeyState::Retired | KeyState::Destroyed | KeyState::Revoked => {}
        }
        Ok(plan)
    }

    pub(super) fn rotate(&self, alg: SigningAlgorithm) -> Result<Plan, AdminError> {
        let alg = asymmetric(alg)?;
        let mut plan = Plan::default();
        if self.active(alg).is_none() {
            self.take_over_at_once(alg, &mut plan);
        } else if let Some((scheduled, _)) = self.upcoming(alg).find(|(_, life)| life.active_from().is_some())
        {
            plan = Plan::leave(scheduled);
        } else {
            self.take_over_at(alg, self.now, &mut plan);
        }
        Ok(plan)
    }

    pub(super) fn revoke(&self, kid: &str) -> Result<Plan, AdminError> {
        let (record, life) = self.find(kid)?;
        let mut plan = Plan::leave(record);
        let state = life.state(self.now);
        if state == KeyState::Revoked {
            return Ok(plan);
        }
        plan.change(record, |key| {
            key.sealed.clear();
            key.revoked_at = Some(self.now);
            key.retired_at = key.retired_at.or(Some(self.now));
            key.destroyed_at = key.destroyed_at.or(Some(self.now));
        });
        plan.revoke.push(NewRevocation {
            revoked: Revoked::Key { kid: kid.to_owned() },
            revoked_at: self.now,
            expires_at: self.now + self.timing.retention(),
        });
        if state == KeyState::Active {
            self.take_over_at_once(record.alg, &mut plan);
        }
        Ok(plan)
    }

    /// The next key is decided on early enough to be known when it has to sign.
    fn rotate_when_due(&self, alg: SigningAlgorithm, plan: &mut Plan) {
        let was_used = self.of(alg).any(|(record, _)| record.activate_at.is_some());
        if was_used && self.active(alg).is_none() {
            return self.take_over_at_once(alg, plan);
        }
        let last =
            self.upcoming(alg).chain(self.active(alg)).filter_map(|(_, life)| life.active_from()).max();
        let Some(due_at) = last.map(|at| at + self.timing.rotation_period) else { return };
        if due_at <= self.now + self.timing.publish_ahead() {
            self.take_over_at(alg, due_at, plan);
        }
    }

    /// The next key signs from an instant on, or when every verifier knows it, whichever is later. A spare key is used first.
    fn take_over_at(&self, alg: SigningAlgorithm, at: Timestamp, plan: &mut Plan) {
        match self.upcoming(alg).find(|(record, _)| record.activate_at.is_none()) {
            Some((spare, life)) => {
                plan.schedule(spare, self.published(life), self.known_to_all(life).max(at));
            }
            None => {
                let known = self.now + self.timing.publish_ahead();
                self.add(alg, self.now, known.max(at), plan);
            }
        }
    }

    /// The next key signs now: the one that verifiers know best, else a new one.
    fn take_over_at_once(&self, alg: SigningAlgorithm, plan: &mut Plan) {
        let at = self.at_once(alg);
        match self.upcoming(alg).next() {
            Some((next, life)) => plan.schedule(next, self.published(life).min(at), at),
            None => self.add(alg, at, at, plan),
        }
    }

    fn add(&self, alg: SigningAlgorithm, publish_at: Timestamp, activate_at: Timestamp, plan: &mut Plan) {
        let (publish_at, activate_at) = (Some(publish_at), Some(activate_at));
        plan.add.push(NewKey { alg, generation: self.next_generation(alg), publish_at, activate_at });
    }

    /// The past instant that stands for "now" (see the module), and not before another key of the algorithm took over.
    fn at_once(&self, alg: SigningAlgorithm) -> Timestamp {
        let skewed =
            Timestamp::from_seconds(self.now.since(Timestamp::from_epoch(self.timing.skew)).as_secs());
        let begun = self.of(alg).filter_map(|(record, _)| record.activate_at).filter(|at| *at <= self.now);
        begun.fold(skewed, Timestamp::max)
    }

    /// Since when the key is published; from now on when it is not.
    fn published(&self, life: &KeyLife) -> Timestamp {
        life.published_from().map_or(self.now, |at| at.min(self.now))
    }

    /// From when every verifier knows the key, now at the earliest.
    fn known_to_all(&self, life: &KeyLife) -> Timestamp {
        (self.published(life) + self.timing.publish_ahead()).max(self.now)
    }

    /// Keys that have yet to sign, those first that are published and that sign soonest.
    fn upcoming(&self, alg: SigningAlgorithm) -> impl Iterator<Item = (&KeyRecord, &KeyLife)> {
        let is_upcoming = |life: &KeyLife| {
            matches!(life.state(self.now), KeyState::Prepared | KeyState::Published)
                && life.retired_from().is_none_or(|at| life.active_from().is_some_and(|active| active < at))
        };
        let mut keys: Vec<_> = self.of(alg).filter(|(_, life)| is_upcoming(life)).collect();
        keys.sort_by_key(|(record, life)| {
            let is_unscheduled = life.active_from().is_none();
            (
                life.state(self.now) == KeyState::Prepared,
                is_unscheduled,
                life.active_from(),
                record.generation,
            )
        });
        keys.into_iter()
    }

    fn active(&self, alg: SigningAlgorithm) -> Option<(&KeyRecord, &KeyLife)> {
        self.of(alg).find(|(_, life)| life.state(self.now) == KeyState::Active)
    }

    /// Forgetting a key must neither let the one before it sign again nor its generation be used again.
    fn is_forgettable(&self, record: &KeyRecord) -> bool {
        let others = || self.of(record.alg).map(|(other, _)| other);
        others().any(|other| other.generation > record.generation)
            && others()
                .filter(|other| {
                    (other.activate_at, other.generation) < (record.activate_at, record.generation)
                })
                .all(|other| other.destroyed_at.is_some())
    }

    fn next_generation(&self, alg: SigningAlgorithm) -> u64 {
        self.of(alg).map(|(record, _)| record.generation).max().unwrap_or(0) + 1
    }

    fn find(&self, kid: &str) -> Result<(&KeyRecord, &KeyLife), AdminError> {
        self.all().find(|(record, _)| record.kid == kid).ok_or_else(|| not_found(kid))
    }

    fn of(&self, alg: SigningAlgorithm) -> impl Iterator<Item = (&KeyRecord, &KeyLife)> {
        self.all().filter(move |(record, _)| record.alg == alg)
    }

    fn all(&self) -> impl Iterator<Item = (&KeyRecord, &KeyLife)> {
        self.records.iter().zip(&self.lives)
    }
}

fn asymmetric(alg: SigningAlgorithm) -> Result<SigningAlgorithm, AdminError> {
    if alg.is_symmetric() {
        return Err(AdminError::invalid("alg", format!("{alg} signs with JWT_SECRET; change that instead")));
    }
    Ok(alg)
}

fn is_over(kid: &str, state: KeyState) -> AdminError {
    let state = match state {
        KeyState::Revoked => "revoked",
        KeyState::Destroyed => "destroyed",
        _ => "retired",
    };
    AdminError::FailedPrecondition(format!(
        "the key {kid} is {state} and cannot be used again; prepare another"
    ))
}
