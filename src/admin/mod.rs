//! The axum sidecar.

pub mod settings;

pub mod router;

pub mod error;
pub mod metrics;
pub mod serve;

pub use metrics::Metrics;
pub use serve::{Listeners, serve};
pub use settings::Settings;

use tokio::sync::watch;

use crate::store::postgres::Postgres;

/// What the sidecar uses.
#[derive(Clone, Debug)]
pub struct Plane {
    /// The truth.
    pub postgres: Postgres,
    /// What is counted.
    pub metrics: Metrics,
    /// Turns true when the sidecar is told to stop.
    pub stopping: watch::Receiver<bool>,
}
