//! The settings of the store, of the master key and of key rotation, checked.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use super::{
    MasterKeySource, StoreSettings,
    check::{Checker, boolean, in_words, number, seconds},
    duration,
};
use crate::{sealing::MasterKeys, secret::Secret, store::Location};

const DAY: u64 = 24 * 60 * 60;
const ROTATION_PERIOD: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(3650 * DAY);
const MAX_STALENESS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(30 * DAY);
const MAX_REVOCATION_AGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60 * 60);
const POLL_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(60);
const CLIENT_CACHE: RangeInclusive<usize> = 100..=10_000_000;

impl Checker<'_> {
    pub(super) fn store(&mut self) -> StoreSettings {
        let location = self.value("database_url", |text| in_words(Location::parse(text)), Location::MEMORY);
        let path = |text: &str| Ok(Some(PathBuf::from(text)));
        let settings = StoreSettings {
            ca_file: self.value("database_ca_file", path, None),
            master_key: self.master_key(),
            max_staleness: self.value(
                "store.max_staleness",
                |text| seconds(text, &MAX_STALENESS),
                *MAX_STALENESS.end(),
            ),
            max_revocation_age: self.value(
                "store.max_revocation_age",
                |text| seconds(text, &MAX_REVOCATION_AGE),
                *MAX_REVOCATION_AGE.end(),
            ),
            poll_interval: self.value("store.poll_interval", poll_interval, *POLL_INTERVAL.start()),
            notify: self.value("store.notify", boolean, true),
            snapshot_file: self.value("store.snapshot_file", path, None),
            client_cache: self.value(
                "store.client_cache",
                |text| number(text, CLIENT_CACHE),
                *CLIENT_CACHE.start(),
            ),
            location,
        };
        self.check_together(&settings);
        settings
    }

    fn check_together(&mut self, settings: &StoreSettings) {
        // A key that is made on one replica is of no use to the next.
        if !settings.location.is_sqlite() && settings.master_key.is_none() {
            let is_refused = ["master_key", "master_key_file"].iter().any(|key| self.raw.get(key).is_some());
            if !is_refused {
                self.report(
                    "database_url",
                    "PostgreSQL needs a master key that all replicas share; set MINTAGE_MASTER_KEY_FILE to a file with \
                     the output of `openssl rand -base64 32`",
                );
            }
        }
        // One poll that is lost must not stop introspection.
        if settings.max_revocation_age < settings.poll_interval * 2 {
            let text = format!(
                "must be at least twice store.poll_interval, {}; change one of the two",
                duration::format(settings.poll_interval)
            );
            self.report("store.max_revocation_age", text);
        }
    }

    fn master_key(&mut self) -> Option<MasterKeySource> {
        let parse = |text: &str| {
            let text = Secret::from(text);
            in_words(MasterKeys::parse(&text)).map(|_| Some(MasterKeySource::Given(text)))
        };
        let given = self.value("master_key", parse, None);
        let file = self.file("master_key_file").map(MasterKeySource::File);
        if file.is_some() && self.raw.get("master_key").is_some() {
            self.report("master_key_file", "is set beside master_key; set one of the two");
        }
        given.or(file)
    }

    /// A key is published before it signs, for long enough that whoever cached the key set has seen it.
    pub(super) fn key_rotation_period(&mut self, jwks_max_age: Duration) -> Duration {
        let period = self.value(
            "keys.rotation_period",
            |text| seconds(text, &ROTATION_PERIOD),
            *ROTATION_PERIOD.end(),
        );
        if period < jwks_max_age * 4 {
            let text = format!(
                "must be at least four times keys.jwks_max_age, {}; change one of the two",
                duration::format(jwks_max_age)
            );
            self.report("keys.rotation_period", text);
        }
        period
    }
}

fn poll_interval(text: &str) -> Result<Duration, String> {
    let value = in_words(duration::parse(text))?;
    let (shortest, longest) =
        (duration::format(*POLL_INTERVAL.start()), duration::format(*POLL_INTERVAL.end()));
    if POLL_INTERVAL.contains(&value) { Ok(value) } else { Err(format!("must be {shortest} to {longest}")) }
}
