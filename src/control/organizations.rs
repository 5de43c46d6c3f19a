//! Tenants: made with their settings, default group and first limits; changed, deleted whole and brought back.

use serde_json::json;

use super::{
    limits::{self, LimitRefused, NewLimit, Terms},
    note::note,
    refused::{TenancyRefused, expect_version},
    settings::set,
};
use crate::{
    audit::{self, By, Event},
    base::{GroupId, Moment, OrganizationId, UserId},
    quota::limit::{Meter, Subject, Window},
    store::{OrgTx, Postgres, Scope, StoreError},
    tenancy::{self, Organization, Rank, slug_of, store::organizations as store},
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

/// What shall be other; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct OrganizationChange {
    /// The short name in addresses.
    pub slug: Option<String>,
    /// The name on contracts.
    pub legal_name: Option<String>,
    /// The name people read.
    pub display_name: Option<String>,
    /// Whom to ask; the inner `None` takes it away.
    pub contact_email: Option<Option<String>>,
    /// Where invoices go; the inner `None` takes it away.
    pub billing_email: Option<Option<String>>,
    /// What tax offices know it by; the inner `None` takes it away.
    pub tax_id: Option<Option<String>>,
}

impl OrganizationChange {
    fn apply(self, organization: &mut Organization) {
        set(&mut organization.slug, self.slug);
        set(&mut organization.legal_name, self.legal_name);
        set(&mut organization.display_name, self.display_name);
        set(&mut organization.contact_email, self.contact_email);
        set(&mut organization.billing_email, self.billing_email);
        set(&mut organization.tax_id, self.tax_id);
    }
}

/// Changes this transaction's organization and returns it.
///
/// # Errors
/// See [`TenancyRefused`].
pub async fn change(
    tx: &mut OrgTx,
    change: OrganizationChange,
    expected: Option<Moment>,
    by: By,
) -> Result<Organization, TenancyRefused> {
    store::lock_organization(tx).await?;
    let found = store::find_organization(tx).await?;
    let before = found.ok_or(TenancyRefused::NotFound)?;
    expect_version(expected, before.updated_at)?;
    let mut after = before.clone();
    change.apply(&mut after);
    after.updated_at = store::update_organization(tx, &after).await?;
    let details = json!({ "before": told(&before), "after": told(&after) });
    note(
        tx,
        by,
        "organization.change",
        ("organization", after.id.uuid()),
        details,
    )
    .await?;
    Ok(after)
}

/// Writes what else is known of an organization that this transaction made, and returns it.
///
/// # Errors
/// See [`TenancyRefused`].
pub async fn complete(
    tx: &mut OrgTx,
    details: OrganizationChange,
) -> Result<Organization, TenancyRefused> {
    let found = store::find_organization(tx).await?;
    let mut organization = found.ok_or(TenancyRefused::NotFound)?;
    details.apply(&mut organization);
    organization.updated_at = store::update_organization(tx, &organization).await?;
    Ok(organization)
}

/// Returns an organization as the audit log tells it: without addresses of people.
fn told(organization: &Organization) -> serde_json::Value {
    json!({
        "slug": organization.slug, "legal_name": organization.legal_name,
        "display_name": organization.display_name, "has_contact_email": organization.contact_email.is_some(),
        "has_billing_email": organization.billing_email.is_some(), "tax_id": organization.tax_id,
    })
}

/// Deletes this transaction's organization and all that belongs to it; [`undelete`] brings the same back.
///
/// # Errors
/// See [`TenancyRefused`].
pub async fn delete(
    tx: &mut OrgTx,
    expected: Option<Moment>,
    by: By,
) -> Result<(), TenancyRefused> {
    store::lock_organization(tx).await?;
    let found = store::find_organization(tx).await?;
    expect_version(expected, found.ok_or(TenancyRefused::NotFound)?.updated_at)?;
    store::delete_organization(tx).await?;
    let organization = tx.scope().organization().uuid();
    Ok(note(
        tx,
        by,
        "organization.delete",
        ("organization", organization),
        json!({}),
    )
    .await?)
}

/// Brings this transaction's organization back with all that was deleted with it, and nothing else.
///
/// # Errors
/// [`TenancyRefused::NotDeleted`] when it is not deleted, [`TenancyRefused::SlugTaken`] when another has its short
/// name by now, [`TenancyRefused::LastOwner`] when nobody is left to own it.
pub async fn undelete(tx: &mut OrgTx, by: By) -> Result<(), TenancyRefused> {
    if !store::restore_organization(tx).await? {
        return Err(TenancyRefused::NotDeleted);
    }
    let organization = tx.scope().organization().uuid();
    Ok(note(
        tx,
        by,
        "organization.restore",
        ("organization", organization),
        json!({}),
    )
    .await?)
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
