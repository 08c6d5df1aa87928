//! Mintage: an OAuth 2.0 token service for machines.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod form_encoding;
pub mod grpc;
pub mod jose;
pub mod key_file;
pub mod oauth;
pub mod peer;
pub mod random;
pub mod readiness;
pub mod rest;
pub mod secret;
pub mod serve;
pub mod telemetry;
