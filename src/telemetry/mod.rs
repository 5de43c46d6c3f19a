//! How the process speaks: logs and metrics.

pub mod logs;
pub mod metrics;

pub use logs::{Format, Settings};
pub use metrics::Registry;
