//! What was refused of an organization, as callers read it.

use crate::{
    admin::error::ApiError,
    control::{TenancyRefused, organizations::OrganizationRefused},
};

impl From<TenancyRefused> for ApiError {
    fn from(refused: TenancyRefused) -> Self {
        let message = refused.to_string();
        let code = match refused {
            TenancyRefused::Store(error) => return error.into(),
            TenancyRefused::NotFound => return Self::NotFound,
            TenancyRefused::NotExpected => return Self::PreconditionFailed,
            TenancyRefused::BeyondOwn => return Self::Forbidden,
            TenancyRefused::WrongSlug => return Self::invalid("slug", message),
            TenancyRefused::WrongName => return Self::invalid("name", message),
            TenancyRefused::SlugTaken => "slug_taken",
            TenancyRefused::NameTaken => "name_taken",
            TenancyRefused::LastOwner => "last_owner",
            TenancyRefused::DefaultGroup => "default_group",
            TenancyRefused::SystemRole => "system_role",
            TenancyRefused::MembersFull => "max_users_reached",
            TenancyRefused::GroupsFull => "max_groups_reached",
            TenancyRefused::AlreadyMember => "already_member",
            TenancyRefused::AlreadyInvited => "already_invited",
            TenancyRefused::AlreadyAssigned => "already_assigned",
            TenancyRefused::NotOpen => "invitation_closed",
            TenancyRefused::RanOut => "invitation_expired",
            TenancyRefused::OtherAddress => "invitation_to_another",
            TenancyRefused::HasAccount => "account_exists",
            TenancyRefused::NotDeleted => "not_deleted",
            TenancyRefused::NoChange => "no_change",
        };
        Self::conflict(code, message)
    }
}

impl From<OrganizationRefused> for ApiError {
    fn from(refused: OrganizationRefused) -> Self {
        let message = refused.to_string();
        match refused {
            OrganizationRefused::SlugTaken => Self::conflict("slug_taken", message),
            OrganizationRefused::WrongSlug => Self::invalid("slug", message),
            OrganizationRefused::WrongName => Self::invalid("display_name", message),
            OrganizationRefused::NoOwner | OrganizationRefused::NoOrganization => Self::NotFound,
            OrganizationRefused::Limit(refused) => refused.into(),
            OrganizationRefused::Store(error) => error.into(),
        }
    }
}
