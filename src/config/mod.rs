//! The file and the environment, made into every module's `Settings`.

pub mod security;

pub mod shape;

mod layers;
mod text;
mod tree;

mod judge;
mod print;
mod ranges;
mod read;

use serde::Deserialize;

pub use crate::base::Fault;
pub use judge::machine_faults;
pub use layers::{DEFAULT_FILE, Source, environment, variable};
pub use read::{Effective, Faults, read};
pub use security::Security;

/// What kind of installation this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// Guarded: weak secrets and wildcards are refused.
    #[default]
    Production,
    /// One person's machine.
    Development,
}

/// Everything Synaxis may be told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What kind of installation this is.
    pub environment: Environment,
    /// The door to Postgres.
    pub database: crate::store::postgres::Settings,
    /// The door to Redis.
    pub redis: crate::store::redis::Settings,
    /// The keys that seal and sign.
    pub security: Security,
    /// The data plane.
    pub proxy: crate::gateway::Settings,
    /// The sidecar.
    pub admin: crate::admin::Settings,
    /// People at the sidecar's door.
    pub identity: crate::identity::Settings,
    /// How mail leaves.
    pub mail: crate::identity::mail::Settings,
    /// How keys are looked up and remembered.
    pub keys: crate::keys::Settings,
    /// How patient routing is.
    pub routing: crate::routing::Settings,
    /// How limits are held.
    pub quota: crate::quota::Settings,
    /// Where entries wait for the books.
    pub usage: crate::usage::Settings,
    /// Work nobody waits for.
    pub agents: crate::agents::discovery::Settings,
    /// What is kept and for how long.
    pub retention: crate::control::retention::Settings,
    /// Where we may connect to.
    pub egress: crate::egress::Settings,
    /// How the process speaks.
    pub telemetry: crate::telemetry::Settings,
}
