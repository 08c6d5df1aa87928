//! Mintage: an OAuth 2.0 token service for machines.

pub mod clock;
pub mod jose;
pub mod peer;
pub mod random;
pub mod secret;
