//! The axum sidecar.

pub mod settings;

pub mod access;
pub mod doors;
pub mod router;

pub mod catalog;

pub mod error;
pub mod etag;
pub mod extract;
pub mod gate;
pub mod list;
pub mod metrics;
pub mod openapi;
pub mod serve;

pub mod version;

pub use metrics::Metrics;
pub use serve::{Listeners, serve};
pub use settings::Settings;

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    base::Clock,
    egress::Guard,
    store::{Postgres, seal::Vault},
};

/// What the sidecar uses.
#[derive(Clone, Debug)]
pub struct Plane {
    /// What it was told.
    pub settings: Arc<Settings>,
    /// The truth.
    pub postgres: Postgres,
    /// Seals what is kept secret.
    pub vault: Arc<Vault>,
    /// Says where calls may go.
    pub egress: Arc<Guard>,
    /// The time of day.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Metrics,
    /// Turns true when the sidecar is told to stop.
    pub stopping: watch::Receiver<bool>,
}
