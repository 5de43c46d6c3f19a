//! The axum sidecar.

pub mod settings;

pub use settings::Settings;
