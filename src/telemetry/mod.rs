//! How the process speaks: logs and metrics.

pub mod logs;
pub mod metrics;

mod lines;
mod outbox;

pub use logs::{Format, Settings};
pub use metrics::Registry;
pub use outbox::{Lines, dropped};
