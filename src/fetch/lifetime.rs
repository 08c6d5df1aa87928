//! How long an answer holds (RFC 9111 §4.2, §5.2.2): never longer than its server says (CHK-137).
//!
//! Without a word of the server 5 minutes, and at most an hour whatever it says, so that a key that was withdrawn is not
//! accepted for a day. An answer that must not be kept is kept for a second: requests that come at the same time share it,
//! and a flood of them cannot become a flood of fetches (V-34).

use std::time::Duration;

use reqwest::header::{AGE, CACHE_CONTROL, HeaderMap};

/// What holds without a word of the server.
pub const DEFAULT: Duration = Duration::from_secs(5 * 60);

/// What holds at least.
pub const SHORTEST: Duration = Duration::from_secs(1);

/// What holds at most.
pub const LONGEST: Duration = Duration::from_secs(60 * 60);

/// The time for which an answer with these fields holds.
pub(super) fn of(fields: &HeaderMap) -> Duration {
    let directives = fields
        .get_all(CACHE_CONTROL)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("no-store").split(','))
        .map(|directive| directive.trim().to_ascii_lowercase());
    let mut lifetime = None;
    for directive in directives {
        let (name, value) = directive.split_once('=').unwrap_or((&directive, ""));
        let said = match name.trim() {
            "no-store" | "no-cache" => Duration::ZERO,
            // RFC 9111 §4.2.1: a value that cannot be read makes the answer stale.
            "max-age" => Duration::from_secs(value.trim().trim_matches('"').parse().unwrap_or(0)),
            _ => continue,
        };
        lifetime = Some(lifetime.map_or(said, |lifetime: Duration| lifetime.min(said)));
    }
    let age = fields.get(AGE).and_then(|age| age.to_str().ok()?.trim().parse().ok()).unwrap_or(0);
    lifetime
        .map_or(DEFAULT, |lifetime| lifetime.saturating_sub(Duration::from_secs(age)))
        .clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(fields: &[(&'static str, &'static str)]) -> u64 {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, value.parse().unwrap());
        }
        of(&map).as_secs()
    }

    // CHK-137
    #[test]
    fn the_server_says_how_long() {
        let cache = |value: &'static str| seconds(&[("cache-control", value)]);
        assert_eq!(seconds(&[]), 300);
        assert_eq!(cache("public"), 300);
        assert_eq!(cache("max-age=60"), 60);
        assert_eq!(cache("public, MAX-AGE = \"60\" , must-revalidate"), 60);
        assert_eq!(cache("max-age=60, max-age=30"), 30);
        assert_eq!(cache("max-age=86400"), 3600);
        assert_eq!(cache("s-maxage=60"), 300);
        for none in [
            "no-store",
            "no-cache",
            "max-age=0",
            "max-age=600, no-store",
            "max-age=-1",
            "max-age=x",
            "max-age",
        ] {
            assert_eq!(cache(none), 1, "{none}");
        }
        assert_eq!(seconds(&[("cache-control", "max-age=60"), ("cache-control", "no-cache")]), 1);
        assert_eq!(seconds(&[("cache-control", "max-age=60"), ("age", "20")]), 40);
        assert_eq!(seconds(&[("cache-control", "max-age=60"), ("age", "100")]), 1);
    }
}
