//! A tenant, as its own people and as the platform see it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Rank;
use crate::base::{Moment, OrganizationId};

/// Whether an organization is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrganizationStatus {
    /// It is.
    Active,
    /// The platform stopped it; its keys are refused.
    Suspended,
    /// It is not served yet.
    Pending,
    /// It is not served any more.
    Deactivated,
}

/// A tenant, as its own people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// The short name in addresses, unique.
    pub slug: String,
    /// The name on contracts.
    pub legal_name: String,
    /// The name people read.
    pub display_name: String,
    /// Whether it is served.
    pub status: OrganizationStatus,
    /// When the platform stopped it.
    pub suspended_at: Option<Moment>,
    /// Why.
    pub suspended_reason: Option<String>,
    /// What it pays for.
    pub plan_tier: String,
    /// Whom to ask.
    pub contact_email: Option<String>,
    /// Where invoices go.
    pub billing_email: Option<String>,
    /// What tax offices know it by.
    pub tax_id: Option<String>,
    /// When it was made.
    pub created_at: Moment,
    /// When it was last changed.
    pub updated_at: Moment,
}

/// An organization and what one person is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnOrganization {
    /// Its id.
    pub id: OrganizationId,
    /// The short name in addresses.
    pub slug: String,
    /// The name people read.
    pub display_name: String,
    /// Whether it is served.
    pub status: OrganizationStatus,
    /// What it pays for.
    pub plan_tier: String,
    /// What the person may do there.
    pub rank: Rank,
    /// When it was made.
    pub created_at: Moment,
    /// When it was deleted; it can be brought back.
    pub deleted_at: Option<Moment>,
}

/// A tenant, as the platform's own people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: OrganizationId,
    /// The short name in addresses.
    pub slug: String,
    /// The name on contracts.
    pub legal_name: String,
    /// The name people read.
    pub display_name: String,
    /// Whether it is served.
    pub status: OrganizationStatus,
    /// When the platform stopped it.
    pub suspended_at: Option<Moment>,
    /// Why.
    pub suspended_reason: Option<String>,
    /// What it pays for.
    pub plan_tier: String,
    /// How many members it may have; `None` is any number.
    pub max_users: Option<u32>,
    /// How many groups it may have; `None` is any number.
    pub max_groups: Option<u32>,
    /// How many members it has.
    pub members: u64,
    /// How many keys of it are not revoked.
    pub keys: u64,
    /// When it was made.
    pub created_at: Moment,
    /// When it was last changed.
    pub updated_at: Moment,
    /// When it was deleted; it can be brought back.
    pub deleted_at: Option<Moment>,
}
