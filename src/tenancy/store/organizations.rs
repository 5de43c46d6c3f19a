//! Organizations: found, changed, deleted whole and brought back.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{count, noun, small};
use crate::{
    base::{Moment, Page, Paging, UserId},
    store::{Conn, OrgTx, StoreError},
    tenancy::{Organization, OwnOrganization, Tenant},
};

struct OrganizationRow {
    id: Uuid,
    slug: String,
    legal_name: String,
    display_name: String,
    status: String,
    suspended_at: Option<DateTime<Utc>>,
    suspended_reason: Option<String>,
    plan_tier: String,
    contact_email: Option<String>,
    billing_email: Option<String>,
    tax_id: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<OrganizationRow> for Organization {
    type Error = StoreError;

    fn try_from(row: OrganizationRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.into(),
            slug: row.slug,
            legal_name: row.legal_name,
            display_name: row.display_name,
            status: noun(row.status)?,
            suspended_at: row.suspended_at.map(Moment::from),
            suspended_reason: row.suspended_reason,
            plan_tier: row.plan_tier,
            contact_email: row.contact_email,
            billing_email: row.billing_email,
            tax_id: row.tax_id,
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        })
    }
}

/// Returns the organization of this transaction, unless it was deleted.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_organization(tx: &mut OrgTx) -> Result<Option<Organization>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let row = sqlx::query_as!(
        OrganizationRow,
        "select id, slug, legal_name, display_name, status, suspended_at, suspended_reason, plan_tier, contact_email,
             billing_email, tax_id, created_at, updated_at
         from identity.organizations
         where id = $1 and deleted_at is null",
        organization,
    )
    .fetch_optional(&mut **tx)
    .await?;
    row.map(Organization::try_from).transpose()
}

/// Keeps others from changing the organization of this transaction until it ends.
///
/// # Errors
/// When Postgres does not answer.
pub async fn lock_organization(tx: &mut OrgTx) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "select id from identity.organizations where id = $1 for no key update",
        organization
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(())
}

