//! Somebody in an organization, and what they may do there.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Rank;
use crate::base::{GroupId, Moment, UserId};

/// Whether a person may act at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PersonStatus {
    /// They may.
    Active,
    /// The platform stopped them.
    Suspended,
    /// They have not shown yet that their address is theirs.
    Pending,
}

/// Somebody in an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user_id: UserId,
    /// Where mail reaches them.
    pub email: String,
    /// The name people read.
    pub display_name: String,
    /// Whether they may act at all.
    pub status: PersonStatus,
    /// What they may do here.
    pub rank: Rank,
    /// The team their keys count for unless said otherwise.
    pub primary_group_id: Option<GroupId>,
    /// Whether agents may change their routes; `None` as the group says.
    pub auto_optimization: Option<bool>,
    /// When they last signed in anywhere.
    pub last_sign_in_at: Option<Moment>,
    /// The row of the membership: where they stand in lists.
    pub membership_id: uuid::Uuid,
    /// Since when.
    pub joined_at: Moment,
    /// When their membership was last changed.
    pub updated_at: Moment,
}
