//! Roles, what they permit, and who was given them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    base::{AssignmentId, GroupId, Moment, Page, Paging, RoleId, UserId},
    store::{OrgTx, StoreError},
    tenancy::{Permissions, Rank, Role, RoleAssignment},
};

struct RoleRow {
    id: Uuid,
    organization_id: Option<Uuid>,
    name: String,
    description: String,
    permissions: Vec<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<RoleRow> for Role {
    fn from(row: RoleRow) -> Self {
        Self {
            id: row.id.into(),
            name: row.name,
            description: row.description,
            is_system: row.organization_id.is_none(),
            permissions: Permissions::of_names(&row.permissions),
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        }
    }
}

/// Returns the system's roles and those of this transaction's organization.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list_roles(tx: &mut OrgTx, paging: Paging) -> Result<Page<Role>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let rows = sqlx::query_as!(
        RoleRow,
        r#"select r.id, r.organization_id, r.name, r.description,
               array(select p.permission from identity.role_permissions p where p.role_id = r.id) as "permissions!",
               r.created_at, r.updated_at
           from identity.roles r
           where (r.organization_id = $1 or r.organization_id is null) and r.deleted_at is null
               and ($3::uuid is null
                   or case when $4 then (r.created_at, r.id) < ($2, $3) else (r.created_at, r.id) > ($2, $3) end)
           order by case when $4 then r.created_at end desc, case when $4 then r.id end desc, r.created_at, r.id
           limit $5"#,
        organization,
        paging.after_at(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let roles = rows.into_iter().map(Role::from).collect();
    Ok(paging.page(roles, |role: &Role| (role.created_at, role.id.uuid())))
}

/// Returns one role of the system or of this transaction's organization.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_role(tx: &mut OrgTx, id: RoleId) -> Result<Option<Role>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let row = sqlx::query_as!(
        RoleRow,
        r#"select r.id, r.organization_id, r.name, r.description,
               array(select p.permission from identity.role_permissions p where p.role_id = r.id) as "permissions!",
               r.created_at, r.updated_at
           from identity.roles r
           where r.id = $2 and (r.organization_id = $1 or r.organization_id is null) and r.deleted_at is null"#,
        organization,
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(Role::from))
}

/// Returns one role as [`find_role`] does; its own is kept from others' changes until the transaction ends.
///
/// # Errors
/// When Postgres does not answer.
pub async fn lock_role(tx: &mut OrgTx, id: RoleId) -> Result<Option<Role>, StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "select id from identity.roles where organization_id = $1 and id = $2 for no key update",
        organization,
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    find_role(tx, id).await
}

/// Returns what a rank permits.
///
/// # Errors
/// When Postgres does not answer.
pub async fn permissions_of_rank(tx: &mut OrgTx, rank: Rank) -> Result<Permissions, StoreError> {
    let names = sqlx::query_scalar!(
        "select p.permission
         from identity.role_permissions p
         join identity.roles r on r.id = p.role_id
         where r.organization_id is null and r.name = $1 and r.deleted_at is null",
        rank.word(),
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(Permissions::of_names(&names))
}

/// Writes a role of this transaction's organization.
///
/// # Errors
/// `roles_name_unique` when the name is taken, `roles_name_form` when it is none.
pub async fn insert_role(
    tx: &mut OrgTx,
    id: RoleId,
    name: &str,
    description: &str,
    permissions: Permissions,
) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "insert into identity.roles (id, organization_id, name, description) values ($1, $2, $3, $4)",
        id.uuid(),
        organization,
        name,
        description,
    )
    .execute(&mut **tx)
    .await?;
    grant(tx, id, permissions).await
}

/// Writes what people may change of a role.
///
/// # Errors
/// `roles_name_unique` when the name is taken, `roles_name_form` when it is none.
pub async fn update_role(tx: &mut OrgTx, role: &Role) -> Result<Moment, StoreError> {
    let organization = tx.scope().organization().uuid();
    let updated_at = sqlx::query_scalar!(
        "update identity.roles
         set name = $3, description = $4
         where organization_id = $1 and id = $2 and deleted_at is null
         returning updated_at",
        organization,
        role.id.uuid(),
        role.name,
        role.description,
    )
    .fetch_one(&mut **tx)
    .await?;
    sqlx::query!(
        "delete from identity.role_permissions where role_id = $1 and permission <> all ($2)",
        role.id.uuid(),
        &role.permissions.names(),
    )
    .execute(&mut **tx)
    .await?;
    grant(tx, role.id, role.permissions).await?;
    Ok(updated_at.into())
}

