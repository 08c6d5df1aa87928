//! Mintage: an OAuth 2.0 token service for machines.

pub mod clock;
pub mod peer;
pub mod serve;
pub mod telemetry;
