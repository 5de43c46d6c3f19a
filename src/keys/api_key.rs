//! A key as people manage it: everything but its secret.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::{ApiKeyId, GroupId, Moment, UserId};

/// A key, as its organization sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// The 16 characters callers see.
    pub public_id: String,
    /// What it is for.
    pub name: String,
    /// The team it counts for.
    pub group_id: Option<GroupId>,
    /// The person it counts for.
    pub user_id: Option<UserId>,
    /// The models it may ask for; `None` allows all.
    pub allowed_models: Option<Vec<String>>,
    /// Where it may come from; `None` allows everywhere.
    pub allowed_cidrs: Option<Vec<String>>,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// Who made it; `None` was an operator.
    pub created_by: Option<UserId>,
    /// When it was made.
    pub created_at: Moment,
    /// When it was last changed; being used is no change.
    pub updated_at: Moment,
    /// When it stops.
    pub expires_at: Option<Moment>,
    /// When somebody took it back.
    pub revoked_at: Option<Moment>,
    /// Who; `None` was an operator.
    pub revoked_by: Option<UserId>,
    /// Why.
    pub revoked_reason: Option<String>,
    /// When it was last used.
    pub last_used_at: Option<Moment>,
    /// The key it took over from.
    pub rotated_from: Option<ApiKeyId>,
    /// The first key of that chain of rotations; `None` when it is its own.
    pub lineage_id: Option<ApiKeyId>,
}

/// Whether a key opens the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It does.
    Active,
    /// It has stopped.
    Expired,
    /// Somebody took it back.
    Revoked,
}

impl KeyState {
    /// Returns the word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl ApiKey {
    /// Returns the key its own limits hang on: the first of its chain of rotations.
    #[must_use]
    pub fn lineage(&self) -> ApiKeyId {
        self.lineage_id.unwrap_or(self.id)
    }

    /// Says whether the key itself opens the door at `now`.
    #[must_use]
    pub fn state(&self, now: Moment) -> KeyState {
        if self.revoked_at.is_some_and(|at| at <= now) {
            KeyState::Revoked
        } else if self.expires_at.is_some_and(|at| at <= now) {
            KeyState::Expired
        } else {
            KeyState::Active
        }
    }
}