async fn grant(tx: &mut OrgTx, role: RoleId, permissions: Permissions) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into identity.role_permissions (role_id, permission)
         select $1, unnest($2::text[])
         on conflict do nothing",
        role.uuid(),
        &permissions.names(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Deletes a role and takes it from everybody who was given it; says from how many.
///
/// # Errors
/// When Postgres does not answer.
pub async fn delete_role(tx: &mut OrgTx, id: RoleId) -> Result<u64, StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "update identity.roles set deleted_at = now() where organization_id = $1 and id = $2",
        organization,
        id.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    let taken = sqlx::query!(
        "update identity.role_assignments set deleted_at = now()
         where organization_id = $1 and role_id = $2 and deleted_at is null",
        organization,
        id.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(taken.rows_affected())
}

/// Gives a member a role, in a group or in the whole organization.
///
/// # Errors
/// `role_assignments_unique` when they have it, `role_assignments_member` when there is no such member,
/// `role_assignments_group` when there is no such group.
pub async fn insert_assignment(
    tx: &mut OrgTx,
    id: AssignmentId,
    user: UserId,
    role: RoleId,
    group: Option<GroupId>,
) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "insert into identity.role_assignments (id, organization_id, user_id, role_id, group_id)
         values ($1, $2, $3, $4, $5)",
        id.uuid(),
        organization,
        user.uuid(),
        role.uuid(),
        group.map(GroupId::uuid),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What role assignments are looked for by.
#[derive(Clone, Copy, Debug, Default)]
pub struct AssignmentFilter {
    /// Of one member.
    pub user: Option<UserId>,
    /// Of one role.
    pub role: Option<RoleId>,
}

struct AssignmentRow {
    id: Uuid,
    user_id: Uuid,
    role_id: Uuid,
    role_name: String,
    group_id: Option<Uuid>,
    created_at: DateTime<Utc>,
}

impl From<AssignmentRow> for RoleAssignment {
    fn from(row: AssignmentRow) -> Self {
        Self {
            id: row.id.into(),
            user_id: row.user_id.into(),
            role_id: row.role_id.into(),
            role_name: row.role_name,
            group_id: row.group_id.map(GroupId),
            created_at: row.created_at.into(),
        }
    }
}

/// Returns who was given which role in this transaction's organization.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list_assignments(
    tx: &mut OrgTx,
    filter: AssignmentFilter,
    paging: Paging,
) -> Result<Page<RoleAssignment>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let rows = sqlx::query_as!(
        AssignmentRow,
        "select a.id, a.user_id, a.role_id, r.name as role_name, a.group_id, a.created_at
         from identity.role_assignments a
         join identity.roles r on r.id = a.role_id
         where a.organization_id = $1 and a.deleted_at is null
             and ($6::uuid is null or a.user_id = $6) and ($7::uuid is null or a.role_id = $7)
             and ($3::uuid is null
                 or case when $4 then (a.created_at, a.id) < ($2, $3) else (a.created_at, a.id) > ($2, $3) end)
         order by case when $4 then a.created_at end desc, case when $4 then a.id end desc, a.created_at, a.id
         limit $5",
        organization,
        paging.after_at(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
        filter.user.map(UserId::uuid),
        filter.role.map(RoleId::uuid),
    )
    .fetch_all(&mut **tx)
    .await?;
    let assignments = rows.into_iter().map(RoleAssignment::from).collect();
    Ok(paging.page(assignments, |one: &RoleAssignment| {
        (one.created_at, one.id.uuid())
    }))
}

/// Returns one role assignment of this transaction's organization.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_assignment(
    tx: &mut OrgTx,
    id: AssignmentId,
) -> Result<Option<RoleAssignment>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let row = sqlx::query_as!(
        AssignmentRow,
        "select a.id, a.user_id, a.role_id, r.name as role_name, a.group_id, a.created_at
         from identity.role_assignments a
         join identity.roles r on r.id = a.role_id
         where a.organization_id = $1 and a.id = $2 and a.deleted_at is null",
        organization,
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(RoleAssignment::from))
}

/// Takes a role back.
///
/// # Errors
/// When Postgres does not answer.
pub async fn delete_assignment(tx: &mut OrgTx, id: AssignmentId) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "update identity.role_assignments set deleted_at = now() where organization_id = $1 and id = $2",
        organization,
        id.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
