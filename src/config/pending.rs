//! Settings of modules that do not define their own yet.

use ipnet::IpNet;
use serde::Deserialize;

use crate::base::Secret;

/// The door to Redis.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    pub url: Secret,
    pub key_prefix: String,
    pub deadline_ms: u64,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: Secret::new("redis://127.0.0.1:6379".to_owned()),
            key_prefix: "synaxis:".to_owned(),
            deadline_ms: 250,
        }
    }
}

/// Where we may connect to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Egress {
    pub allow: Vec<IpNet>,
}
