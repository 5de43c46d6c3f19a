//! Groups and who is in them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    base::{GroupId, Moment, Page, Paging, UserId},
    store::{OrgTx, StoreError},
    tenancy::{Group, GroupMember},
};

struct GroupRow {
    id: Uuid,
    slug: String,
    name: String,
    description: String,
    is_default: bool,
    auto_optimization: Option<bool>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<GroupRow> for Group {
    fn from(row: GroupRow) -> Self {
        Self {
            id: row.id.into(),
            slug: row.slug,
            name: row.name,
            description: row.description,
            is_default: row.is_default,
            auto_optimization: row.auto_optimization,
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        }
    }
}

/// Returns groups of this transaction's organization.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list_groups(tx: &mut OrgTx, paging: Paging) -> Result<Page<Group>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let rows = sqlx::query_as!(
        GroupRow,
        "select id, slug, name, description, is_default, auto_optimization, created_at, updated_at
         from identity.groups
         where organization_id = $1 and deleted_at is null
             and ($3::uuid is null
                 or case when $4 then (created_at, id) < ($2, $3) else (created_at, id) > ($2, $3) end)
         order by case when $4 then created_at end desc, case when $4 then id end desc, created_at, id
         limit $5",
        organization,
        paging.after_at(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let groups = rows.into_iter().map(Group::from).collect();
    Ok(paging.page(groups, |group: &Group| (group.created_at, group.id.uuid())))
}

/// Returns one group of this transaction's organization.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_group(tx: &mut OrgTx, id: GroupId) -> Result<Option<Group>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let row = sqlx::query_as!(
        GroupRow,
        "select id, slug, name, description, is_default, auto_optimization, created_at, updated_at
         from identity.groups
         where organization_id = $1 and id = $2 and deleted_at is null",
        organization,
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(Group::from))
}

/// Returns one group of this transaction's organization, and keeps others from changing it until the end.
///
/// # Errors
/// When Postgres does not answer.
pub async fn lock_group(tx: &mut OrgTx, id: GroupId) -> Result<Option<Group>, StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "select id from identity.groups where organization_id = $1 and id = $2 for no key update",
        organization,
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    find_group(tx, id).await
}

/// Writes a group of this transaction's organization.
///
/// # Errors
/// `groups_slug_unique` when the slug is taken, `organization_settings_groups_bound` when there may be no more groups.
pub async fn insert_group(
    tx: &mut OrgTx,
    id: GroupId,
    slug: &str,
    name: &str,
    description: &str,
    auto_optimization: Option<bool>,
) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "insert into identity.groups (id, organization_id, slug, name, description, auto_optimization)
         values ($1, $2, $3, $4, $5, $6)",
        id.uuid(),
        organization,
        slug,
        name,
        description,
        auto_optimization,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes what people may change of a group.
