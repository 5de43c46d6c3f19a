//! What a simulated provider is told about itself.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

use super::fault::Faults;
use crate::base::Secret;

/// What a simulated provider is told about itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What it is called in its log and in the list of models.
    pub name: String,
    /// Where it listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// Where it writes a line of JSON for each request.
    pub log: Option<PathBuf>,
    /// What goes wrong (`synaxis simulate --help`).
    pub fault: Faults,
    /// How long it thinks before the first byte.
    pub latency_ms: u64,
    /// How fast it writes; 0 is as fast as it can.
    pub tokens_per_second: u64,
    /// How many tokens it writes when the caller does not say.
    pub output_tokens: u64,
    /// How many requests it takes in any 60 seconds, per credential.
    pub rpm: Option<u64>,
    /// How many tokens it reads and writes in any 60 seconds, per credential.
    pub tpm: Option<u64>,
    /// How many requests it takes in any 24 hours, per credential.
    pub rpd: Option<u64>,
    /// The models it has; none named, it answers to every name.
    pub models: Vec<String>,
    /// The keys it takes; none named, it takes calls without one.
    pub require_keys: Vec<Secret>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "simulated".to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 9_001)),
            log: None,
            fault: Faults::default(),
            latency_ms: 0,
            tokens_per_second: 0,
            output_tokens: 20,
            rpm: None,
            tpm: None,
            rpd: None,
            models: Vec::new(),
            require_keys: Vec::new(),
        }
    }
}
