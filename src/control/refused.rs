//! Why organizations, groups, members, invitations and roles are not changed.

use crate::{base::Moment, store::StoreError};

/// Why a tenant was not changed.
#[derive(Debug, thiserror::Error)]
pub enum TenancyRefused {
    /// There is no such thing in this organization, or no such organization.
    #[error("nothing is here")]
    NotFound,
    /// Somebody changed it since the caller read it.
    #[error("it was changed since it was read")]
    NotExpected,
    /// It would give, or take, more than the caller has.
    #[error("nobody gives or takes more than they have")]
    BeyondOwn,
    /// Another has that short name.
    #[error("the slug is taken")]
    SlugTaken,
    /// The short name cannot stand in an address.
    #[error("a slug has 1 to 63 lower-case letters, digits and hyphens")]
    WrongSlug,
    /// Another role has that name.
    #[error("the name is taken")]
    NameTaken,
    /// It cannot be a role's name.
    #[error("a role's name has 1 to 63 lower-case letters, digits, hyphens and underscores")]
    WrongName,
    /// An organization always keeps an owner.
    #[error("an organization keeps one owner")]
    LastOwner,
    /// Everybody without another group belongs to it.
    #[error("the default group cannot be deleted")]
    DefaultGroup,
    /// It is the same for every organization.
    #[error("a system role cannot be changed")]
    SystemRole,
    /// There may be no more members.
    #[error("the organization may have no more members")]
    MembersFull,
    /// There may be no more groups.
    #[error("the organization may have no more groups")]
    GroupsFull,
    /// They are one already.
    #[error("they are a member already")]
    AlreadyMember,
    /// An invitation to that address is open.
    #[error("they are invited already")]
    AlreadyInvited,
    /// They have the role already.
    #[error("they have that role already")]
    AlreadyAssigned,
    /// The invitation was answered or taken back.
    #[error("the invitation is no longer open")]
    NotOpen,
    /// Nobody answered the invitation in time.
    #[error("the invitation has run out")]
    RanOut,
    /// The invitation is to somebody else.
    #[error("the invitation is to another address")]
    OtherAddress,
    /// The address belongs to a person already.
    #[error("sign in to accept: there is an account with this address")]
    HasAccount,
    /// It was not deleted.
    #[error("the organization is not deleted")]
    NotDeleted,
    /// It is in that state already.
    #[error("the organization is in that state already")]
    NoChange,
    /// The books did not take it.
    #[error("the change could not be written")]
    Store(#[source] StoreError),
}

impl From<StoreError> for TenancyRefused {
    fn from(error: StoreError) -> Self {
        let StoreError::Constraint { name, .. } = &error else {
            return Self::Store(error);
        };
        match name.as_str() {
            "organizations_slug_unique" | "groups_slug_unique" => Self::SlugTaken,
            "organizations_slug_form" | "groups_slug_form" => Self::WrongSlug,
            "roles_name_unique" => Self::NameTaken,
            "roles_name_form" => Self::WrongName,
            "organization_memberships_one_owner" => Self::LastOwner,
            "organization_settings_users_bound" => Self::MembersFull,
            "organization_settings_groups_bound" => Self::GroupsFull,
            "organization_memberships_once" => Self::AlreadyMember,
            "invitations_open_uq" => Self::AlreadyInvited,
            "role_assignments_unique" => Self::AlreadyAssigned,
            "organization_memberships_primary_group"
            | "organization_memberships_user"
            | "group_memberships_group"
            | "group_memberships_member"
            | "invitations_group_fk"
            | "role_assignments_member"
            | "role_assignments_role"
            | "role_assignments_group" => Self::NotFound,
            _ => Self::Store(error),
        }
    }
}

/// Refuses when the caller says which version they read and it is no longer the latest.
///
/// # Errors
/// [`TenancyRefused::NotExpected`].
pub fn expect_version(expected: Option<Moment>, latest: Moment) -> Result<(), TenancyRefused> {
    match expected {
        Some(expected) if expected != latest => Err(TenancyRefused::NotExpected),
        _ => Ok(()),
    }
}
