//! A simulated provider: OpenAI's and Anthropic's languages, pace, limits, and every fault a real one has had.
//!
//! For demos, load tests and the test-suite. What it says is a function of what it is asked; what it truly sent
//! stands in its log, whatever it claimed.

mod answer;
mod fault;
pub mod fleet;
mod line;
mod log;
mod provider;
mod script;
mod server;
mod settings;
mod stats;
mod text;
mod window;

pub use fault::{BadSpec, Faults, HELP as FAULT_HELP};
pub use provider::Provider;
pub use server::{serve, serve_provider};
pub use settings::Settings;
pub use stats::Stats;

#[cfg(test)]
mod tests;
