//! Administration (layer 2, beside `oauth`): what operators do, whichever way they ask for it.
//!
//! - [`archive`]: export and import

pub mod archive;
