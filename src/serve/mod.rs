//! One port: HTTP/1.1 (RFC 9112), HTTP/2 by prior knowledge (RFC 9113 §3.3) or by ALPN over TLS, gRPC and gRPC-Web on one
//! listener.
//!
//! From the socket inwards:
//!
//! - [`accept`]: the loop that takes connections and outlives every error; [`serve`] is the way in
//! - [`limits`]: every bound and deadline, with its default
//! - [`shutdown`]: running, draining, forced
//! - `places`: how many connections there are at once, and who makes room for others
//! - [`tls`]: the handshake before all that, where the listener has a certificate
//! - [`proxy`]: client certificates that a proxy in front took
//! - `connection`: tells the protocol by its first bytes, then drives one connection to its end
//! - `again`: what wakes itself is polled again, past the scheduler
//! - `inline`: how many requests are answered in one turn of their connection
//! - `socket`, `activity`: what a connection is doing right now, for deadlines that hyper does not have
//! - `unfinished`: how much is kept of requests that have not come to their end
//! - `length_field`: what hyper hides of a request that is framed twice
//! - `edge`: what happens to every request: peer, telemetry, deadline, panic isolation
//! - [`overload`]: who gets in when more comes than can be served
//! - [`mod@router`]: REST or gRPC by content type, and the answer when neither knows the path
//! - `refusal`: the answers given here, in the form the caller understands
//!
//! `Upgrade: h2c` is ignored (RFC 9113 dropped it): such a request, which Java's client sends first, is answered in
//! HTTP/1.1. Paths are routed as they came; nothing here decodes, folds or joins them, so no two layers can disagree
//! about which handler a request reached.

pub mod accept;
mod activity;
mod again;
mod connection;
mod edge;
mod inline;
mod length_field;
pub mod limits;
pub mod overload;
mod places;
pub mod proxy;
mod refusal;
pub mod router;
pub mod shutdown;
mod socket;
pub mod tls;
mod unfinished;

pub use self::{
    accept::{Listener, serve},
    limits::Limits,
    router::router,
    shutdown::Shutdown,
};
