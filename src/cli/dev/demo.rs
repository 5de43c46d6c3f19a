//! The demo tenant and its simulated providers.

use super::report::{Models, Upstream};

/// What the demo offers.
#[derive(Clone, Debug)]
pub struct Demo {
    pub models: Models,
    pub upstreams: Vec<Upstream>,
}

impl Demo {
    /// Returns a demo without providers.
    #[must_use]
    pub fn draft() -> Self {
        let models = Models {
            free: String::new(),
            paid: String::new(),
            alias: String::new(),
        };
        Self {
            models,
            upstreams: Vec::new(),
        }
    }
}
