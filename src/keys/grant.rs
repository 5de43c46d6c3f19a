//! What one key may do: everything the data path must know of a caller, in one immutable value.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    base::{ApiKeyId, GroupId, Moment, OrganizationId, UserId},
    quota::Limit,
};

/// Why a known key does not open the door now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It opens.
    Live,
    /// Somebody revoked it.
    Revoked,
    /// Its organization is suspended or deactivated.
    OrganizationSuspended,
}

/// What one key may do. Holds hashes, never secrets: it may be written to disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// The key.
    pub api_key_id: ApiKeyId,
    /// The 16 characters callers see.
    pub public_id: String,
    /// SHA-256 of the 43 secret characters.
    pub secret_hash: [u8; 32],
    /// Whose key.
    pub organization_id: OrganizationId,
    /// The person it counts for.
    pub user_id: Option<UserId>,
    /// The team it counts for: the key's own, else the user's primary.
    pub group_id: Option<GroupId>,
    /// Whether it opens the door.
    pub standing: Standing,
    /// When it stops, in milliseconds since 1970.
    pub expires_at_ms: Option<i64>,
    /// What it may be used for, as [`super::KeyScope`] names it; empty is everything.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The models it may ask for, by the name the caller writes or the canonical name; `None` allows all.
    pub allowed_models: Option<Vec<String>>,
    /// Where it may come from; `None` allows everywhere.
    pub allowed_cidrs: Option<Vec<IpNet>>,
    /// Every limit that holds for it: key first, then user, group, organization, and the organization's own provider
    /// keys, which count calls that go out with them.
    pub limits: Vec<Limit>,
    /// Whether its limits refuse; else they only count.
    #[serde(default = "yes")]
    pub limits_enforced: bool,
    /// Whether each proxy may permit its share of rates while the counters cannot be asked.
    #[serde(default)]
    pub shares_when_away: bool,
    /// What is injected when the caller gives no output limit and a hard one applies.
    pub default_max_output_tokens: u64,
    /// The organization's bound on request bodies, in bytes; `None` is the gateway's own.
    pub body_limit_bytes: Option<u64>,
    /// May providers that train on data serve it?
    pub allows_training: bool,
    /// The `platform.changes` number the row was read at.
    pub seq: i64,
}

const fn yes() -> bool {
    true
}

impl Grant {
    /// Says whether the key has stopped by `now`.
    #[must_use]
    pub fn is_expired(&self, now: Moment) -> bool {
        self.expires_at_ms.is_some_and(|at| at <= now.millis())
    }

    /// Says whether the key may be used for an operation of this name.
    #[must_use]
    pub fn is_scoped_for(&self, operation: &str) -> bool {
        self.scopes.is_empty() || self.scopes.iter().any(|scope| scope == operation)
    }

    /// Says whether the key may come from `address`.
    #[must_use]
    pub fn admits(&self, address: std::net::IpAddr) -> bool {
        self.allowed_cidrs
            .as_ref()
            .is_none_or(|nets| nets.iter().any(|net| net.contains(&address)))
    }
}
