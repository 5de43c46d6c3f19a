//! Organizations, their people and teams, and who may do what.

pub mod permission;

pub mod group;
pub mod invitation;
pub mod member;
pub mod optimization;
pub mod organization;
pub mod role;
pub mod settings;
pub mod store;

pub use group::{Group, GroupMember};
pub use invitation::{Invitation, InvitationState, NewInvitation, Offered};
pub use member::{Member, PersonStatus};
pub use optimization::{SwitchSource, Switches};
pub use organization::{Organization, OrganizationStatus, OwnOrganization, Tenant};
pub use permission::{Permission, Permissions};
pub use role::{Role, RoleAssignment};
pub use settings::{DegradedMode, OrganizationSettings};

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::{Moment, Secret, UserId};

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Where mail reaches them, unique.
    pub email: String,
    /// The name people read.
    pub display_name: String,
    /// `active`, `suspended` or `pending`.
    pub status: String,
    /// May they change the platform itself?
    pub is_platform_admin: bool,
    /// When they were made.
    pub created_at: Moment,
}

/// A person to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Where mail reaches them.
    pub email: String,
    /// The name people read.
    pub display_name: String,
    /// The hash of their password; `None` cannot sign in with one.
    pub password_hash: Option<Secret>,
}

/// What a member may do in an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// Everything; there is always one.
    Owner,
    /// Everything but what concerns owners.
    Admin,
    /// Their own keys.
    Member,
    /// Looking.
    Guest,
}

impl Rank {
    /// Returns the word the books keep.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Guest => "guest",
        }
    }
}

/// There is no rank of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write owner, admin, member or guest")]
pub struct UnknownRank;

impl FromStr for Rank {
    type Err = UnknownRank;

    fn from_str(word: &str) -> Result<Self, UnknownRank> {
        let ranks = [Self::Owner, Self::Admin, Self::Member, Self::Guest];
        let found = ranks.into_iter().find(|rank| rank.word() == word);
        found.ok_or(UnknownRank)
    }
}

/// Turns a name into the short form addresses use; empty when nothing of it can stand there.
#[must_use]
pub fn slug_of(name: &str) -> String {
    let words = name
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let mut slug = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    slug.truncate(63);
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_keeps_letters_and_digits() {
        for (name, slug) in [
            ("Acme", "acme"),
            ("  Acme & Söhne GmbH (2)", "acme-s-hne-gmbh-2"),
            ("---", ""),
        ] {
            assert_eq!(slug_of(name), slug);
        }
        assert_eq!(slug_of(&"a ".repeat(80)).len(), 63);
    }
}
