//! Who asks, as far as that is known before anything is read.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
};

use http::{Request, header};

/// As how many askers those of one source address may count. Nothing of what they show is verified: whoever shows something else with
/// each request would fill every place otherwise.
const PER_SOURCE: u64 = 256;

/// Tells askers apart by keyed hashes, which nobody outside can aim at.
pub(super) struct Askers(RandomState);

impl Askers {
    pub(super) fn new() -> Self {
        Self(RandomState::new())
    }

    /// Who asks, and what it is that they ask if they show credentials. They are told by where the request comes from and by these,
    /// if the head has any. Whoever does not have the credentials of another cannot be taken for it, but by chance.
    pub(super) fn of<B>(&self, request: &Request<B>, source: IpAddr) -> (u64, Option<u64>) {
        match request.headers().get(header::AUTHORIZATION) {
            Some(credentials) => {
                let shown = self.0.hash_one((source, credentials.as_bytes()));
                let asker = self.0.hash_one((source, shown % PER_SOURCE));
                (asker, Some(self.0.hash_one((shown, request.uri().path()))))
            }
            None => (self.0.hash_one(source), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, credentials: Option<&str>) -> Request<()> {
        let mut request = Request::post(path);
        if let Some(credentials) = credentials {
            request = request.header(header::AUTHORIZATION, credentials);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn credentials_tell_askers_apart_and_sources_those_who_show_none() {
        let askers = Askers::new();
        let [here, there] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
        let of = |path, credentials, source| askers.of(&request(path, credentials), source).0;
        assert_eq!(of("/token", Some("Basic YTph"), here), of("/introspect", Some("Basic YTph"), here));
        assert_ne!(of("/token", Some("Basic YTph"), here), of("/token", Some("Basic YTph"), there));
        assert_ne!(of("/token", Some("Basic YTph"), here), of("/token", Some("Basic YTpi"), here));
        assert_eq!(of("/token", None, here), of("/introspect", None, here));
        assert_ne!(of("/token", None, here), of("/token", None, there));

        // F-18: who makes up credentials is one of a few all the same
        let made_up: std::collections::HashSet<_> =
            (0..10_000).map(|n| askers.of(&request("/token", Some(&format!("Basic {n}"))), here).0).collect();
        assert!(made_up.len() <= PER_SOURCE as usize);

        let of = |path, credentials| askers.of(&request(path, credentials), here).1;
        assert_eq!(of("/token", Some("Basic YTph")), of("/token?x", Some("Basic YTph")));
        assert_ne!(of("/token", Some("Basic YTph")), of("/introspect", Some("Basic YTph")));
        assert_ne!(of("/token", Some("Basic YTph")), of("/token", Some("Basic YTpi")));
        assert_eq!(of("/token", None), None);
    }
}
