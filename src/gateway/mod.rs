//! The data path. One file per step.

pub mod metrics;
mod offer_metrics;
pub mod readings;
pub mod settings;

pub use offer_metrics::OfferMetrics;
pub use settings::Settings;
