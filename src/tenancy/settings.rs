//! What an organization decides for all its people and keys.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::Moment;

/// What a proxy does about limits while the counters cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DegradedMode {
    /// Refuses calls that have limits.
    Refuse,
    /// Lets each proxy give out its share.
    LocalShare,
}

/// What an organization decides for all its people and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationSettings {
    /// Calls per minute a new organization was limited to; the limits themselves stand on their own.
    pub seed_requests_per_minute: Option<u64>,
    /// Tokens per minute, likewise.
    pub seed_tokens_per_minute: Option<u64>,
    /// What is injected when a caller gives no output limit and a hard one applies.
    pub default_max_output_tokens: u64,
    /// Whether agents may change routes; `None` as the platform says.
    pub auto_optimization: Option<bool>,
    /// May it have providers of its own?
    pub custom_providers_allowed: bool,
    /// How many members it may have: the platform says.
    pub max_users: Option<u32>,
    /// How many groups it may have: the platform says.
    pub max_groups: Option<u32>,
    /// How long its audit log is kept at least, in days.
    pub audit_retention_days: u32,
    /// The bound on request bodies, in bytes; `None` is the gateway's own.
    pub body_limit_bytes: Option<u64>,
    /// How long an access token of its people counts, in seconds.
    pub access_token_lifetime_s: u32,
    /// The origins browsers may read its data from.
    pub allowed_origins: Vec<String>,
    /// What happens while the counters cannot be asked.
    pub degraded_mode: DegradedMode,
    /// Do its limits refuse? Else they only count.
    pub limits_enforced: bool,
    /// May providers that train on data serve it?
    pub allows_training: bool,
    /// When they were last changed.
    pub updated_at: Moment,
}
