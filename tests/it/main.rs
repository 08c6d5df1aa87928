//! Behaviour of the whole program: one file per feature.

mod cli;
mod config;
