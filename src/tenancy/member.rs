//! Somebody in an organization, and what they may do there.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{OrganizationStatus, Permissions, Rank};
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

/// How a person stands, as the books say now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether they may act at all.
    pub status: PersonStatus,
    /// What their tokens must have been issued under.
    pub token_version: i32,
    /// May they change the platform itself?
    pub is_platform_admin: bool,
    /// What they are in the organization asked about; `None` when they are no member, or it is not there.
    pub membership: Option<Membership>,
}

/// What a person is in one organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Whether the organization is served.
    pub organization_status: OrganizationStatus,
    /// Their rank.
    pub rank: Rank,
    /// All they may do: by rank, and by the roles they were given.
    pub permissions: Permissions,
}
