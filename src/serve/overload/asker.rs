//! Who asks, as far as that is known before anything is read.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
};

use http::{HeaderValue, Request, header};

/// Tells askers apart by keyed hashes, which nobody outside can aim at.
pub(super) struct Askers(RandomState);

impl Askers {
    pub(super) fn new() -> Self {
        Self(RandomState::new())
    }

    /// By the credentials of the request or, where its head has none, by where it comes from. Nothing is verified: whoever does
    /// not have the credentials of another cannot be taken for it.
    pub(super) fn of<B>(&self, request: &Request<B>, source: IpAddr) -> u64 {
        match credentials(request) {
            Some(credentials) => self.0.hash_one(credentials.as_bytes()),
            None => self.0.hash_one(source),
        }
    }

    /// By the credentials of the request and what it asks for, if its head has credentials.
    pub(super) fn request_of<B>(&self, request: &Request<B>) -> Option<u64> {
        credentials(request)
            .map(|credentials| self.0.hash_one((credentials.as_bytes(), request.uri().path())))
    }
}

fn credentials<B>(request: &Request<B>) -> Option<&HeaderValue> {
    request.headers().get(header::AUTHORIZATION)
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
        let of = |path, credentials, source| askers.of(&request(path, credentials), source);
        assert_eq!(of("/token", Some("Basic YTph"), here), of("/introspect", Some("Basic YTph"), there));
        assert_ne!(of("/token", Some("Basic YTph"), here), of("/token", Some("Basic YTpi"), here));
        assert_eq!(of("/token", None, here), of("/introspect", None, here));
        assert_ne!(of("/token", None, here), of("/token", None, there));

        let of = |path, credentials| askers.request_of(&request(path, credentials));
        assert_eq!(of("/token", Some("Basic YTph")), of("/token?x", Some("Basic YTph")));
        assert_ne!(of("/token", Some("Basic YTph")), of("/introspect", Some("Basic YTph")));
        assert_ne!(of("/token", Some("Basic YTph")), of("/token", Some("Basic YTpi")));
        assert_eq!(of("/token", None), None);
    }
}
