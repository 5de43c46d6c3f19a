//! Named sets of permissions, and who was given them.

use super::Permissions;
use crate::base::{AssignmentId, GroupId, Moment, RoleId, UserId};

/// A named set of permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its id.
    pub id: RoleId,
    /// The name, unique in the organization.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether it is the same for every organization, and nobody's to change.
    pub is_system: bool,
    /// What it permits.
    pub permissions: Permissions,
    /// When it was made.
    pub created_at: Moment,
    /// When it was last changed.
    pub updated_at: Moment,
}

/// A role that somebody was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleAssignment {
    /// Its id.
    pub id: AssignmentId,
    /// To whom.
    pub user_id: UserId,
    /// Which role.
    pub role_id: RoleId,
    /// What the role is called.
    pub role_name: String,
    /// In which team; `None` in the whole organization.
    pub group_id: Option<GroupId>,
    /// When.
    pub created_at: Moment,
}
