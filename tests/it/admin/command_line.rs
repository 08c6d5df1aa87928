//! `mintage client` as the real program.