/// Writes what people may change of the organization of this transaction, its plan and its status.
///
/// # Errors
/// `organizations_slug_unique` when the slug is taken, `organizations_slug_form` when it is none.
pub async fn update_organization(
    tx: &mut OrgTx,
    organization: &Organization,
) -> Result<Moment, StoreError> {
    let updated_at = sqlx::query_scalar!(
        "update identity.organizations
         set slug = $2, legal_name = $3, display_name = $4, contact_email = $5, billing_email = $6, tax_id = $7,
             plan_tier = $8
         where id = $1 and deleted_at is null
         returning updated_at",
        tx.scope().organization().uuid(),
        organization.slug,
        organization.legal_name,
        organization.display_name,
        organization.contact_email,
        organization.billing_email,
        organization.tax_id,
        organization.plan_tier,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(updated_at.into())
}

/// Stops the organization of this transaction, with a reason, or serves it again; says whether that changed anything.
///
/// # Errors
/// When Postgres does not answer.
pub async fn set_suspended(
    tx: &mut OrgTx,
    is_suspended: bool,
    reason: Option<&str>,
) -> Result<bool, StoreError> {
    let organization = tx.scope().organization().uuid();
    let done = sqlx::query!(
        "update identity.organizations
         set status = case when $2 then 'suspended' else 'active' end,
             suspended_at = case when $2 then now() end,
             suspended_reason = $3
         where id = $1 and deleted_at is null and (status = 'suspended') <> $2",
        organization,
        is_suspended,
        reason,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Deletes the organization of this transaction and all that belongs to it; says when, or `None` when it is not there.
///
/// # Errors
/// When Postgres does not answer.
pub async fn delete_organization(tx: &mut OrgTx) -> Result<Option<Moment>, StoreError> {
    let moment = sqlx::query_scalar!("select identity.delete_organization()")
        .fetch_one(&mut **tx)
        .await?;
    Ok(moment.map(Moment::from))
}

/// Brings back what the organization of this transaction lost when it was deleted; says whether it was deleted.
///
/// # Errors
/// `organizations_slug_unique` when its slug is taken by now, `organization_memberships_one_owner` when nobody is
/// left to own it.
pub async fn restore_organization(tx: &mut OrgTx) -> Result<bool, StoreError> {
    let is_restored = sqlx::query_scalar!("select identity.restore_organization()")
        .fetch_one(&mut **tx)
        .await?;
    Ok(is_restored.unwrap_or_default())
}

/// Returns the organizations a person is a member of, or those they owned that are deleted.
///
/// # Errors
/// When Postgres does not answer.
pub async fn organizations_of(
    conn: &mut Conn,
    person: UserId,
    is_deleted: bool,
    paging: Paging,
) -> Result<Page<OwnOrganization>, StoreError> {
    let rows = sqlx::query!(
        r#"select id as "id!", slug as "slug!", display_name as "display_name!", status as "status!",
                  plan_tier as "plan_tier!", rank as "rank!", created_at as "created_at!: DateTime<Utc>",
                  deleted_at as "deleted_at: DateTime<Utc>"
           from identity.organizations_of($1, $2, $3, $4, $5, $6)"#,
        person.uuid(),
        is_deleted,
        paging.after_at(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    let mut own = Vec::with_capacity(rows.len());
    for row in rows {
        own.push(OwnOrganization {
            id: row.id.into(),
            slug: row.slug,
            display_name: row.display_name,
            status: noun(row.status)?,
            plan_tier: row.plan_tier,
            rank: noun(row.rank)?,
            created_at: row.created_at.into(),
            deleted_at: row.deleted_at.map(Moment::from),
        });
    }
    Ok(paging.page(own, |one| (one.created_at, one.id.uuid())))
}

/// What tenants are looked for by.
#[derive(Clone, Copy, Debug, Default)]
pub struct TenantFilter<'a> {
    /// Part of a name or slug, or an id.
    pub search: Option<&'a str>,
    /// A status, or `deleted`.
    pub status: Option<&'a str>,
}

/// Returns organizations of the whole platform, for its own people.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_tenants(
    conn: &mut Conn,
    filter: TenantFilter<'_>,
    paging: Paging,
) -> Result<Page<Tenant>, StoreError> {
    let rows = sqlx::query!(
        r#"select id as "id!", slug as "slug!", legal_name as "legal_name!", display_name as "display_name!",
                  status as "status!", suspended_at as "suspended_at: DateTime<Utc>", suspended_reason,
                  plan_tier as "plan_tier!", max_users, max_groups, members as "members!", keys as "keys!",
                  created_at as "created_at!: DateTime<Utc>", updated_at as "updated_at!: DateTime<Utc>",
                  deleted_at as "deleted_at: DateTime<Utc>"
           from identity.find_organizations($1, $2, $3, $4, $5, $6)"#,
        filter.search,
        filter.status,
        paging.after_at(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    let mut tenants = Vec::with_capacity(rows.len());
    for row in rows {
        tenants.push(Tenant {
            id: row.id.into(),
            slug: row.slug,
            legal_name: row.legal_name,
            display_name: row.display_name,
            status: noun(row.status)?,
            suspended_at: row.suspended_at.map(Moment::from),
            suspended_reason: row.suspended_reason,
            plan_tier: row.plan_tier,
            max_users: row.max_users.map(small),
            max_groups: row.max_groups.map(small),
            members: count(row.members),
            keys: count(row.keys),
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
            deleted_at: row.deleted_at.map(Moment::from),
        });
    }
    Ok(paging.page(tenants, |one| (one.created_at, one.id.uuid())))
}

/// Says whether a person owned the organization of this transaction when it was deleted.
///
/// # Errors
/// When Postgres does not answer.
pub async fn was_owner(tx: &mut OrgTx, person: UserId) -> Result<bool, StoreError> {
    let organization = tx.scope().organization().uuid();
    let was = sqlx::query_scalar!(
        r#"select exists (
               select from identity.organization_memberships m
               join identity.organizations o on o.id = m.organization_id
               where m.organization_id = $1 and m.user_id = $2 and m.role = 'owner' and m.deleted_at = o.deleted_at
           ) as "was!""#,
        organization,
        person.uuid(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(was)
}
