//! The settings of the store, the master key and key rotation.

use mintage::config::MasterKeySource;

use super::*;

const MASTER_KEY: &str = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=";

#[test]
fn a_file_beside_the_server_is_the_default_and_memory_with_dev() {
    let config = config::load(&environment(&[("ISSUER_URL", "https://id.example")])).unwrap();
    let store = &config.store;
    assert_eq!(store.location.to_string(), "sqlite://mintage.db");
    assert!(store.ca_file.is_none() && store.master_key.is_none() && store.snapshot_file.is_none());
    assert!(store.notify && !config.registration);
    assert_eq!(store.max_staleness, Duration::from_secs(24 * 60 * 60));
    assert_eq!(store.max_revocation_age, Duration::from_secs(30));
    assert_eq!(store.poll_interval, Duration::from_millis(500));
    assert_eq!(store.client_cache, 100_000);
    assert_eq!(config.key_rotation_period, Duration::from_secs(90 * 24 * 60 * 60));

    let config = config::load(&dev(&[])).unwrap();
    assert!(config.store.location.is_private());
    assert_eq!(origin(&config, "database_url"), "--dev");
    let config = config::load(&dev(&[("MINTAGE_DATABASE_URL", "sqlite://other.db")])).unwrap();
    assert_eq!(config.store.location.to_string(), "sqlite://other.db");
}

#[test]
fn a_relative_database_starts_at_the_file() {
    for (written, end) in [("sqlite://m.db", "/m.db"), ("sqlite:///var/m.db", "sqlite:///var/m.db")] {
        let file = File::new(&format!("database_url = \"{written}\""));
        let config = file.load(environment(&[("ISSUER_URL", "https://id.example")])).unwrap();
        let location = config.store.location.to_string();
        assert!(location.starts_with("sqlite:///") && location.ends_with(end), "{location}");
    }
}

#[test]
fn everything_can_be_set() {
    let file = File::new(&format!(
        "issuer = \"https://id.example\"\ndatabase_url = \"postgres://u:{CANARY}@db.example/m\"\n\
         database_ca_file = \"ca.pem\"\nmaster_key_file = \"/run/secrets/master\"\n\
         [store]\nmax_staleness = \"0s\"\nmax_revocation_age = \"1s\"\npoll_interval = \"50ms\"\nnotify = false\n\
         snapshot_file = \"/var/snapshot\"\nclient_cache = 100\n[keys]\nrotation_period = \"1h\"\n[admin]\nregistration = true\n"
    ));
    let config = file.load(Sources::default()).unwrap();
    let store = &config.store;
    assert_eq!(store.location.to_string(), "postgres://db.example/m");
    assert_eq!(store.ca_file.as_deref(), Some(&*file.directory.path().join("ca.pem")));
    assert!(
        matches!(&store.master_key, Some(MasterKeySource::File(file)) if file.path == Path::new("/run/secrets/master"))
    );
    assert_eq!((store.max_staleness, store.max_revocation_age), (Duration::ZERO, Duration::from_secs(1)));
    assert_eq!((store.poll_interval, store.notify), (Duration::from_millis(50), false));
    assert_eq!((store.snapshot_file.as_deref(), store.client_cache), (Some(Path::new("/var/snapshot")), 100));
    assert_eq!((config.key_rotation_period, config.registration), (Duration::from_secs(3600), true));

    // V-71: neither the password nor the master key is ever shown.
    let shown: Vec<_> = config.settings().iter().map(|setting| setting.value.clone()).collect();
    assert!(!format!("{config:?} {shown:?}").contains("canary"), "{shown:?}");
    assert!(shown.contains(&Some("postgres://db.example/m".to_owned())));
    let config = config::load(&dev(&[("MINTAGE_MASTER_KEY", MASTER_KEY)])).unwrap();
    assert!(matches!(config.store.master_key, Some(MasterKeySource::Given(_))));
    assert!(!format!("{config:?} {:?}", config.settings()).contains("MTIz"));
}

#[test]
fn what_cannot_be_is_refused_with_the_remedy() {
    let key = ("MINTAGE_MASTER_KEY", MASTER_KEY);
    let postgres = ("MINTAGE_DATABASE_URL", "postgres://u:canary@db.example/m");
    let cases: [(&[(&str, &str)], &str); 13] = [
        (
            &[("MINTAGE_DATABASE_URL", "mintage.db")],
            "MINTAGE_DATABASE_URL: database_url: it must be sqlite://PATH, ",
        ),
        (
            &[("MINTAGE_DATABASE_URL", "mysql://u:canary@h/d")],
            "MINTAGE_DATABASE_URL: database_url: it must be sqlite://PATH, ",
        ),
        (
            &[("MINTAGE_DATABASE_URL", "postgres://u:canary@h/d?sslmode=x"), key],
            "MINTAGE_DATABASE_URL: database_url: it is no PostgreSQL URL ",
        ),
        (&[postgres], "MINTAGE_DATABASE_URL: database_url: PostgreSQL needs a master key "),
        (
            &[("MINTAGE_MASTER_KEY", "canary")],
            "MINTAGE_MASTER_KEY: master_key: a master key is 32 random bytes ",
        ),
        (
            &[key, ("MINTAGE_MASTER_KEY_FILE", "/m")],
            "MINTAGE_MASTER_KEY_FILE: master_key_file: is set beside master_key; set one of the two",
        ),
        (
            &[("MINTAGE_STORE_MAX_STALENESS", "31d")],
            "MINTAGE_STORE_MAX_STALENESS: store.max_staleness: must be 0s to 30d, in whole seconds",
        ),
        (
            &[("MINTAGE_STORE_MAX_REVOCATION_AGE", "0s")],
            "MINTAGE_STORE_MAX_REVOCATION_AGE: store.max_revocation_age: must be 1s to 1h, in whole seconds",
        ),
        (
            &[("MINTAGE_STORE_POLL_INTERVAL", "49ms")],
            "MINTAGE_STORE_POLL_INTERVAL: store.poll_interval: must be 50ms to 1m",
        ),
        (
            &[("MINTAGE_STORE_POLL_INTERVAL", "16s")],
            "store.max_revocation_age: must be at least twice store.poll_interval, 16s; change one of the two",
        ),
        (
            &[("MINTAGE_STORE_CLIENT_CACHE", "99")],
            "MINTAGE_STORE_CLIENT_CACHE: store.client_cache: must be a whole number from 100 to 10000000",
        ),
        (
            &[("MINTAGE_KEYS_ROTATION_PERIOD", "59s")],
            "MINTAGE_KEYS_ROTATION_PERIOD: keys.rotation_period: must be 1m to 3650d, in whole seconds",
        ),
        (
            &[("MINTAGE_KEYS_ROTATION_PERIOD", "19m")],
            "MINTAGE_KEYS_ROTATION_PERIOD: keys.rotation_period: must be at least four times keys.jwks_max_age, 5m; change one of the two",
        ),
    ];
    for (variables, expected) in cases {
        let found = refusals(variables);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{variables:?}: {found:?}");
        assert!(!found[0].contains("canary"), "{found:?}"); // V-71
    }
    assert!(config::load(&environment(&[("ISSUER_URL", "https://id.example"), postgres, key])).is_ok());
}
