//! Behaviour through real sockets, one file per feature.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "helpers are shared between the files of this one binary")]

mod transport;
