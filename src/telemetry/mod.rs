//! tmp
pub mod request;
pub use request::RequestRecord;