///
/// # Errors
/// `groups_slug_unique` when the slug is taken.
pub async fn update_group(tx: &mut OrgTx, group: &Group) -> Result<Moment, StoreError> {
    let organization = tx.scope().organization().uuid();
    let updated_at = sqlx::query_scalar!(
        "update identity.groups
         set slug = $3, name = $4, description = $5, auto_optimization = $6
         where organization_id = $1 and id = $2 and deleted_at is null
         returning updated_at",
        organization,
        group.id.uuid(),
        group.slug,
        group.name,
        group.description,
        group.auto_optimization,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(updated_at.into())
}

/// Deletes a group, who was in it, what it was limited to and the roles it was the place of; whoever had it as
/// their primary one gets the default one.
///
/// # Errors
/// When Postgres does not answer.
pub async fn delete_group(tx: &mut OrgTx, id: GroupId) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "with gone as (
             update identity.groups set deleted_at = now() where organization_id = $1 and id = $2
         ), members as (
             update identity.group_memberships set deleted_at = now()
             where organization_id = $1 and group_id = $2 and deleted_at is null
         ), roles as (
             update identity.role_assignments set deleted_at = now()
             where organization_id = $1 and group_id = $2 and deleted_at is null
         ), limits as (
             update operations.limits set deleted_at = now()
             where organization_id = $1 and group_id = $2 and deleted_at is null
         )
         update identity.organization_memberships
         set primary_group_id = (
             select g.id from identity.groups g
             where g.organization_id = $1 and g.is_default and g.deleted_at is null)
         where organization_id = $1 and primary_group_id = $2",
        organization,
        id.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Returns who is in a group.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list_group_members(
    tx: &mut OrgTx,
    group: GroupId,
    paging: Paging,
) -> Result<Page<GroupMember>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let rows = sqlx::query!(
        "select m.id, m.user_id, u.email, u.display_name, m.created_at
         from identity.group_memberships m
         join identity.users u on u.id = m.user_id
         where m.organization_id = $1 and m.group_id = $2 and m.deleted_at is null
             and ($4::uuid is null
                 or case when $5 then (m.created_at, m.id) < ($3, $4) else (m.created_at, m.id) > ($3, $4) end)
         order by case when $5 then m.created_at end desc, case when $5 then m.id end desc, m.created_at, m.id
         limit $6",
        organization,
        group.uuid(),
        paging.after_at(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let members = rows.into_iter().map(|row| {
        let member = GroupMember {
            user_id: row.user_id.into(),
            email: row.email,
            display_name: row.display_name,
            joined_at: row.created_at.into(),
        };
        (row.id, member)
    });
    let page = paging.page(members.collect(), |(id, member): &(Uuid, GroupMember)| {
        (member.joined_at, *id)
    });
    Ok(page.map(|(_, member)| member))
}

/// Puts a member into a group; says whether they were not in it.
///
/// # Errors
/// `group_memberships_group` when there is no such group, `group_memberships_member` when there is no such member.
pub async fn put_into_group(
    tx: &mut OrgTx,
    id: Uuid,
    group: GroupId,
    user: UserId,
) -> Result<bool, StoreError> {
    let organization = tx.scope().organization().uuid();
    let done = sqlx::query!(
        "insert into identity.group_memberships as m (id, organization_id, group_id, user_id)
         values ($1, $2, $3, $4)
         on conflict on constraint group_memberships_once do update
         set deleted_at = null, created_at = now()
         where m.deleted_at is not null",
        id,
        organization,
        group.uuid(),
        user.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Takes a member out of a group; says whether they were in it.
///
/// # Errors
/// When Postgres does not answer.
pub async fn take_out_of_group(
    tx: &mut OrgTx,
    group: GroupId,
    user: UserId,
) -> Result<bool, StoreError> {
    let organization = tx.scope().organization().uuid();
    let done = sqlx::query!(
        "update identity.group_memberships
         set deleted_at = now()
         where organization_id = $1 and group_id = $2 and user_id = $3 and deleted_at is null",
        organization,
        group.uuid(),
        user.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Says whether a member is in a group, be it as their primary one.
///
/// # Errors
/// When Postgres does not answer.
pub async fn is_in_group(tx: &mut OrgTx, group: GroupId, user: UserId) -> Result<bool, StoreError> {
    let organization = tx.scope().organization().uuid();
    let is_in = sqlx::query_scalar!(
        r#"select exists (
               select from identity.group_memberships
               where organization_id = $1 and group_id = $2 and user_id = $3 and deleted_at is null
           ) or exists (
               select from identity.organization_memberships
               where organization_id = $1 and primary_group_id = $2 and user_id = $3 and deleted_at is null
           ) as "is_in!""#,
        organization,
        group.uuid(),
        user.uuid(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(is_in)
}

/// Returns the group everybody without another one belongs to.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_default_group(tx: &mut OrgTx) -> Result<Option<GroupId>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let id = sqlx::query_scalar!(
        "select id from identity.groups where organization_id = $1 and is_default and deleted_at is null",
        organization,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(id.map(GroupId))
}
