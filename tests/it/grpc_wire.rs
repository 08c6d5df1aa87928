//! gRPC as it looks on the wire: statuses, encodings, limits and the standard services.

mod encoding;
mod limits;
mod services;
mod status;
