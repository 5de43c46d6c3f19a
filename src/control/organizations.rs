//! Tenants: made with their settings, their default group and the limits a new one starts with.

use serde_json::json;

use super::limits::{self, LimitRefused, NewLimit, Terms};
use crate::{
    audit::{self, By, Event},
    base::{GroupId, OrganizationId, UserId},
    quota::limit::{Meter, Subject, Window},
    store::{OrgTx, Postgres, Scope, StoreError},
    tenancy::{self, Rank, slug_of},
};

/// Whether a new organization starts with limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With those its settings say: 60 calls and 100 000 tokens a minute.
    #[default]
    Seeded,
    /// With none.
    Unlimited,
}

/// An organization to be made.
#[derive(Clone, Debug, Default)]
pub struct NewOrganization {
    /// The name people read.
    pub name: String,
    /// The short name in addresses; made from the name when absent.
    pub slug: Option<String>,
    /// Whether it starts with limits.
    pub start: Start,
    /// Who owns it from the start.
    pub owner: Option<UserId>,
}

/// An organization that was just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedOrganization {
    /// Its id.
    pub id: OrganizationId,
    /// Its short name.
    pub slug: String,
    /// The group everybody belongs to.
    pub default_group_id: GroupId,
}

/// Why an organization was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum OrganizationRefused {
    /// Another organization has that short name.
    #[error("the slug is taken")]
    SlugTaken,
    /// The short name cannot stand in an address.
    #[error("a slug has 1 to 63 lower-case letters, digits and hyphens")]
    WrongSlug,
    /// A name is missing or long.
    #[error("a name has between 1 and 200 characters")]
    WrongName,
    /// There is no such person to own it.
    #[error("there is no such user")]
    NoOwner,
    /// There is no such organization.
    #[error("there is no such organization")]
    NoOrganization,
    /// Its limits cannot be set.
    #[error("a limit of the organization cannot be set")]
    Limit(#[from] LimitRefused),
    /// The books did not take it.
    #[error("the organization could not be written")]
    Store(#[source] StoreError),
}

impl From<StoreError> for OrganizationRefused {
    fn from(error: StoreError) -> Self {
        let StoreError::Constraint { name, .. } = &error else {
            return Self::Store(error);
        };
        match name.as_str() {
            "organizations_slug_unique" => Self::SlugTaken,
            "organizations_slug_form" => Self::WrongSlug,
            "organizations_legal_name_length" | "organizations_display_name_length" => {
                Self::WrongName
            }
            "organization_memberships_user" => Self::NoOwner,
            _ => Self::Store(error),
        }
    }
}

/// Makes an organization.
///
/// # Errors
/// See [`OrganizationRefused`]; nothing was made then.
pub async fn create(
    postgres: &Postgres,
    new: NewOrganization,
    by: By,
) -> Result<CreatedOrganization, OrganizationRefused> {
    let scope = Scope::of(OrganizationId::new(by.now));
    let mut tx = postgres.begin_for(scope).await?;
    let created = create_in(&mut tx, new, by).await?;
    tx.commit().await?;
    Ok(created)
}

/// Makes the organization of this transaction.
///
/// # Errors
/// See [`OrganizationRefused`]; the transaction is of no more use then.
pub async fn create_in(
    tx: &mut OrgTx,
    new: NewOrganization,
    by: By,
) -> Result<CreatedOrganization, OrganizationRefused> {
    let id = tx.scope().organization();
    let slug = new.slug.unwrap_or_else(|| slug_of(&new.name));
    tenancy::store::insert_organization(tx, &slug, &new.name).await?;
    let default_group_id = GroupId::new(by.now);
    tenancy::store::insert_default_group(tx, default_group_id).await?;
    if let Some(owner) = new.owner {
        join(tx, owner, Rank::Owner, by).await?;
    }
    if new.start == Start::Seeded {
        seed_limits(tx, by).await?;
    }
    let event = Event {
        action: "organization.create",
        target_kind: "organization",
        target_id: Some(id.uuid()),
        details: json!({ "slug": slug, "name": new.name }),
    };
    audit::store::record(tx, by, &event).await?;
    Ok(CreatedOrganization {
        id,
        slug,
        default_group_id,
    })
}

/// Makes a person a member of this transaction's organization.
///
/// # Errors
/// See [`OrganizationRefused`].
pub async fn join(
    tx: &mut OrgTx,
    user: UserId,
    rank: Rank,
    by: By,
) -> Result<(), OrganizationRefused> {
    let membership = UserId::new(by.now).uuid();
    tenancy::store::insert_membership(tx, membership, user, rank).await?;
    let event = Event {
        action: "member.join",
        target_kind: "user",
        target_id: Some(user.uuid()),
        details: json!({ "role": rank }),
    };
    Ok(audit::store::record(tx, by, &event).await?)
}

/// Stops serving this transaction's organization, or serves it again.
///
/// # Errors
/// See [`OrganizationRefused`].
pub async fn suspend(
    tx: &mut OrgTx,
    is_suspended: bool,
    by: By,
) -> Result<(), OrganizationRefused> {
    let (status, action) = if is_suspended {
        ("suspended", "organization.suspend")
    } else {
        ("active", "organization.restore")
    };
    if !tenancy::store::set_status(tx, status).await? {
        return Err(OrganizationRefused::NoOrganization);
    }
    let event = Event {
        action,
        target_kind: "organization",
        target_id: Some(tx.scope().organization().uuid()),
        details: json!({}),
    };
    Ok(audit::store::record(tx, by, &event).await?)
}

async fn seed_limits(tx: &mut OrgTx, by: By) -> Result<(), OrganizationRefused> {
    let seeds = tenancy::store::seeds(tx).await?;
    let subject = Subject::Organization(tx.scope().organization());
    let amounts = [
        (Meter::Requests, seeds.requests),
        (Meter::TotalTokens, seeds.tokens),
    ];
    for (meter, amount) in amounts {
        if let Some(amount) = amount {
            let terms = Terms::usual(meter, Window::Minute, amount);
            limits::set(tx, NewLimit { subject, terms }, by).await?;
        }
    }
    Ok(())
}
