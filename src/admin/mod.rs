//! The axum sidecar.

pub mod settings;

pub mod access;
pub mod doors;
pub mod openapi;
pub mod router;

pub mod catalog;
pub mod layers;

pub mod bound;
pub mod cors;
pub mod csrf;
pub mod gate;
pub mod headers;
pub mod idempotency;
pub mod known;
pub mod observe;
pub mod throttle;

pub mod error;
pub mod etag;
pub mod extract;
pub mod list;

pub mod connections;
pub mod docs;
pub mod health;
pub mod metrics;
pub mod serve;
pub mod store;

pub mod auto_optimization;
pub mod enforcement;
pub mod groups;
pub mod invitations;
pub mod invited;
pub mod keys;
pub mod limit_views;
pub mod limits;
pub mod members;
pub mod organization_settings;
pub mod organizations;
pub mod patch;
pub mod roles;
pub mod tenants;

pub mod agents;
pub mod audit;
pub mod auth;
pub mod cookie;
pub mod explain;
pub mod fitness;
pub mod identity_providers;
pub mod jwks;
pub mod me;
pub mod mfa;
pub mod nodes;
pub mod oidc;
pub mod password_policy;
pub mod passwords;
pub mod refunds;
pub mod requests;
pub mod routes;
pub mod savings;
pub mod security;
pub mod sessions;
pub mod signing_keys;
pub mod strategies;
pub mod usage;
pub mod version;

pub use metrics::Metrics;
pub use serve::{Listeners, serve};
pub use settings::Settings;

use std::sync::{Arc, atomic::AtomicBool};

use tokio::sync::watch;

use crate::{
    base::{Clock, tasks::Tasks},
    control::identity::Door,
    egress::Guard,
    store::{Postgres, Vault},
    usage::rollup::Comparison,
};

/// What the sidecar uses.
#[derive(Clone, Debug)]
pub struct Plane {
    /// What it was told.
    pub settings: Arc<Settings>,
    /// The truth.
    pub postgres: Postgres,
    /// What sign-in needs.
    pub door: Door,
    /// What seals whatever must be kept secret.
    pub vault: Arc<Vault>,
    /// Says where calls may go.
    pub egress: Arc<Guard>,
    /// The time of day.
    pub clock: Clock,
    /// What runs in the background.
    pub tasks: Tasks,
    /// The origins organizations let read.
    pub tenant_origins: cors::TenantOrigins,
    /// Turns true when Postgres has answered for the first time.
    pub has_started: Arc<AtomicBool>,
    /// What is counted.
    pub metrics: Metrics,
    /// What the last comparison of the roll-ups with their entries found.
    pub compared: Arc<watch::Sender<Option<Comparison>>>,
    /// Turns true when the sidecar is told to stop.
    pub stopping: watch::Receiver<bool>,
}

impl Plane {
    /// Puts together what a sidecar uses, before it has done anything.
    #[must_use]
    pub fn new(
        settings: Settings,
        door: Door,
        vault: Vault,
        guard: Guard,
        metrics: Metrics,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            settings: Arc::new(settings),
            postgres: door.postgres.clone(),
            door,
            vault: Arc::new(vault),
            egress: Arc::new(guard),
            clock: Clock::default(),
            tasks: Tasks::default(),
            tenant_origins: cors::TenantOrigins::default(),
            has_started: Arc::default(),
            metrics,
            compared: Arc::new(watch::Sender::new(None)),
            stopping,
        }
    }
}
