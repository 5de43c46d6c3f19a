//! Settings of modules that do not define their own yet.

use std::path::PathBuf;

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

/// The books.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Usage {
    pub spool_dir: PathBuf,
    pub segment_bytes: u64,
    pub cap_bytes: u64,
    pub sync_ms: u64,
    pub flush_ms: u64,
    pub batch: usize,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            spool_dir: PathBuf::from("spool"),
            segment_bytes: 64 << 20,
            cap_bytes: 1 << 30,
            sync_ms: 100,
            flush_ms: 500,
            batch: 1000,
        }
    }
}

/// Where we may connect to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Egress {
    pub allow: Vec<IpNet>,
}
