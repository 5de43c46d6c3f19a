//! A team inside one organization, and who is in it.

use crate::base::{GroupId, Moment, UserId};

/// A team inside one organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// The short name, unique in the organization.
    pub slug: String,
    /// The name people read.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether everybody without another one belongs to it.
    pub is_default: bool,
    /// Whether agents may change its routes; `None` as the organization says.
    pub auto_optimization: Option<bool>,
    /// When it was made.
    pub created_at: Moment,
    /// When it was last changed.
    pub updated_at: Moment,
}

/// Somebody in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Who.
    pub user_id: UserId,
    /// Where mail reaches them.
    pub email: String,
    /// The name people read.
    pub display_name: String,
    /// Since when.
    pub joined_at: Moment,
}
