//! Who asks, as far as that is known before anything is read.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
};

use http::{Request, header};

/// Tells askers apart by keyed hashes, which nobody outside can aim at.
pub(super) struct Askers(RandomState);

impl Askers {
    pub(super) fn new() -> Self {
        Self(RandomState::new())
    }

    /// Who asks, and what it is that they ask if they show credentials. They are told by these or, where the head has none, by where
    /// it comes from. Nothing is verified: whoever does not have the credentials of another cannot be taken for it.
    pub(super) fn of<B>(&self, request: &Request<B>, source: IpAddr) -> (u64, Option<u64>) {
        match request.headers().get(header::AUTHORIZATION) {
            Some(credentials) => {
                let asker = self.0.hash_one(credentials.as_bytes());
                (asker, Some(self.0.hash_one((asker, request.uri().path()))))
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
        assert_eq!(of("/token", Some("Basic YTph"), here), of("/introspect", Some("Basic YTph"), there));
        assert_ne!(of("/token", Some("Basic YTph"), here), of("/token", Some("Basic YTpi"), here));
        assert_eq!(of("/token", None, here), of("/introspect", None, here));
        assert_ne!(of("/token", None, here), of("/token", None, there));

        let of = |path, credentials| askers.of(&request(path, credentials), here).1;
        assert_eq!(of("/token", Some("Basic YTph")), of("/token?x", Some("Basic YTph")));
        assert_ne!(of("/token", Some("Basic YTph")), of("/introspect", Some("Basic YTph")));
        assert_ne!(of("/token", Some("Basic YTph")), of("/token", Some("Basic YTpi")));
        assert_eq!(of("/token", None), None);
    }
}
