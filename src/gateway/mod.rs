//! The data path. One file per step.

pub mod settings;

pub use settings::Settings;
