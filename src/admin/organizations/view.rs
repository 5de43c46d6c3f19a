//! Organizations, as the API shows them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    base::{GroupId, Moment, OrganizationId},
    tenancy::{Organization, OrganizationStatus, OwnOrganization, Rank},
};

/// An organization.
#[derive(Serialize, ToSchema)]
pub struct OrganizationView {
    /// Its id.
    id: OrganizationId,
    /// The short name in addresses.
    slug: String,
    /// The name on contracts.
    legal_name: String,
    /// The name people read.
    display_name: String,
    /// Whether it is served.
    status: OrganizationStatus,
    /// When the platform stopped it.
    suspended_at: Option<Moment>,
    /// Why.
    suspended_reason: Option<String>,
    /// What it pays for.
    plan_tier: String,
    /// Whom to ask.
    contact_email: Option<String>,
    /// Where invoices go.
    billing_email: Option<String>,
    /// What tax offices know it by.
    tax_id: Option<String>,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

impl From<Organization> for OrganizationView {
    fn from(organization: Organization) -> Self {
        Self {
            id: organization.id,
            slug: organization.slug,
            legal_name: organization.legal_name,
            display_name: organization.display_name,
            status: organization.status,
            suspended_at: organization.suspended_at,
            suspended_reason: organization.suspended_reason,
            plan_tier: organization.plan_tier,
            contact_email: organization.contact_email,
            billing_email: organization.billing_email,
            tax_id: organization.tax_id,
            created_at: organization.created_at,
            updated_at: organization.updated_at,
        }
    }
}

/// An organization and what the asking person is in it.
#[derive(Serialize, ToSchema)]
pub struct OwnOrganizationView {
    /// Its id.
    id: OrganizationId,
    /// The short name in addresses.
    slug: String,
    /// The name people read.
    display_name: String,
    /// Whether it is served.
    status: OrganizationStatus,
    /// What it pays for.
    plan_tier: String,
    /// What the person may do there.
    role: Rank,
    /// When it was made.
    created_at: Moment,
    /// When it was deleted; its owners can bring it back.
    deleted_at: Option<Moment>,
}

impl From<OwnOrganization> for OwnOrganizationView {
    fn from(own: OwnOrganization) -> Self {
        Self {
            id: own.id,
            slug: own.slug,
            display_name: own.display_name,
            status: own.status,
            plan_tier: own.plan_tier,
            role: own.rank,
            created_at: own.created_at,
            deleted_at: own.deleted_at,
        }
    }
}

/// An organization that was just made.
#[derive(Serialize, ToSchema)]
pub struct CreatedOrganizationView {
    /// The organization.
    #[serde(flatten)]
    pub(super) organization: OrganizationView,
    /// The group everybody belongs to.
    pub(super) default_group_id: GroupId,
}
