//! What the service tells its operators: one log line per request, and metrics.
//!
//! - [`logging`]: where log records go, and in which form
//! - [`log_queue`]: their way there, on which nobody waits
//! - [`metrics`]: the name, help and labels of every metric
//! - [`request`]: what a handler reports about the request it serves
//! - [`layer`]: request id, trace context, and the one log line
//! - [`trace_context`]: the `traceparent` header
//!
//! Nothing here sees a secret: handlers report parsed identifiers and words from closed sets, never header values,
//! bodies or paths.

pub mod layer;
pub mod log_queue;
pub mod logging;
pub mod metrics;
pub mod request;
pub mod trace_context;

pub use self::{
    layer::Telemetry,
    log_queue::LogQueue,
    logging::Format,
    metrics::{
        Metrics,
        connections::Protocol,
        load::{GuardFigures, PoolFigures},
        store::StoreFigures,
        tls::HandshakeOutcome,
    },
    request::RequestRecord,
};
